"""Keys under a passphrase."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certs.encryption import Randomness, encrypted_key_pem, sealed_key_pem
from certs.keys import SigningKey, key_pem

PASSPHRASE = "a pässphrase of some length".encode()
FIXED = Randomness(bytes(16), bytes(16))


def cheaply_encrypted(key: SigningKey) -> bytes:
    return encrypted_key_pem(key, PASSPHRASE, FIXED, cost=2**4)


@pytest.fixture(scope="module")
def kept() -> tuple[SigningKey, bytes]:
    """A key as it is kept, at the cost that it has then."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key, sealed_key_pem(key, PASSPHRASE)


def check_passphrase(file: Path, key: SigningKey, pem: bytes) -> None:
    """That *key* comes back from *pem* with its passphrase and with no other."""
    found = load_pem_private_key(pem, PASSPHRASE)
    assert isinstance(found, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    assert found.private_numbers() == key.private_numbers()
    with pytest.raises(ValueError, match="password"):
        load_pem_private_key(pem, PASSPHRASE[1:])
    file.write_bytes(pem)
    command = ["openssl", "pkey", "-in", str(file), "-passin", "stdin"]
    done = subprocess.run(
        command, input=PASSPHRASE + b"\n", capture_output=True, check=False, timeout=60
    )
    assert done.stdout == key_pem(key), done.stderr


def test_the_key_comes_back_with_its_passphrase_and_with_no_other(
    tmp_path: Path, kept: tuple[SigningKey, bytes]
) -> None:
    check_passphrase(tmp_path / "key.pem", *kept)


@pytest.mark.parametrize(
    "new_key",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: rsa.generate_private_key(65537, 2048),
    ],
    ids=["p384", "rsa"],
)
def test_so_does_another_kind_of_key(tmp_path: Path, new_key: Callable[[], SigningKey]) -> None:
    key = new_key()
    check_passphrase(tmp_path / "key.pem", key, cheaply_encrypted(key))


def test_openssl_sees_scrypt(tmp_path: Path, kept: tuple[SigningKey, bytes]) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(kept[1])
    shown = subprocess.run(
        ["openssl", "asn1parse", "-in", str(file)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert "PBES2" in shown
    assert "scrypt" in shown
    assert "aes-256-cbc" in shown
    assert ":4000\n" in shown, "a cost of 2^14"


def test_the_same_key_looks_different_each_time(kept: tuple[SigningKey, bytes]) -> None:
    key, pem = kept
    assert sealed_key_pem(key, PASSPHRASE) != pem
    assert cheaply_encrypted(key) == cheaply_encrypted(key)

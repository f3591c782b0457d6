"""Keys under a passphrase."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certs.encryption import Randomness, encrypted_key_pem, sealed_key_pem
from certs.keys import SigningKey, key_pem, new_private_key

PASSPHRASE = "a pässphrase of some length".encode()


@pytest.mark.parametrize(
    "new_key",
    [
        lambda: ec.generate_private_key(ec.SECP256R1()),
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: rsa.generate_private_key(65537, 2048),
    ],
    ids=["p256", "p384", "rsa"],
)
def test_the_key_comes_back_with_its_passphrase_and_with_no_other(
    tmp_path: Path, new_key: Callable[[], SigningKey]
) -> None:
    key = new_key()
    pem = sealed_key_pem(key, PASSPHRASE)
    found = load_pem_private_key(pem, PASSPHRASE)
    assert isinstance(found, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    assert found.private_numbers() == key.private_numbers()
    with pytest.raises(ValueError, match="password"):
        load_pem_private_key(pem, PASSPHRASE[1:])
    file = tmp_path / "key.pem"
    file.write_bytes(pem)
    command = ["openssl", "pkey", "-in", str(file), "-passin", "stdin"]
    done = subprocess.run(
        command, input=PASSPHRASE + b"\n", capture_output=True, check=False, timeout=60
    )
    assert done.stdout == key_pem(key), done.stderr


def test_openssl_sees_scrypt(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(sealed_key_pem(new_private_key(), PASSPHRASE))
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


def test_the_same_key_looks_different_each_time() -> None:
    key = new_private_key()
    assert sealed_key_pem(key, PASSPHRASE) != sealed_key_pem(key, PASSPHRASE)
    fixed = Randomness(bytes(16), bytes(16))
    assert encrypted_key_pem(key, PASSPHRASE, fixed) == encrypted_key_pem(key, PASSPHRASE, fixed)

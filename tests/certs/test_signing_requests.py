"""What a device may ask for."""

import base64
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from certs.errors import BadSigningRequest
from certs.keys import key_pem
from certs.signing_requests import SIZE_LIMIT, read_signing_request


def request_of(key: CertificateIssuerPrivateKeyTypes) -> str:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM).decode()


GOOD_DER = x509.load_pem_x509_csr(
    request_of(ec.generate_private_key(ec.SECP256R1())).encode()
).public_bytes(Encoding.DER)

# A key is generated when its test runs: RSA and DSA take long.
NewKey = Callable[[], CertificateIssuerPrivateKeyTypes]


@pytest.mark.parametrize(
    "new_key",
    [
        lambda: ec.generate_private_key(ec.SECP256R1()),
        lambda: ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate,
        lambda: rsa.generate_private_key(65537, 2048),
    ],
    ids=["p256", "p384", "ed25519", "rsa2048"],
)
def test_good_keys_are_taken(new_key: NewKey) -> None:
    key = new_key()
    assert read_signing_request(request_of(key)) == key.public_key()


@pytest.mark.parametrize(
    ("new_key", "reason"),
    [
        (lambda: ec.generate_private_key(ec.SECP521R1()), "secp521r1"),
        (lambda: rsa.generate_private_key(65537, 1024), "1024 bits"),  # noqa: S505
        (lambda: dsa.generate_private_key(2048), "none of"),
    ],
    ids=["p521", "rsa1024", "dsa"],
)
def test_other_keys_are_refused_by_name(new_key: NewKey, reason: str) -> None:
    with pytest.raises(BadSigningRequest) as caught:
        read_signing_request(request_of(new_key()))
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "é" * 10,
    ],
)
def test_what_is_no_request_is_refused(pem: str) -> None:
    with pytest.raises(BadSigningRequest):
        read_signing_request(pem)


def test_a_request_signed_by_another_key_is_refused() -> None:
    """Swap the key inside a signed request: the signature no longer fits."""
    one, two = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    request = x509.load_pem_x509_csr(request_of(one).encode())
    points = [key.public_key().public_numbers().x.to_bytes(32, "big") for key in (one, two)]
    forged = request.public_bytes(Encoding.DER)
    ys = [key.public_key().public_numbers().y.to_bytes(32, "big") for key in (one, two)]
    forged = forged.replace(points[0], points[1]).replace(ys[0], ys[1])
    pem = x509.load_der_x509_csr(forged).public_bytes(Encoding.PEM).decode()
    with pytest.raises(BadSigningRequest, match="not signed by the key"):
        read_signing_request(pem)


def test_a_request_of_another_version_is_refused() -> None:
    """RFC 2986, 4.1: version 0 is the only one; it stands in the eighth octet here."""
    key = ec.generate_private_key(ec.SECP256R1())
    der = bytearray(x509.load_pem_x509_csr(request_of(key).encode()).public_bytes(Encoding.DER))
    version = der.index(b"\x02\x01\x00") + 2
    der[version] = 1
    body = base64.encodebytes(der).decode()
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(BadSigningRequest):
        read_signing_request(pem)


def test_a_request_that_comes_with_its_private_key_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(BadSigningRequest, match="more than one PEM"):
        read_signing_request(request_of(key) + key_pem(key).decode())


@given(position=st.integers(min_value=0), octet=st.integers(0, 255))
def test_a_damaged_request_is_read_or_refused_and_nothing_else(position: int, octet: int) -> None:
    der = bytearray(GOOD_DER)
    der[position % len(der)] = octet
    body = base64.encodebytes(der).decode()
    with suppress(BadSigningRequest):
        read_signing_request(
            f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"
        )


def test_a_request_signed_with_sha_1_is_refused(tmp_path: Path) -> None:
    command = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-sha1", "-nodes"]
    command += ["-subj", "/CN=anything", "-keyout", str(tmp_path / "key.pem")]
    made = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    with pytest.raises(BadSigningRequest, match="hash"):
        read_signing_request(made.stdout)


def test_a_request_too_long_is_not_parsed() -> None:
    with pytest.raises(BadSigningRequest, match="longer"):
        read_signing_request("x" * (SIZE_LIMIT + 1))


def test_a_request_made_by_openssl_is_taken(tmp_path: Path) -> None:
    command = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-subj", "/CN=anything", "-keyout", str(tmp_path / "key.pem")]
    made = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert isinstance(read_signing_request(made.stdout), ec.EllipticCurvePublicKey)

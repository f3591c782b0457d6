"""What a device proves with the key of its certificate."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certs.errors import BadSignature
from certs.signatures import check_signature, signing_key

ECDSA = ec.ECDSA(hashes.SHA256())
KINDS: dict[str, tuple[Callable[[], Any], tuple[Any, ...]]] = {
    "p256": (lambda: ec.generate_private_key(ec.SECP256R1()), (ECDSA,)),
    "p384": (lambda: ec.generate_private_key(ec.SECP384R1()), (ECDSA,)),
    "ed25519": (ed25519.Ed25519PrivateKey.generate, ()),
    "rsa": (
        lambda: rsa.generate_private_key(65537, 2048),
        (padding.PKCS1v15(), hashes.SHA256()),
    ),
}


def der_of(key: Any) -> bytes:
    der: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_proves_its_own_text_alone(kind: str) -> None:
    new_key, how = KINDS[kind]
    key = new_key()
    public, signature = signing_key(der_of(key)), key.sign(b"text", *how)
    check_signature(public, signature, b"text")
    for wrong, text in ((signature, b"other"), (signature[:-1], b"text"), (b"", b"text")):
        with pytest.raises(BadSignature):
            check_signature(public, wrong, text)
    if kind != "rsa":
        with pytest.raises(BadSignature):
            check_signature(signing_key(der_of(new_key())), signature, b"text")


def test_keys_that_are_not_certified_prove_nothing() -> None:
    for der in (b"", b"no key", der_of(ec.generate_private_key(ec.SECP521R1()))):
        with pytest.raises(BadSignature):
            signing_key(der)

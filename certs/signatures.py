"""Check what a device signed with the key of its certificate."""

from typing import cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

from certs.errors import BadSignature
from certs.keys import PublicKey, weakness_of


def signing_key(der: bytes) -> PublicKey:
    """The key of a SubjectPublicKeyInfo; BadSignature if it is not one that is certified."""
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadSignature("is not a public key (SubjectPublicKeyInfo, DER)") from error
    if weakness := weakness_of(key):
        raise BadSignature(weakness)
    return cast(PublicKey, key)


def check_signature(key: PublicKey, signature: bytes, content: bytes) -> None:
    """BadSignature unless *signature* is that of *content* by *key*.

    It is ECDSA or RSA (PKCS#1 v1.5), both with SHA-256, or Ed25519.
    """
    try:
        match key:
            case ec.EllipticCurvePublicKey():
                key.verify(signature, content, ec.ECDSA(hashes.SHA256()))
            case ed25519.Ed25519PublicKey():
                key.verify(signature, content)
            case _:
                key.verify(signature, content, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature as error:
        raise BadSignature("is not the signature of that key") from error

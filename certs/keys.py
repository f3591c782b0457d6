"""Keys: minimum strength, generation and encoding."""

import hashlib

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
"""Keys an authority may sign with: its own is ECDSA, an operator's may be RSA."""

ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
"""How a key under a passphrase begins (RFC 7468, 11)."""

RSA_BITS = range(2048, 4097)
RSA_EXPONENTS = range(65537, 2**32)
"""A greater one would make each check of a signature as slow as its sender likes."""
CURVES = (ec.SECP256R1, ec.SECP384R1)


def weakness_of(key: object) -> str:
    """Why *key* is not certified; empty for a good one."""
    match key:
        case ec.EllipticCurvePublicKey():
            good = isinstance(key.curve, CURVES)
            return "" if good else f"the curve {key.curve.name} is neither P-256 nor P-384"
        case rsa.RSAPublicKey():
            if key.key_size not in RSA_BITS:
                return f"an RSA key of {key.key_size} bits is not between 2048 and 4096"
            good = key.public_numbers().e in RSA_EXPONENTS
            return "" if good else "the public exponent of the RSA key is not from 65537 to 2^32-1"
        case ed25519.Ed25519PublicKey():
            return ""
        case _:
            return "the key is none of ECDSA P-256 or P-384, Ed25519 and RSA"


def key_digest(key: PublicKey) -> str:
    """By what a key is known again: SHA-256 of its SubjectPublicKeyInfo (RFC 5280), hexadecimal."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def certificate_key_digest(certificate: x509.Certificate) -> str:
    """`key_digest` of the key that *certificate* is for, of whatever kind."""
    der = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def new_private_key() -> ec.EllipticCurvePrivateKey:
    """A fresh ECDSA P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: SigningKey) -> bytes:
    """PKCS#8, PEM, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

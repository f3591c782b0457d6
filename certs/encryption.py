"""Private keys under a passphrase: PKCS#8 with scrypt (RFC 5958, RFC 8018, RFC 7914).

`cryptography` reads this form but writes only PBKDF2 with 2048 rounds, which a graphics card tries
by the million a second. The few lines of DER are checked against OpenSSL.
"""

import base64
import hashlib
import os
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from certs.keys import SigningKey, key_pem

SALT_BYTES = 16
IV_BYTES = 16

_COST, _BLOCK_SIZE, _PARALLEL = 2**14, 8, 5
"""16 MiB five times, of OWASP's list the strongest within the 32 MiB that OpenSSL grants."""

_INTEGER, _OCTETS, _IDENTIFIER, _SEQUENCE = 0x02, 0x04, 0x06, 0x30
_PBES2 = bytes.fromhex("2a864886f70d01050d")
_SCRYPT = bytes.fromhex("2b06010401da47040b")
_AES_256_CBC = bytes.fromhex("60864801650304012a")


class Randomness(NamedTuple):
    """Random values that each encryption needs anew."""

    salt: bytes
    iv: bytes


def encrypted_key_pem(
    key: SigningKey, passphrase: bytes, randomness: Randomness, *, cost: int = _COST
) -> bytes:
    """*key* as PKCS#8, PEM, to be opened with *passphrase* at that *cost*, a power of two."""
    salt, iv = randomness
    derived = hashlib.scrypt(
        passphrase, salt=salt, n=cost, r=_BLOCK_SIZE, p=_PARALLEL, maxmem=2**26, dklen=32
    )
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    padder = PKCS7(algorithms.AES.block_size).padder()
    encryptor = Cipher(algorithms.AES(derived), modes.CBC(iv)).encryptor()
    sealed = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    derivation = _sequence(
        _element(_IDENTIFIER, _SCRYPT),
        _sequence(
            _element(_OCTETS, salt), _integer(cost), _integer(_BLOCK_SIZE), _integer(_PARALLEL)
        ),
    )
    cipher = _sequence(_element(_IDENTIFIER, _AES_256_CBC), _element(_OCTETS, iv))
    algorithm = _sequence(_element(_IDENTIFIER, _PBES2), _sequence(derivation, cipher))
    body = base64.encodebytes(_sequence(algorithm, _element(_OCTETS, sealed)))
    return (
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + body + b"-----END ENCRYPTED PRIVATE KEY-----\n"
    )


def sealed_key_pem(key: SigningKey, passphrase: bytes | None) -> bytes:
    """*key* as it is kept: under *passphrase*, or plain where there is none."""
    if passphrase is None:
        return key_pem(key)
    randomness = Randomness(os.urandom(SALT_BYTES), os.urandom(IV_BYTES))
    return encrypted_key_pem(key, passphrase, randomness)


def _sequence(*parts: bytes) -> bytes:
    return _element(_SEQUENCE, b"".join(parts))


def _integer(value: int) -> bytes:
    return _element(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1))


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(octets))) + octets + content

"""HPKE in base mode (RFC 9180), to open what is sealed to this machine.

The suite is DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305. X25519 and ChaCha20Poly1305
are those of the libcrypto that Python's own TLS uses, or else of the package cryptography: an agent
has no dependencies, and the command openssl has no authenticated encryption.
"""

from __future__ import annotations

import hashlib
import hmac
import struct

from edgesync_agent.libcrypto import Primitives

KEM, KDF, AEAD = 0x0020, 0x0001, 0x0003
_VERSION = b"HPKE-v1"
_KEM_SUITE = b"KEM" + struct.pack(">H", KEM)
_SUITE = b"HPKE" + struct.pack(">HHH", KEM, KDF, AEAD)
_BASE = b"\x00"
KEY_BYTES = 32  # of X25519, and of ChaCha20Poly1305
NONCE_BYTES = 12
ENCAPSULATED_BYTES = 32
BASE_POINT = b"\x09" + bytes(31)  # of X25519 (RFC 7748, 6.1)


def public_key(primitives: Primitives, private: bytes) -> bytes:
    """The public key of 32 random bytes."""
    return primitives.exchange(private, BASE_POINT)


def open_sealed(
    primitives: Primitives, private: bytes, sealed: bytes, info: bytes, aad: bytes = b""
) -> bytes:
    """The text of *sealed*: the encapsulated key and the first ciphertext of its context.

    ValueError if it was not sealed to that key with that *info* and *aad*.
    """
    encapsulated, ciphertext = sealed[:ENCAPSULATED_BYTES], sealed[ENCAPSULATED_BYTES:]
    if len(encapsulated) != ENCAPSULATED_BYTES:
        raise ValueError("it is too short to be sealed")
    shared = _decapsulated(primitives, private, encapsulated)
    key, nonce = _schedule(shared, info)
    return primitives.decrypt(key, nonce, ciphertext, aad)


def _decapsulated(primitives: Primitives, private: bytes, encapsulated: bytes) -> bytes:
    """RFC 9180, 4.1: Decap."""
    exchanged = primitives.exchange(private, encapsulated)
    context = encapsulated + public_key(primitives, private)
    first = _labeled_extract(_KEM_SUITE, b"", b"eae_prk", exchanged)
    return _labeled_expand(_KEM_SUITE, first, b"shared_secret", context, KEY_BYTES)


def _schedule(shared: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Key and base nonce (RFC 9180, 5.1: KeySchedule in base mode)."""
    no_psk = _labeled_extract(_SUITE, b"", b"psk_id_hash", b"")
    context = _BASE + no_psk + _labeled_extract(_SUITE, b"", b"info_hash", info)
    secret = _labeled_extract(_SUITE, shared, b"secret", b"")
    key = _labeled_expand(_SUITE, secret, b"key", context, KEY_BYTES)
    return key, _labeled_expand(_SUITE, secret, b"base_nonce", context, NONCE_BYTES)


def _labeled_extract(suite: bytes, salt: bytes, label: bytes, content: bytes) -> bytes:
    labeled = _VERSION + suite + label + content
    return hmac.new(salt or bytes(32), labeled, hashlib.sha256).digest()


def _labeled_expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """One block of HKDF-Expand (RFC 5869) is all that is asked for."""
    labeled = struct.pack(">H", length) + _VERSION + suite + label + info
    return hmac.new(key, labeled + b"\x01", hashlib.sha256).digest()[:length]

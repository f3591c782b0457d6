"""X25519 and ChaCha20Poly1305, by the libcrypto of Python's own TLS or by the package cryptography.

Functions of libcrypto are those of OpenSSL 1.1.1 and later; LibreSSL has them, too.
"""

from __future__ import annotations

import ctypes
import importlib.util
import ssl
from typing import Any, Protocol, Sequence

X25519 = 1034  # NID_X25519 of obj_mac.h
SET_TAG = 0x11  # EVP_CTRL_AEAD_SET_TAG of evp.h
TAG_BYTES = 16
EMPTY_TEXT = bytes.fromhex("4eb972c9a8fb3a1b382bb4d36f5ffad1")  # encrypted with zeros


class Primitives(Protocol):
    """What HPKE is made of, beside HMAC."""

    def exchange(self, private: bytes, public: bytes) -> bytes:
        """The shared secret of X25519; ValueError if the keys have none."""
        ...

    def decrypt(self, key: bytes, nonce: bytes, content: bytes, aad: bytes) -> bytes:
        """What ChaCha20Poly1305 (RFC 8439) has encrypted; ValueError if that was changed."""
        ...


def find_primitives() -> Primitives | None:
    """Those of this machine; None where there are none."""
    for find in (Libcrypto, PackagePrimitives):
        try:
            found: Primitives = find()
            found.exchange(b"\x01" * 32, b"\x09" + bytes(31))
            found.decrypt(bytes(32), bytes(12), EMPTY_TEXT, b"")
        except (OSError, AttributeError, ImportError, ValueError):
            continue  # also where the library is there and refuses these functions
        return found
    return None


class PackagePrimitives:
    """Those of the package cryptography; ImportError where it is missing."""

    def __init__(self) -> None:
        if importlib.util.find_spec("cryptography") is None:
            raise ImportError("cryptography")

    def exchange(self, private: bytes, public: bytes) -> bytes:
        """As in `Primitives`."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import (
            X25519PrivateKey,
            X25519PublicKey,
        )

        own = X25519PrivateKey.from_private_bytes(private)
        return bytes(own.exchange(X25519PublicKey.from_public_bytes(public)))

    def decrypt(self, key: bytes, nonce: bytes, content: bytes, aad: bytes) -> bytes:
        """As in `Primitives`."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        try:
            return bytes(ChaCha20Poly1305(key).decrypt(nonce, content, aad))
        except InvalidTag as error:
            raise ValueError("it was sealed otherwise, or changed") from error


class Libcrypto:
    """Those of the library that the module `_ssl` is linked to; OSError, AttributeError if none."""

    def __init__(self) -> None:
        self._lib = _library()
        for name, result, arguments in _FUNCTIONS:
            function = getattr(self._lib, name)
            function.restype, function.argtypes = result, arguments

    def exchange(self, private: bytes, public: bytes) -> bytes:
        """As in `Primitives`."""
        lib = self._lib
        own = lib.EVP_PKEY_new_raw_private_key(X25519, None, private, len(private))
        peer = lib.EVP_PKEY_new_raw_public_key(X25519, None, public, len(public))
        context = lib.EVP_PKEY_CTX_new(own, None) if own else None
        shared, length = ctypes.create_string_buffer(32), ctypes.c_size_t(32)
        try:
            done = (
                context
                and peer
                and lib.EVP_PKEY_derive_init(context) == 1
                and lib.EVP_PKEY_derive_set_peer(context, peer) == 1
                and lib.EVP_PKEY_derive(context, shared, ctypes.byref(length)) == 1
            )
        finally:
            lib.EVP_PKEY_CTX_free(context)
            lib.EVP_PKEY_free(own)
            lib.EVP_PKEY_free(peer)
        if not done or length.value != 32:
            self._refuse("the keys have no shared secret")
        return shared.raw

    def decrypt(self, key: bytes, nonce: bytes, content: bytes, aad: bytes) -> bytes:
        """As in `Primitives`."""
        lib = self._lib
        text, tag = content[:-TAG_BYTES], content[-TAG_BYTES:]
        if len(tag) != TAG_BYTES:
            raise ValueError("it is too short to be sealed")
        opened, length = ctypes.create_string_buffer(len(text) + 1), ctypes.c_int()
        context = lib.EVP_CIPHER_CTX_new()
        try:
            cipher = lib.EVP_chacha20_poly1305()
            used = ctypes.byref(length)
            done = (
                lib.EVP_DecryptInit_ex(context, cipher, None, key, nonce) == 1
                and lib.EVP_DecryptUpdate(context, None, used, aad, len(aad)) == 1
                and lib.EVP_DecryptUpdate(context, opened, used, text, len(text)) == 1
                and lib.EVP_CIPHER_CTX_ctrl(context, SET_TAG, len(tag), tag) == 1
                and lib.EVP_DecryptFinal_ex(context, None, used) == 1
            )
        finally:
            lib.EVP_CIPHER_CTX_free(context)
        if not done:
            self._refuse("it was sealed otherwise, or changed")
        return opened.raw[: len(text)]

    def _refuse(self, reason: str) -> None:
        """ValueError; without errors left for what else uses the library in this thread."""
        self._lib.ERR_clear_error()
        raise ValueError(reason)


_P, _I, _B = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
_FUNCTIONS: Sequence[tuple[str, Any, Sequence[Any]]] = (
    ("EVP_PKEY_new_raw_private_key", _P, (_I, _P, _B, ctypes.c_size_t)),
    ("EVP_PKEY_new_raw_public_key", _P, (_I, _P, _B, ctypes.c_size_t)),
    ("EVP_PKEY_free", None, (_P,)),
    ("EVP_PKEY_CTX_new", _P, (_P, _P)),
    ("EVP_PKEY_CTX_free", None, (_P,)),
    ("EVP_PKEY_derive_init", _I, (_P,)),
    ("EVP_PKEY_derive_set_peer", _I, (_P, _P)),
    ("EVP_PKEY_derive", _I, (_P, _P, _P)),
    ("EVP_CIPHER_CTX_new", _P, ()),
    ("EVP_CIPHER_CTX_free", None, (_P,)),
    ("EVP_CIPHER_CTX_ctrl", _I, (_P, _I, _I, _B)),
    ("EVP_chacha20_poly1305", _P, ()),
    ("EVP_DecryptInit_ex", _I, (_P, _P, _P, _B, _B)),
    ("EVP_DecryptUpdate", _I, (_P, _P, _P, _B, _I)),
    ("EVP_DecryptFinal_ex", _I, (_P, _P, _P)),
    ("ERR_clear_error", None, ()),
)
"""Name, result and arguments of what is used (evp.h, err.h)."""


def _library() -> Any:
    """The library, by the file of `_ssl`, which is linked to it, or by its usual names."""
    import _ssl

    version = ssl.OPENSSL_VERSION_INFO[0]
    names = [getattr(_ssl, "__file__", None), f"libcrypto.so.{version}", "libcrypto.so.1.1"]
    for name in filter(None, names):
        try:
            found = ctypes.CDLL(name)
            found.EVP_PKEY_new_raw_private_key  # noqa: B018  # AttributeError: not in it
        except (OSError, AttributeError):
            continue
        return found
    raise OSError("there is no libcrypto")

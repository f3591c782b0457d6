"""Values that a browser keeps for the server, in cookies: sealed with a key of the server's."""

import base64
import binascii
import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.datastructures import Headers

from cloud.errors import Denied

_NONCE_BYTES = 12


class SealedValues:
    """Seals for one purpose, *bound_to*; *random* makes that many bytes."""

    def __init__(
        self, key: bytes, bound_to: bytes, *, random: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._cipher = AESGCM(key)
        self._bound_to = bound_to
        self._random = random

    def seal(self, plain: bytes) -> str:
        """*plain* as text that a cookie can hold."""
        nonce = self._random(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, plain, self._bound_to)
        return _text_of(sealed)

    def unseal(self, value: str) -> bytes:
        """What `seal` made *value* of; Denied if it was not a server with this key.

        No other text stands for the same: a value that was used or ended is known by its text.
        """
        try:
            sealed = _sealed_in(value)
            nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return self._cipher.decrypt(nonce, ciphertext, self._bound_to)
        except (binascii.Error, ValueError, InvalidTag) as error:
            raise Denied("the session is not one of this server, sign in again") from error


def _text_of(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def _sealed_in(value: str) -> bytes:
    """What `_text_of` made *value* of; ValueError for any other text, also of the same bytes."""
    sealed = base64.b64decode(value + "=" * (-len(value) % 4), b"-_", validate=True)
    if _text_of(sealed) != value:
        raise ValueError("another spelling of a sealed value")
    return sealed


def cookie_in(headers: Headers, name: str) -> str:
    """Value of the cookie *name*; empty where there is none, or more than one that differ."""
    values = set()
    for line in headers.getlist("cookie"):
        for part in line.split(";"):
            found, _, value = part.strip().partition("=")
            if found == name:
                values.add(value)
    return values.pop() if len(values) == 1 else ""


def set_cookie(
    name: str, value: str, max_age: int, *, path: str, same_site: str, is_secure: bool
) -> str:
    """The header Set-Cookie of a cookie that no script can read, for *max_age* seconds."""
    secure = "; Secure" if is_secure else ""
    attributes = f"Path={path}; Max-Age={max_age}; HttpOnly; SameSite={same_site}{secure}"
    return f"{name}={value}; {attributes}"

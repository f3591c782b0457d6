"""A sign-in on its way: what the server has to know when the provider sends the browser back.

The browser keeps it, sealed: any server of several can go on, with the browser that began.
"""

import hashlib
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta

import msgspec
from starlette.datastructures import Headers

from cloud.errors import Denied
from cloud.rest.sealed_values import SealedValues, cookie_in, set_cookie

COOKIE = "edgesync_sign_in"
LIFETIME = timedelta(minutes=10)
"""How long a sign-in may take."""


class PendingSignIn(msgspec.Struct, frozen=True, array_like=True):
    """*ends* is in seconds since 1970; *state*, *nonce* and *verifier* are random."""

    ends: int
    provider: str
    state: str
    nonce: str
    verifier: str
    redirect_uri: str

    @property
    def challenge(self) -> str:
        """The challenge that *verifier* answers (RFC 7636, section 4.2)."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return urlsafe_b64encode(digest).decode().rstrip("=")


class PendingSignIns:
    """Makes and reads the cookies."""

    def __init__(self, key: bytes) -> None:
        self._values = SealedValues(key, b"edgesync sign-in 1")

    def cookie(self, pending: PendingSignIn, *, is_secure: bool) -> str:
        """The header Set-Cookie that keeps *pending*.

        It comes back when the provider, another site, leads the browser here: SameSite=Lax.
        """
        value = self._values.seal(msgspec.json.encode(pending))
        return _set_cookie(value, int(LIFETIME.total_seconds()), is_secure=is_secure)

    def no_cookie(self, *, is_secure: bool) -> str:
        """The header Set-Cookie that forgets the sign-in."""
        return _set_cookie("", 0, is_secure=is_secure)

    def read(self, headers: Headers, now: datetime) -> PendingSignIn:
        """The sign-in of a request; Denied if there is none, or if it took too long."""
        plain = self._values.unseal(cookie_in(headers, COOKIE))
        pending = msgspec.json.decode(plain, type=PendingSignIn)
        if pending.ends <= now.timestamp():
            raise Denied("the sign-in took too long, begin again")
        return pending


def _set_cookie(value: str, max_age: int, *, is_secure: bool) -> str:
    return set_cookie(COOKIE, value, max_age, path="/login", same_site="Lax", is_secure=is_secure)

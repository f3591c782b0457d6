"""The cookie that stands for a token in a browser.

It holds the token, sealed with a key of the server's, and its own end: each server with the key can
open it, and a token that is revoked ends its sessions at once. What the database holds is which
sessions were ended before their time, by their digests. See docs/decisions for why.
"""

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers

from cloud.errors import Denied, Forbidden
from cloud.rest.sealed_values import SealedValues, cookie_in, set_cookie

COOKIE = "edgesync_session"
CSRF_HEADER = "X-Edgesync-CSRF"
LIFETIME = timedelta(hours=12)
"""How long who signed in stays so; then the token is asked for again."""

_BOUND_TO = b"edgesync session 1"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    """The content of the cookie: seconds since 1970, and a token."""

    ends: int
    token: str


class Sessions:
    """Owns the key; *random* makes that many bytes."""

    def __init__(self, key: bytes, *, random: Callable[[int], bytes] = os.urandom) -> None:
        self._values = SealedValues(key, _BOUND_TO, random=random)

    def cookie(
        self, token: str, now: datetime, *, is_secure: bool, lifetime: timedelta = LIFETIME
    ) -> str:
        """The header Set-Cookie that begins a session of who has *token*."""
        ends = int((now + lifetime).timestamp())
        value = self._values.seal(msgspec.json.encode(_Sealed(ends, token)))
        return _set_cookie(value, int(lifetime.total_seconds()), is_secure=is_secure)

    def no_cookie(self, *, is_secure: bool) -> str:
        """The header Set-Cookie that ends a session."""
        return _set_cookie("", 0, is_secure=is_secure)

    def has_cookie(self, headers: Headers) -> bool:
        """Return whether a request claims to belong to a session."""
        return bool(cookie_in(headers, COOKIE))

    def token(self, headers: Headers, now: datetime) -> str:
        """The token that the cookie of a request stands for; Denied where it is not ours or old."""
        return self._opened(headers, now).token

    def end(self, headers: Headers, now: datetime) -> datetime:
        """When the session of a request ends; Denied as by `token`."""
        return datetime.fromtimestamp(self._opened(headers, now).ends, UTC)

    def digest(self, headers: Headers) -> str:
        """The key of the request's session in the database; empty where there is none."""
        value = cookie_in(headers, COOKIE)
        return hashlib.sha256(value.encode()).hexdigest() if value else ""

    def _opened(self, headers: Headers, now: datetime) -> _Sealed:
        plain = self._values.unseal(cookie_in(headers, COOKIE))
        session = msgspec.json.decode(plain, type=_Sealed)
        if session.ends <= now.timestamp():
            raise Denied("the session has ended, sign in again")
        return session


def check_own_page(method: str, headers: Headers) -> None:
    """Forbidden for a request with a cookie that another site may have made a browser send.

    The header cannot be set across origins without a preflight; the browser sends the origin.
    """
    site = headers.get("sec-fetch-site")
    if site not in (None, "same-origin", "none"):
        raise Forbidden("with a session, requests come from the page of this server alone")
    if method in _READING:
        return
    if headers.get(CSRF_HEADER) != "1":
        raise Forbidden(f"with a session, a change needs the header {CSRF_HEADER}: 1")
    origin = headers.get("origin")
    if site == "same-origin" or (origin and urlsplit(origin).netloc == headers.get("host")):
        return
    raise Forbidden("with a session, changes come from the page of this server alone")


def _set_cookie(value: str, max_age: int, *, is_secure: bool) -> str:
    return set_cookie(COOKIE, value, max_age, path="/", same_site="Strict", is_secure=is_secure)

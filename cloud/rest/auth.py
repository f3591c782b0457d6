"""The caller of a request."""

from functools import partial

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from cloud.core.tokens import Caller
from cloud.errors import Denied
from cloud.http.requests import address_key_of
from cloud.rest.authenticator import Authenticator
from cloud.rest.sessions import Sessions, check_own_page

_SCOPE_KEY = "edgesync.caller"
_AGAIN_KEY = "edgesync.caller_again"


def caller_of(request: Request) -> Caller:
    """Who sent the request, as `TokenGate` found out."""
    caller: Caller = request.scope[_SCOPE_KEY]
    return caller


async def check_again(request: Request) -> Caller:
    """Who sent the request, as it is now; Denied if the credentials have expired meanwhile."""
    caller: Caller = await request.scope[_AGAIN_KEY]()
    return caller


class TokenGate:
    """Lets requests below `/v1`, whether there is such a path or not, in with a token alone.

    The token is in the header, or in the cookie of a session; with the cookie only our own page may
    change something. An address that repeats requests without a valid token gets TooManyRequests;
    with one a request from there is accepted.
    """

    def __init__(self, app: ASGIApp, *, authenticator: Authenticator, sessions: Sessions) -> None:
        self.app = app
        self.authenticator = authenticator
        self.sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its caller, Denied, or TooManyRequests."""
        if scope["type"] == "http":
            await self._admit(scope)
        await self.app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        if not _is_guarded(scope["path"]):
            self.authenticator.limits.calls.take(address_key_of(scope))
            return
        async with self.authenticator.recording_denials(scope):
            scope[_AGAIN_KEY] = partial(self._look_up, scope)
            scope[_SCOPE_KEY] = await self.authenticator.caller(*self._shown(scope))

    async def _look_up(self, scope: Scope) -> Caller:
        return await self.authenticator.look_up(*self._shown(scope))

    def _shown(self, scope: Scope) -> tuple[str, str]:
        """The token, and the digest of the session that stands for it, empty without one."""
        headers = Headers(scope=scope)
        authorization = headers.get("authorization")
        if authorization is not None or not self.sessions.has_cookie(headers):
            return _bearer(authorization or ""), ""
        token = self.sessions.token(headers, self.authenticator.clock())
        check_own_page(scope["method"], headers)
        return token, self.sessions.digest(headers)


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Denied("send the header Authorization: Bearer <token>")
    return token.strip()


def _is_guarded(path: str) -> bool:
    return path in {"/v1", "/metrics"} or path.startswith("/v1/")

"""Signing in with a token, for browsers: `/session`."""

import contextlib
from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cloud.core.times import time_text
from cloud.core.tokens import EVERYWHERE
from cloud.errors import Denied
from cloud.http.addresses import Network
from cloud.http.answers import json_response
from cloud.http.requests import is_secure, read_json
from cloud.http.routing import CheckedRoute
from cloud.rest.authenticator import Authenticator
from cloud.rest.sessions import Sessions, check_own_page
from cloud.rest.sign_in.token_routes import BODY_LIMIT


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The credentials of a sign-in."""

    token: str


def session_routes(
    authenticator: Authenticator,
    sessions: Sessions,
    *,
    default_namespace: str,
    trusted_proxies: Sequence[Network],
) -> list[Route]:
    """POST begins a session, DELETE ends it, GET returns its user; none needs one before."""

    async def begin(request: Request) -> Response:
        sent = await read_json(request, SignIn, BODY_LIMIT)
        async with authenticator.recording_denials(request.scope):
            check_own_page(request.method, request.headers)
            token = sent.token.strip()
            if not token:
                raise Denied("the token is empty")
            await authenticator.caller(token)
        cookie = sessions.cookie(token, authenticator.clock(), is_secure=secure(request))
        return _answer({"success": True}, cookie)

    async def end(request: Request) -> Response:
        """Have every server refuse the cookie from now on, and the browser drop it."""
        headers = request.headers
        check_own_page(request.method, headers)
        with contextlib.suppress(Denied):  # an invalid cookie needs no end
            now = authenticator.clock()
            token, ends = sessions.token(headers, now), sessions.end(headers, now)
            await authenticator.end_session(sessions.digest(headers), token, ends=ends)
        return _answer({"success": True}, sessions.no_cookie(is_secure=secure(request)))

    async def show_session(request: Request) -> Response:
        """Who is signed in: no error without a session, so that a client can probe."""
        if not sessions.has_cookie(request.headers):
            return _answer({"signedIn": False, "reason": ""})
        now = authenticator.clock()
        try:
            token = sessions.token(request.headers, now)
            caller = await authenticator.caller(token, sessions.digest(request.headers))
        except Denied as error:
            left = sessions.no_cookie(is_secure=secure(request))
            return _answer({"signedIn": False, "reason": error.reason}, left)
        return _answer(
            {
                "signedIn": True,
                "name": caller.actor.name,
                "role": caller.role_in(caller.namespace) or caller.grants[caller.namespace],
                "namespace": caller.namespace if len(caller.grants) == 1 else EVERYWHERE,
                "grants": caller.grants,
                "defaultNamespace": caller.own_namespace(default_namespace),
                "endTime": time_text(sessions.end(request.headers, now)),
            }
        )

    def secure(request: Request) -> bool:
        return is_secure(request, trusted_proxies)

    return [
        CheckedRoute("/session", begin, methods=["POST"]),
        CheckedRoute("/session", end, methods=["DELETE"]),
        CheckedRoute("/session", show_session, methods=["GET"]),
    ]


def _answer(value: object, cookie: str = "") -> Response:
    headers = {"Cache-Control": "no-store"} | ({"Set-Cookie": cookie} if cookie else {})
    return json_response(value, headers=headers)

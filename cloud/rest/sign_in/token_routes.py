"""Tokens for programs and the command line: `/login/token`, `/login/device`, `/login/approval`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from urllib.parse import parse_qsl, quote

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cloud.core.device_logins import shown_user_code
from cloud.core.identity_providers import TOKEN_LIMIT
from cloud.core.times import time_text
from cloud.core.tokens import Caller
from cloud.core.user_sessions import NewSession, Origin
from cloud.errors import Denied, Invalid
from cloud.http.addresses import Network
from cloud.http.answers import json_response
from cloud.http.requests import (
    address_of,
    is_secure,
    media_type_of,
    network_key_of,
    read_body,
    read_json,
    request_id,
)
from cloud.http.routing import CheckedRoute
from cloud.operations.device_logins import Poll
from cloud.rest.authenticator import Authenticator
from cloud.rest.sessions import Sessions, check_own_page
from cloud.rest.sign_in.command_line import CLIENT_ID, CommandLineSignIn

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
CODE_GRANT = "authorization_code"

TokenGrant = Callable[[Request, Mapping[str, str]], Awaitable[Response]]
"""Answers a request for a token with the form of it."""

BODY_LIMIT = 4096
"""Bytes of a sign-in, or of a decision about a login."""

NO_STORE = {"Cache-Control": "no-store"}


class LoginApproval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a user decided about a login: one with a *code*, or the authorization *request*."""

    approve: bool
    code: str = ""
    request: str = ""


def token_routes(
    command_line: CommandLineSignIn,
    authenticator: Authenticator,
    grants: Mapping[str, TokenGrant],
    *,
    trusted_proxies: Sequence[Network],
) -> list[Route]:
    """Tokens, and logins that wait for a user; *grants* are further types of grants."""

    async def begin(request: Request) -> Response:
        """A device authorization request (RFC 8628, section 3.1)."""
        if (await form_of(request)).get("client_id") != CLIENT_ID:
            return _error("invalid_client")
        begun = await command_line.begin(origin_of(request), network_key_of(request.scope))
        login = begun.login
        code = shown_user_code(login.user_code)
        scheme = "https" if is_secure(request, trusted_proxies) else "http"
        place = f"{scheme}://{request.url.netloc}/device"
        answer = {
            "device_code": begun.device_code,
            "user_code": code,
            "verification_uri": place,
            "verification_uri_complete": f"{place}?user_code={code}",
            "expires_in": int((login.expires - login.created).total_seconds()),
            "interval": int(login.interval.total_seconds()),
        }
        return json_response(answer, headers=NO_STORE)

    async def poll(request: Request, form: Mapping[str, str]) -> Response:
        found: NewSession | Poll
        try:
            async with authenticator.recording_denials(request.scope):
                found = await command_line.polled(form.get("device_code", ""), origin_of(request))
        except Denied:
            return _error("invalid_grant")
        return _error(found.value) if isinstance(found, Poll) else _token(found)

    async def redeem(request: Request, form: Mapping[str, str]) -> Response:
        try:
            async with authenticator.recording_denials(request.scope):
                return _token(await command_line.redeemed(form, origin_of(request)))
        except Denied:
            return _error("invalid_grant")

    known: Mapping[str, TokenGrant] = {DEVICE_GRANT: poll, CODE_GRANT: redeem, **grants}

    async def token(request: Request) -> Response:
        """A token for what is shown (RFC 6749, section 3.2)."""
        form = await form_of(request)
        grant = known.get(form.get("grant_type", ""))
        if grant is None:
            raise Invalid("grant_type", f"is none of {', '.join(sorted(known))}")
        return await grant(request, form)

    return [
        CheckedRoute("/login/token", token, methods=["POST"]),
        CheckedRoute("/login/device", begin, methods=["POST"]),
    ]


def approval_routes(
    command_line: CommandLineSignIn, authenticator: Authenticator, sessions: Sessions
) -> list[Route]:
    """Where the browser of a user confirms a login of the command line."""

    async def authorize(request: Request) -> Response:
        """Lead the browser of a command line to the page where the user confirms."""
        sealed = command_line.asked(request.query_params)
        return RedirectResponse(f"/#/login?request={sealed}", 303, NO_STORE)

    async def type_code(request: Request) -> Response:
        """Lead a browser to the page where the user compares the code."""
        code = quote(request.query_params.get("user_code", ""), safe="")
        return RedirectResponse(f"/#/login?code={code}", 303, NO_STORE)

    async def look(request: Request) -> Response:
        """The login that waits with a code, for the user to compare."""
        caller = await user(request)
        async with recording(request, caller):
            login = await command_line.look(caller, request.query_params.get("code", ""))
        answer = {
            "code": shown_user_code(login.user_code),
            "address": login.address,
            "createTime": time_text(login.created),
            "expires": time_text(login.expires),
        }
        return json_response(answer, headers=NO_STORE)

    async def approve(request: Request) -> Response:
        """Carry out what a user decided; `location` is where the browser goes on."""
        caller = await user(request)
        sent = await read_json(request, LoginApproval, BODY_LIMIT)
        if bool(sent.code) == bool(sent.request):
            raise Invalid("code", "has to be there, or request")
        location, origin, is_approved = "", origin_of(request), sent.approve
        async with recording(request, caller, is_approved=is_approved):
            if sent.request:
                location = await command_line.authorized(
                    caller, sent.request, origin, is_approved=is_approved
                )
            else:
                await command_line.decide(caller, sent.code, origin, is_approved=is_approved)
        return json_response({"success": True, "location": location}, headers=NO_STORE)

    def recording(
        request: Request, caller: Caller, *, is_approved: bool = True
    ) -> AbstractAsyncContextManager[None]:
        """Record what is refused of a decision, or of the look before it."""
        attempt = command_line.decision(caller, origin_of(request), is_approved=is_approved)
        return authenticator.refusals.recording(attempt)

    async def user(request: Request) -> Caller:
        """Who is signed in in the browser; Denied without a session, Forbidden for other pages."""
        async with authenticator.recording_denials(request.scope):
            check_own_page(request.method, request.headers)
            shown = sessions.token(request.headers, authenticator.clock())
            return await authenticator.caller(shown, sessions.digest(request.headers))

    return [
        # Clients may add parameters, which are ignored (RFC 6749, section 3.1).
        Route("/login/authorize", authorize, methods=["GET"]),
        CheckedRoute("/device", type_code, methods=["GET"], known=("user_code",)),
        CheckedRoute("/login/approval", look, methods=["GET"], known=("code",)),
        CheckedRoute("/login/approval", approve, methods=["POST"]),
    ]


async def form_of(request: Request) -> Mapping[str, str]:
    """The form that *request* sends; Invalid for anything else, and a field that is there twice."""
    if media_type_of(request) != "application/x-www-form-urlencoded":
        raise Invalid("", "the body is not application/x-www-form-urlencoded")
    body = await read_body(request, 2 * TOKEN_LIMIT)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise Invalid("", "the body is not a form") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise Invalid("", "the form has a field twice")
    return form


def origin_of(request: Request) -> Origin:
    """Where *request* is from, for the audit log."""
    return Origin(address_of(request.scope), request_id(request))


def _token(new: NewSession) -> Response:
    answer = {
        "access_token": new.secret,
        "token_type": "Bearer",
        "expires_in": int(new.lifetime.total_seconds()),
    }
    return json_response(answer, headers=NO_STORE)


def _error(code: str) -> Response:
    """An error as RFC 6749, section 5.2, has it."""
    return json_response({"error": code}, status=400, headers=NO_STORE)

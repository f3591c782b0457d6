"""Signing in with an identity provider: `/login`."""

import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cloud.core.identity_providers import IdentityProvider
from cloud.core.user_sessions import NewSession
from cloud.errors import Denied, Invalid, Unavailable
from cloud.http.addresses import Network
from cloud.http.answers import json_response
from cloud.http.requests import (
    is_secure,
    network_key_of,
    read_json,
)
from cloud.http.routing import CheckedRoute
from cloud.rest.authenticator import Authenticator
from cloud.rest.sessions import Sessions, check_own_page
from cloud.rest.sign_in.local import Credentials, LocalSignIn, PasswordChange
from cloud.rest.sign_in.pending_sign_in import LIFETIME, PendingSignIn
from cloud.rest.sign_in.token_routes import BODY_LIMIT, NO_STORE, TokenGrant, origin_of

if TYPE_CHECKING:
    from cloud.rest.sign_in.provider_client import ProviderClient
    from cloud.rest.sign_in.service import SignInService

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
SUBJECT_TOKENS = frozenset(
    {"urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:jwt"}
)
"""Types of the tokens that can be exchanged (RFC 8693, section 3)."""


def local_sign_in_routes(
    local: LocalSignIn,
    sessions: Sessions,
    providers: Sequence[IdentityProvider],
    *,
    clock: Callable[[], datetime],
    trusted_proxies: Sequence[Network],
) -> list[Route]:
    """The ways to sign in, and the sign-in of local users in a browser."""

    async def show_ways(_request: Request) -> Response:
        """The providers, and whether there are local users."""
        found = [
            {
                "name": one.name,
                "label": one.label or one.name,
                "issuer": one.issuer,
                "clientId": one.device_client_id or one.client_id,
                "scopes": list(one.scopes),
                "signIn": one.sign_in,
                "exchange": one.exchange,
            }
            for one in providers
        ]
        return json_response({"providers": found, "local": await local.has_users()})

    async def sign_in(request: Request) -> Response:
        """A session for a name and a password; the one of the browser before is not used."""
        check_own_page(request.method, request.headers)
        shown = await read_json(request, Credentials, BODY_LIMIT)
        return entered(
            request,
            await local.signed_in(shown, origin_of(request), network_key_of(request.scope)),
        )

    async def change_password(request: Request) -> Response:
        """A new password for who shows the present one; the browser gets a new session."""
        check_own_page(request.method, request.headers)
        shown = await read_json(request, PasswordChange, BODY_LIMIT)
        return entered(
            request,
            await local.password_changed(shown, origin_of(request), network_key_of(request.scope)),
        )

    def entered(request: Request, new: NewSession) -> Response:
        secure = is_secure(request, trusted_proxies)
        cookie = sessions.cookie(new.secret, clock(), is_secure=secure, lifetime=new.lifetime)
        return json_response({"success": True}, headers={**NO_STORE, "Set-Cookie": cookie})

    return [
        CheckedRoute("/login", show_ways, methods=["GET"]),
        CheckedRoute("/login/local", sign_in, methods=["POST"]),
        CheckedRoute("/login/local/password", change_password, methods=["POST"]),
    ]


def sign_in_routes(
    identity: "SignInService",
    sessions: Sessions,
    *,
    trusted_proxies: Sequence[Network],
) -> list[Route]:
    """A sign-in with a provider in a browser."""
    pending = identity.pending

    async def begin(request: Request) -> Response:
        """Lead the browser to the provider."""
        client = identity.client(request.path_params["provider"])
        metadata = await client.metadata()
        secure = is_secure(request, trusted_proxies)
        scheme = "https" if secure else "http"
        own = f"{scheme}://{request.url.netloc}/login/{client.provider.name}/callback"
        started = PendingSignIn(
            int((identity.clock() + LIFETIME).timestamp()),
            client.provider.name,
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(32),
            redirect_uri=own,
        )
        place = _authorization_url(metadata.authorization_endpoint, client, started)
        cookie = pending.cookie(started, is_secure=secure)
        return RedirectResponse(place, 303, {**NO_STORE, "Set-Cookie": cookie})

    async def come_back(request: Request) -> Response:
        """The browser is back from the provider: begin a session, or show that it was refused."""
        client = identity.client(request.path_params["provider"])
        secure = is_secure(request, trusted_proxies)
        gone = pending.no_cookie(is_secure=secure)
        try:
            new = await finish(request, client)
        except Denied as error:
            await identity.record_refusal(client.provider.name, error, origin_of(request))
            return _home("refused", gone)
        except Unavailable:
            return _home("unavailable", gone)
        cookie = sessions.cookie(
            new.secret, identity.clock(), is_secure=secure, lifetime=new.lifetime
        )
        return _home("", gone, cookie)

    async def finish(request: Request, client: "ProviderClient") -> NewSession:
        started = pending.read(request.headers, identity.clock())
        code = await _code_in(request.query_params, started, client)
        token = await client.id_token_for(code, started.verifier, started.redirect_uri)
        return await identity.signed_in(client, token, started.nonce, origin_of(request))

    return [
        CheckedRoute("/login/{provider}", begin, methods=["GET"]),
        # Providers add parameters of their own.
        Route("/login/{provider}/callback", come_back, methods=["GET"]),
    ]


def exchange_grant(identity: "SignInService", authenticator: Authenticator) -> TokenGrant:
    """A session for a token of a provider (RFC 8693)."""

    async def exchange(request: Request, form: Mapping[str, str]) -> Response:
        token = _subject_token(form)
        async with authenticator.recording_denials(request.scope):
            new = await identity.exchanged(token, origin_of(request))
        return json_response(
            {
                "access_token": new.secret,
                "issued_token_type": ACCESS_TOKEN,
                "token_type": "Bearer",
                "expires_in": int(new.lifetime.total_seconds()),
            },
            headers=NO_STORE,
        )

    return exchange


def _authorization_url(endpoint: str, client: "ProviderClient", started: PendingSignIn) -> str:
    parts = urlsplit(endpoint)
    query = [
        *parse_qsl(parts.query),
        ("response_type", "code"),
        ("client_id", client.provider.client_id),
        ("redirect_uri", started.redirect_uri),
        ("scope", " ".join(client.provider.scopes)),
        ("state", started.state),
        ("nonce", started.nonce),
        ("code_challenge", started.challenge),
        ("code_challenge_method", "S256"),
    ]
    return urlunsplit(parts._replace(query=urlencode(query)))


async def _code_in(
    query: Mapping[str, str], started: PendingSignIn, client: "ProviderClient"
) -> str:
    """The code of the response that belongs to the sign-in *started*; Denied for any other."""
    if started.provider != client.provider.name:
        raise Denied("the sign-in was begun with another provider")
    if not hmac.compare_digest(query.get("state", "").encode(), started.state.encode()):
        raise Denied("the response does not belong to the sign-in of this browser")
    metadata = await client.metadata()
    issuer = query.get("iss")
    if issuer is None and metadata.authorization_response_iss_parameter_supported:
        raise Denied("the response does not name its issuer")
    if issuer not in (None, client.provider.issuer):
        raise Denied("the response is from another issuer")  # RFC 9207: mix-up
    if "error" in query:
        raise Denied(f"{client.provider.name} refused the sign-in: {query['error'][:80]}")
    if not query.get("code"):
        raise Denied("the response has no code")
    return query["code"]


def _subject_token(form: Mapping[str, str]) -> str:
    if form.get("subject_token_type") not in SUBJECT_TOKENS:
        raise Invalid("subject_token_type", f"is none of {', '.join(sorted(SUBJECT_TOKENS))}")
    if not form.get("subject_token"):
        raise Invalid("subject_token", "is missing")
    return form["subject_token"]


def _home(refusal: str, *cookies: str) -> Response:
    """Lead to the dashboard; *refusal* is a word that it has a text for."""
    response = RedirectResponse(f"/?signIn={refusal}" if refusal else "/", 303, NO_STORE)
    for cookie in cookies:
        response.headers.append("Set-Cookie", cookie)
    return response

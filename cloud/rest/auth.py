"""Who is calling."""

import hashlib
import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from cloud.core.audit import UNKNOWN, Action, Actor, ActorKind, Attempt
from cloud.core.tokens import EVERYWHERE, Caller, Role
from cloud.errors import Denied, Unavailable
from cloud.http.limits import UNLIMITED, Limiter
from cloud.http.refusals import RefusalLog
from cloud.http.requests import address_key_of, address_of, request_id
from cloud.operations.tokens import record_use, valid_token
from cloud.store.interface import Store

logger = logging.getLogger(__name__)

_SCOPE_KEY = "edgesync.caller"
_AGAIN_KEY = "edgesync.caller_again"
_ADMINISTRATOR = Caller(Role.ADMIN, EVERYWHERE)


def caller_of(request: Request) -> Caller:
    """Who sent the request, as `TokenGate` found out."""
    caller: Caller = request.scope[_SCOPE_KEY]
    return caller


async def check_again(request: Request) -> None:
    """Denied if what the request was let in with has ended meanwhile."""
    await request.scope[_AGAIN_KEY]()


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How often one token, or one address where none is needed, may call; and one be denied."""

    calls: Limiter = UNLIMITED
    denials: Limiter = UNLIMITED


NO_LIMITS = CallLimits()
"""Everybody may call as often as they like."""


class TokenGate:
    """Lets requests below `/v1`, whether there is such a path or not, in with a token alone.

    Tokens are looked up for each request: one that was revoked is refused from then on. An address
    that keeps coming without a valid one is told TooManyRequests; who has one is let in from there.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        admin_digest: bytes,
        store: Store,
        clock: Callable[[], datetime],
        limits: CallLimits,
        refusals: RefusalLog,
    ) -> None:
        self.app = app
        # SHA-256 of the administrator's token; the token itself is not kept.
        self.admin_digest = admin_digest
        self.store = store
        self.clock = clock
        self.limits = limits
        self.refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its caller, Denied, or TooManyRequests."""
        if scope["type"] == "http":
            await self._admit(scope)
        await self.app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        if not _is_guarded(scope["path"]):
            self.limits.calls.take(address_key_of(scope))
            return
        try:
            token = _token(Headers(scope=scope).get("authorization", ""))
            digest = hashlib.sha256(token.encode()).digest()
            scope[_AGAIN_KEY] = partial(self._caller, token, digest)
            scope[_SCOPE_KEY] = await self._caller(token, digest)
        except Denied as error:
            await self.refusals.note(self._attempt(scope), error)
            self.limits.denials.take(address_key_of(scope))
            raise
        self.limits.calls.take(digest.hex())

    def _attempt(self, scope: Scope) -> Attempt:
        return Attempt(
            UNKNOWN,
            Action.API_AUTHENTICATE,
            self.clock(),
            name=f"{scope['method']} {scope['path']}",
            address=address_of(scope),
            request_id=request_id(Request(scope)),
        )

    async def _caller(self, token: str, digest: bytes) -> Caller:
        if hmac.compare_digest(digest, self.admin_digest):
            return _ADMINISTRATOR
        now = self.clock()
        found = await self.store.read(lambda tx: valid_token(tx, token, now=now))
        if found.is_use_due(now):
            try:
                await self.store.write(lambda tx: record_use(tx, token, now=now))
            except Unavailable as error:
                # A full disk is no reason to keep people from looking.
                logger.warning("cannot record the use of token %s: %s", found.name, error.reason)
        actor = Actor(ActorKind.TOKEN, found.name, found.namespace)
        return Caller(found.role, found.namespace, actor)


def _token(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Denied("send the header Authorization: Bearer <token>")
    return token.strip()


def _is_guarded(path: str) -> bool:
    return path in {"/v1", "/metrics"} or path.startswith("/v1/")

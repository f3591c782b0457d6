"""Authentication of API calls by token or session, and rate limits for them."""

import contextlib
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.types import Scope

from cloud.core.audit import UNKNOWN, Action, Actor, ActorKind, Attempt
from cloud.core.installation import digest_of
from cloud.core.tokens import EVERYWHERE, Caller, Role
from cloud.errors import Denied, Forbidden, Unavailable
from cloud.http.limits import UNLIMITED, Limiter
from cloud.http.refusals import RefusalLog
from cloud.http.requests import address_key_of, address_of, request_id
from cloud.operations.tokens import record_use, valid_token
from cloud.store.transaction import Store

logger = logging.getLogger(__name__)

_ADMINISTRATOR = Caller(Role.ADMIN, EVERYWHERE)


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Rate limits: calls of one token, or of one address without it; denials of one address."""

    calls: Limiter = UNLIMITED
    denials: Limiter = UNLIMITED


NO_LIMITS = CallLimits()
"""No rate limits."""


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Looks up the token of each call, so that a revoked one is refused from then on."""

    # SHA-256 of the administrator's token; the token itself is not retained.
    admin_digest: bytes
    store: Store
    clock: Callable[[], datetime]
    limits: CallLimits
    refusals: RefusalLog

    async def caller(self, token: str, session: str = "") -> Caller:
        """The caller with *token*; Denied if it is not valid, TooManyRequests over the rate limit.

        *session* is the digest of the session it is from, empty without one; Denied too if that
        has ended.
        """
        caller = await self.look_up(token, session)
        self.limits.calls.take(digest_of(token))
        return caller

    async def end_session(self, session: str, *, ends: datetime) -> None:
        """End that session on every server; it would expire at *ends*."""
        now = self.clock()
        await self.store.write(lambda tx: tx.end_session(session, ends=ends, now=now))

    async def look_up(self, token: str, session: str = "") -> Caller:
        """As `caller`, without counting the call."""
        if session:
            has_ended: bool = await self.store.read(lambda tx: tx.has_ended_session(session))
            if has_ended:
                raise Denied("the session has ended, sign in again")
        digest = hashlib.sha256(token.encode()).digest()
        if hmac.compare_digest(digest, self.admin_digest):
            return _ADMINISTRATOR
        now = self.clock()
        found = await self.store.read_short(lambda tx: valid_token(tx, token, now=now))
        if found.is_use_due(now):
            try:
                await self.store.write(lambda tx: record_use(tx, token, now=now))
            except Unavailable as error:
                # Reads have to work also on a full disk.
                logger.warning("cannot record the use of token %s: %s", found.name, error.reason)
        actor = Actor(ActorKind.TOKEN, found.name, found.namespace)
        return Caller(found.role, found.namespace, actor)

    @contextlib.asynccontextmanager
    async def recording_denials(self, scope: Scope) -> AsyncIterator[None]:
        """Record and count Denied and Forbidden that the block raises.

        An address over the limit of denials gets TooManyRequests instead.
        """
        try:
            yield
        except Forbidden as error:
            await self.refusals.record(self._attempt(scope), error)
            raise
        except Denied as error:
            await self.refusals.record(self._attempt(scope), error)
            self.limits.denials.take(address_key_of(scope))
            raise

    def _attempt(self, scope: Scope) -> Attempt:
        return Attempt(
            UNKNOWN,
            Action.API_AUTHENTICATE,
            self.clock(),
            name=f"{scope['method']} {scope['path']}",
            address=address_of(scope),
            request_id=request_id(Request(scope)),
        )

"""Authentication of API calls by token or session, and rate limits for them."""

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from starlette.requests import Request
from starlette.types import Scope

from cloud.core.audit import UNKNOWN, Action, Actor, ActorKind, Attempt
from cloud.core.installation import digest_of
from cloud.core.tokens import EVERYWHERE, ApiToken, Caller, Role
from cloud.core.user_sessions import SECRET_PREFIX, UserSession
from cloud.errors import Denied, Forbidden, Unavailable
from cloud.http.limits import UNLIMITED, Limiter
from cloud.http.refusals import RefusalLog
from cloud.http.requests import address_key_of, address_of, request_id
from cloud.operations.admin_access import is_admin_token
from cloud.operations.custom_roles import CustomRoles, custom_roles_of
from cloud.operations.tokens import record_use, valid
from cloud.operations.user_sessions import record_session_use, valid_session
from cloud.store.transaction import Store, Transaction

logger = logging.getLogger(__name__)

_ADMINISTRATOR = Caller({EVERYWHERE: Role.ADMIN})

_REMEMBERED = 1024
"""Tokens that are remembered at most, also such as are not valid."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Rate limits: calls of one token, or of one address without it; denials of one address."""

    calls: Limiter = UNLIMITED
    denials: Limiter = UNLIMITED


NO_LIMITS = CallLimits()
"""No rate limits."""


class _KnownToken(NamedTuple):
    """What the store has about a token, valid or not."""

    is_admin: bool
    token: ApiToken | None = None
    roles: CustomRoles = MappingProxyType({})


def _unknown_revision() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Looks up the token of each call, so that a revoked one is refused from then on.

    What was found is used again while the *revision* of the store is the same.
    """

    # SHA-256 of the administrator's token in the file of this server; empty where there is none.
    admin_digest: str
    store: Store
    clock: Callable[[], datetime]
    limits: CallLimits
    refusals: RefusalLog
    revision: Callable[[], int | None] = _unknown_revision
    # By digest, with the revision that was read before.
    _known: dict[str, tuple[int, _KnownToken]] = field(default_factory=dict, repr=False)

    async def caller(self, token: str, session: str = "") -> Caller:
        """The caller with *token*; Denied if it is not valid, TooManyRequests over the rate limit.

        *session* is the digest of the session it is from, empty without one; Denied too if that
        has ended.
        """
        caller = await self.look_up(token, session)
        self.limits.calls.take(digest_of(token))
        return caller

    async def end_session(self, session: str, token: str, *, ends: datetime) -> None:
        """End that session on every server; it would expire at *ends*.

        With it ends the session of a user that *token* is of.
        """
        now = self.clock()

        def end(tx: Transaction) -> None:
            tx.end_session(session, ends=ends, now=now)
            if of_user := tx.user_session(digest_of(token)):
                tx.delete_user_session(of_user.id)

        await self.store.write(end)

    async def look_up(self, token: str, session: str = "") -> Caller:
        """As `caller`, without counting the call."""
        if session:
            has_ended: bool = await self.store.read(lambda tx: tx.has_ended_session(session))
            if has_ended:
                raise Denied("the session has ended, sign in again")
        if token.startswith(SECRET_PREFIX):
            return await self._caller_of_session(token)
        now, known = self.clock(), await self._known_token(token)
        if known.is_admin:
            return _ADMINISTRATOR
        found, roles = valid(known.token, digest_of(token), now=now), known.roles
        if found.is_use_due(now):
            try:
                await self.store.write(lambda tx: record_use(tx, token, now=now))
            except Unavailable as error:
                # Reads have to work also on a full disk.
                logger.warning("cannot record the use of token %s: %s", found.name, error.reason)
        actor = Actor(ActorKind.TOKEN, found.name, found.namespace)
        grants = {found.namespace: str(found.grant)}
        return Caller(grants, actor, roles=roles, scopes=found.scopes)

    async def _known_token(self, token: str) -> _KnownToken:
        digest, revision = digest_of(token), self.revision()
        if (kept := self._known.get(digest)) is not None and kept[0] == revision:
            return kept[1]
        found = await self.store.read_short(
            lambda tx: _token_and_roles(tx, token, digest, self.admin_digest)
        )
        if revision is not None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[digest] = revision, found
        return found

    async def _caller_of_session(self, secret: str) -> Caller:
        now = self.clock()

        def read(tx: Transaction) -> tuple[UserSession, CustomRoles]:
            session = valid_session(tx, secret, now=now)
            return session, custom_roles_of(tx, session.grants)

        found, roles = await self.store.read_short(read)
        if found.is_use_due(now):
            try:
                await self.store.write(lambda tx: record_session_use(tx, secret, now=now))
            except Unavailable as error:
                logger.warning("cannot record the use of session %s: %s", found.id, error.reason)
        return replace(found.caller, roles=roles)

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


def _token_and_roles(tx: Transaction, secret: str, digest: str, own: str) -> _KnownToken:
    if is_admin_token(tx, secret, own):
        return _KnownToken(is_admin=True)
    token = tx.api_token(digest)
    if token is None:
        return _KnownToken(is_admin=False)
    roles = custom_roles_of(tx, {token.namespace: str(token.grant)})
    return _KnownToken(is_admin=False, token=token, roles=roles)

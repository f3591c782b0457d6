"""Logging in on the command line: this server approves what a user confirms in a browser.

The browser has a session of this server, of an identity provider or of a local user: the command
line needs to know neither. With a browser on its machine it is led back to that (RFC 8252), without
one it shows a code that the user types anywhere (RFC 8628).
"""

import contextlib
import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

import msgspec

from cloud.core.audit import Action, Actor, Attempt
from cloud.core.device_logins import (
    INTERVAL,
    LIFETIME,
    DeviceLogin,
    answers_challenge,
    is_loopback_redirect,
    read_user_code,
    user_code_of,
)
from cloud.core.installation import digest_of
from cloud.core.rate import Buckets, Rate
from cloud.core.tokens import EVERYWHERE, Caller
from cloud.core.user_sessions import NewSession, Origin, UserSession
from cloud.errors import Denied, Invalid, NotFound, TooManyRequests
from cloud.operations.audit import record_audit
from cloud.operations.device_logins import (
    NewLogin,
    Poll,
    approver,
    begin_login,
    decide,
    find_login,
    poll,
    redeem_code,
)
from cloud.rest.sealed_values import SealedValues
from cloud.rest.sign_in.new_sessions import new_session_secret
from cloud.store.transaction import Store, Transaction

CLIENT_ID = "edgesync"
"""The command line as a client; it is a public one."""

CODE_LIFETIME = timedelta(minutes=1)
"""How long an authorization code is valid."""

USER_CODE_RATE = Rate(burst=10, per_second=1 / 60)
"""User codes that one user may try that are of no login."""

STATE_LIMIT = 128
"""Characters of the `state` of an authorization request."""

_CHALLENGE_LENGTH = 43


class _Asked(msgspec.Struct, frozen=True, array_like=True):
    """An authorization request, sealed on its way through the page."""

    ends: int
    redirect_uri: str
    challenge: str
    state: str


class _Code(msgspec.Struct, frozen=True, array_like=True):
    """An authorization code: *session* is the id of that of the user who confirmed."""

    ends: int
    redirect_uri: str
    challenge: str
    session: str


@dataclass(frozen=True, slots=True)
class BegunLogin:
    """A login that was begun, and its device code."""

    login: DeviceLogin
    device_code: str


class CommandLineSignIn:
    """Owns the keys of codes and requests, and the count of wrong user codes."""

    def __init__(
        self,
        store: Store,
        key: bytes,
        *,
        clock: Callable[[], datetime],
        timer: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._requests = SealedValues(key, b"edgesync authorization request 1")
        self._codes = SealedValues(key, b"edgesync authorization code 1")
        self._wrong = Buckets(USER_CODE_RATE)
        self._timer = timer
        self._clock = clock
        self._new_id = new_id

    async def begin(self, origin: Origin, site: str) -> BegunLogin:
        """A login that waits for a user; TooManyRequests while too many of *site* do."""
        now, device_code = self._clock(), secrets.token_urlsafe(32)
        code = user_code_of(secrets.token_bytes(16))
        login = DeviceLogin(
            digest_of(device_code),
            code,
            origin.address,
            site,
            now,
            now + LIFETIME,
            now - INTERVAL,
            INTERVAL,
        )
        await self._store.write(lambda tx: begin_login(tx, login, now=now))
        return BegunLogin(login, device_code)

    async def look(self, caller: Caller, typed: str) -> DeviceLogin:
        """The login that waits with the user code *typed*; NotFound, and it is counted, else."""
        now, code = self._clock(), read_user_code(typed)

        def read(tx: Transaction) -> DeviceLogin:
            approver(tx, caller, now=now)
            return find_login(tx, code, now=now)

        with self._counting(caller):
            return await self._store.read(read)

    async def decide(
        self, caller: Caller, typed: str, origin: Origin, *, is_approved: bool
    ) -> None:
        """Approve or deny the login with the user code *typed*; errors as of `look`."""
        now, code = self._clock(), read_user_code(typed)
        attempt = self.decision(caller, origin, is_approved=is_approved)

        def work(tx: Transaction) -> None:
            login = decide(tx, caller, code, is_approved=is_approved, now=now)
            record_audit(tx, attempt, also={"address": login.address})

        with self._counting(caller):
            await self._store.write(work)

    def decision(self, caller: Caller, origin: Origin, *, is_approved: bool = True) -> Attempt:
        """The entry of the audit log for what *caller* decides, by the session of the browser."""
        action = Action.LOGIN_APPROVE if is_approved else Action.LOGIN_DENY
        return self._attempt(caller.actor, action, caller.session, origin)

    async def polled(self, device_code: str, origin: Origin) -> NewSession | Poll:
        """The session of the login with *device_code* once it is approved; else what to answer."""
        now, digest = self._clock(), digest_of(device_code)
        secret, new = self._new(origin)

        def work(tx: Transaction) -> UserSession | Poll:
            found = poll(tx, digest, new, now=now)
            if isinstance(found, UserSession):
                record_audit(tx, self._began(found, origin))
            return found

        found = await self._store.write(work)
        return found if isinstance(found, Poll) else NewSession(found, secret)

    def asked(self, query: Mapping[str, str]) -> str:
        """An authorization request, sealed; Invalid names the parameter that is wrong.

        Its errors are never sent to the redirect address, which is not known to be right.
        """
        for name, value in (
            ("response_type", "code"),
            ("client_id", CLIENT_ID),
            ("code_challenge_method", "S256"),
        ):
            if query.get(name) != value:
                raise Invalid(name, f"is not {value}")
        redirect, state = query.get("redirect_uri", ""), query.get("state", "")
        challenge = query.get("code_challenge", "")
        if not is_loopback_redirect(redirect):
            raise Invalid("redirect_uri", "is not http://127.0.0.1:PORT/PATH")
        if len(challenge) != _CHALLENGE_LENGTH:
            raise Invalid("code_challenge", f"has not {_CHALLENGE_LENGTH} characters")
        if not 0 < len(state) <= STATE_LIMIT:
            raise Invalid("state", f"has not between 1 and {STATE_LIMIT} characters")
        ends = int((self._clock() + LIFETIME).timestamp())
        return self._requests.seal(msgspec.json.encode(_Asked(ends, redirect, challenge, state)))

    async def authorized(
        self, caller: Caller, sealed: str, origin: Origin, *, is_approved: bool
    ) -> str:
        """Where the browser goes on for an authorization request: with a code, or a refusal."""
        now = self._clock()
        asked = msgspec.json.decode(self._requests.unseal(sealed), type=_Asked)
        if asked.ends <= now.timestamp():
            raise Denied("the login took too long, begin again")
        attempt = self.decision(caller, origin, is_approved=is_approved)

        def work(tx: Transaction) -> UserSession:
            session = approver(tx, caller, now=now)
            record_audit(tx, attempt, also={"redirect": asked.redirect_uri})
            return session

        session = await self._store.write(work)
        answer = {"error": Poll.DENIED.value, "state": asked.state}
        if is_approved:
            ends = int((now + CODE_LIFETIME).timestamp())
            code = _Code(ends, asked.redirect_uri, asked.challenge, session.id)
            answer = {"code": self._codes.seal(msgspec.json.encode(code)), "state": asked.state}
        return f"{asked.redirect_uri}?{urlencode(answer)}"

    async def redeemed(self, form: Mapping[str, str], origin: Origin) -> NewSession:
        """The session for an authorization code with its verifier, once; Denied for any other."""
        now, text = self._clock(), form.get("code", "")
        code = msgspec.json.decode(self._codes.unseal(text), type=_Code)
        if code.ends <= now.timestamp():
            raise Denied("the code has expired")
        if form.get("redirect_uri") != code.redirect_uri or form.get("client_id") != CLIENT_ID:
            raise Denied("the code is of another redirect address or client")
        if not answers_challenge(form.get("code_verifier", ""), code.challenge):
            raise Denied("the verifier is not the one of the code")
        digest, (secret, new) = hashlib.sha256(text.encode()).hexdigest(), self._new(origin)

        def work(tx: Transaction) -> UserSession:
            session = redeem_code(tx, digest, code.session, new, now=now)
            record_audit(tx, self._began(session, origin))
            return session

        return NewSession(await self._store.write(work), secret)

    @contextlib.contextmanager
    def _counting(self, caller: Caller) -> Iterator[None]:
        """Count NotFound of the block for the user; TooManyRequests, before it, after many."""
        user = caller.actor.name
        wait = self._wrong.wait(user, self._timer())
        if wait is not None:
            raise TooManyRequests(wait, bound="user_codes")
        try:
            yield
        except NotFound:
            self._wrong.take(user, self._timer())
            raise

    def _new(self, origin: Origin) -> tuple[str, NewLogin]:
        secret = new_session_secret()
        return secret, NewLogin(self._new_id(), digest_of(secret), origin.address)

    def _began(self, session: UserSession, origin: Origin) -> Attempt:
        return self._attempt(session.user.actor, Action.SESSION_CREATE, session.id, origin)

    def _attempt(self, actor: Actor, action: Action, session: str, origin: Origin) -> Attempt:
        now = self._clock()
        return Attempt(actor, action, now, EVERYWHERE, session, origin.address, origin.request_id)

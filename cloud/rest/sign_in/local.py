"""Signing in as a local user, with a password and, where the user has one, a second factor."""

import hmac
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import msgspec

from cloud.core.audit import UNKNOWN, Action, Actor, ActorKind, Attempt
from cloud.core.failed_attempts import FailedAttemptLimiter
from cloud.core.local_users import SESSION_TIME, LocalUser, steps_around
from cloud.core.names import check_name
from cloud.core.rate import Buckets, Rate
from cloud.core.tokens import EVERYWHERE
from cloud.core.user_sessions import NewSession, Origin, SessionKind
from cloud.errors import Invalid, SignInDenied, TooManyRequests
from cloud.http.refusals import RefusalLog
from cloud.operations.audit import carry_out
from cloud.operations.local_users import begin_local_session
from cloud.rest.sign_in.new_sessions import make_session
from cloud.rest.sign_in.passwords import Passwords
from cloud.store.transaction import Store

RATE = Rate(burst=10, per_second=1 / 30)
"""Failures of one address at one user; ten times as many at all users together."""

CODE_RATE = Rate(burst=10, per_second=1 / 360)
"""Wrong codes with the right password, of one user from all addresses together."""

BOUND = "sign_ins"


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a user shows; *code* is that of the second factor, empty without one."""

    name: str
    password: str
    code: str = ""

    def __repr__(self) -> str:
        """Without password and code, so that no log and no error shows them."""
        return f"{type(self).__name__}(name={self.name!r})"


class TooManyCodes(SignInDenied):
    """Too many codes of the user were wrong, from all addresses; counted as its bound."""

    bound = "second_factors"

    def __init__(self) -> None:
        super().__init__("too many codes were wrong: wait")


class LocalSignIn:
    """Owns the counts of failures.

    An address that was wrong too often about one user cannot keep others from signing in as that
    user. Who knows the password has few guesses at the code, from all addresses together.
    """

    def __init__(
        self,
        store: Store,
        passwords: Passwords,
        refusals: RefusalLog,
        *,
        clock: Callable[[], datetime],
        timer: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self.passwords = passwords
        self._store = store
        self._refusals = refusals
        self._guesses = FailedAttemptLimiter(RATE)
        self._codes = Buckets(CODE_RATE)
        self._clock = clock
        self._timer = timer
        self._new_id = new_id

    async def has_users(self) -> bool:
        """Return whether anyone could sign in here."""
        count: int = await self._store.read_short(lambda tx: tx.count_local_users())
        return count > 0

    async def signed_in(self, shown: Credentials, origin: Origin, caller: str) -> NewSession:
        """A session for who shows what is right; *caller* is the address as limits count it.

        SignInDenied, with the same answer in the same time whatever is wrong; TooManyRequests
        after too many failures.
        """
        guess = self._new_id()  # the same wrong password counts each time
        name = shown.name if _is_name(shown.name) else ""
        wait = self._guesses.wait(caller, name, guess, self._timer())
        if wait is not None:
            raise TooManyRequests(wait, bound=BOUND)
        try:
            user = await self._checked(shown, caller)
            return await self._begin(user, shown, origin)
        except SignInDenied as error:
            self._guesses.record_failure(caller, name, guess, self._timer())
            # Other text can be a password that was typed in the wrong place.
            await self._refusals.record(self._attempt(name, origin), error)
            raise

    async def _checked(self, shown: Credentials, caller: str) -> LocalUser:
        """The user whose password it is; SignInDenied if it is of none."""
        user = None
        if _is_name(shown.name):
            user = await self._store.read(lambda tx: tx.local_user(shown.name))
        hashed, who = user.password if user else None, Actor(ActorKind.UNKNOWN, caller)
        is_right = await self.passwords.is_right(hashed, shown.password, who)
        if user is None:
            raise SignInDenied("there is no user of this name")
        if not is_right:
            raise SignInDenied("the password is wrong")
        if user.is_disabled:
            raise SignInDenied("the user is disabled")
        return user

    async def _begin(self, user: LocalUser, shown: Credentials, origin: Origin) -> NewSession:
        now = self._clock()
        step = self._step(user, shown.code, now)
        new = make_session(
            self._new_id(),
            user.user,
            SessionKind.BROWSER,
            user.grants,
            origin,
            now=now,
            lifetime=SESSION_TIME,
        )
        attempt = replace(self._attempt(new.session.id, origin), actor=user.user.actor)
        await self._store.write(
            lambda tx: carry_out(
                tx, attempt, lambda tx: begin_local_session(tx, user, new.session, step)
            )
        )
        return new

    def _step(self, user: LocalUser, code: str, now: datetime) -> int:
        """The step that *code* is of; 0 without a second factor, SignInDenied if it is of none."""
        if not user.totp:
            return 0
        from pyotp import TOTP

        given = code.replace(" ", "").encode()
        if not given:
            raise SignInDenied("the code is missing")  # no guess
        if self._codes.wait(user.id, self._timer()) is not None:
            raise TooManyCodes
        totp = TOTP(user.totp)
        right = [
            step
            for step in steps_around(now)
            if hmac.compare_digest(totp.generate_otp(step).encode(), given)
        ]
        if not right:
            self._codes.take(user.id, self._timer())
            raise SignInDenied("the code is wrong")
        return max(right)

    def _attempt(self, name: str, origin: Origin) -> Attempt:
        return Attempt(
            UNKNOWN,
            Action.SESSION_CREATE,
            self._clock(),
            EVERYWHERE,
            name,
            origin.address,
            origin.request_id,
        )


def _is_name(text: str) -> bool:
    """Return whether a user can be called that."""
    try:
        check_name("name", text)
    except Invalid:
        return False
    return True

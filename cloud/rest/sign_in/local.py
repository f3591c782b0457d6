"""Signing in as a local user, with a password and, where the user has one, a second factor."""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

import msgspec

from cloud.core.audit import UNKNOWN, Action, Actor, ActorKind, Attempt
from cloud.core.failed_attempts import FailedAttemptLimiter
from cloud.core.local_users import SESSION_TIME, LocalUser, check_password, steps_around
from cloud.core.names import check_name
from cloud.core.rate import Buckets, Rate
from cloud.core.tokens import EVERYWHERE
from cloud.core.user_sessions import NewSession, Origin, SessionKind
from cloud.errors import Invalid, SignInDenied, TooManyRequests
from cloud.http.refusals import RefusalLog
from cloud.operations.audit import carry_out, record_audit
from cloud.operations.local_users import begin_local_session, change_own_password
from cloud.rest.sign_in.new_sessions import make_session
from cloud.rest.sign_in.passwords import Passwords
from cloud.store.transaction import Store, Transaction

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


class PasswordChange(Credentials, frozen=True, kw_only=True, rename="camel"):
    """The credentials of a user, and the password that it wants."""

    new_password: str


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
        return await self._admitted(
            shown, origin, caller, lambda user: self._begin(user, shown, origin)
        )

    async def password_changed(
        self, shown: PasswordChange, origin: Origin, caller: str
    ) -> NewSession:
        """A new session for a user who changes the own password; all others of the user end.

        Invalid for a password that is too short or too long; other errors as of `signed_in`.
        """
        check_password("newPassword", shown.new_password, shown.name)
        return await self._admitted(
            shown, origin, caller, lambda user: self._change(user, shown, origin, caller)
        )

    async def _admitted(
        self,
        shown: Credentials,
        origin: Origin,
        caller: str,
        work: Callable[[LocalUser], Awaitable[NewSession]],
    ) -> NewSession:
        """What *work* does for the user whose password was *shown*; failures are counted."""
        guess = self._new_id()  # the same wrong password counts each time
        name = shown.name if _is_name(shown.name) else ""
        wait = self._guesses.wait(caller, name, guess, self._timer())
        if wait is not None:
            raise TooManyRequests(wait, bound=BOUND)
        try:
            user = await self._checked(shown, caller)
            return await work(user)
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
        step, new = self._step(user, shown.code), self._new_session(user, origin)
        attempt = self._began(new, origin)
        await self._store.write(
            lambda tx: carry_out(
                tx, attempt, lambda tx: begin_local_session(tx, user, new.session, step)
            )
        )
        return new

    async def _change(
        self, user: LocalUser, shown: PasswordChange, origin: Origin, caller: str
    ) -> NewSession:
        step = self._step(user, shown.code)
        hashed = await self.passwords.hashed(shown.new_password, Actor(ActorKind.UNKNOWN, caller))
        new = self._new_session(user, origin)
        began = self._began(new, origin)
        attempt = replace(began, action=Action.USER_UPDATE, name=user.name)

        def work(tx: Transaction) -> None:
            carry_out(
                tx, attempt, lambda tx: change_own_password(tx, user, hashed, new.session, step)
            )
            record_audit(tx, began)

        await self._store.write(work)
        return new

    def _new_session(self, user: LocalUser, origin: Origin) -> NewSession:
        return make_session(
            self._new_id(),
            user.user,
            SessionKind.BROWSER,
            user.grants,
            origin,
            now=self._clock(),
            lifetime=SESSION_TIME,
        )

    def _began(self, new: NewSession, origin: Origin) -> Attempt:
        return replace(self._attempt(new.session.id, origin), actor=new.session.user.actor)

    def _step(self, user: LocalUser, code: str) -> int:
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
            for step in steps_around(self._clock())
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

"""Logins of the command line: begun, approved by a user in a browser, and redeemed."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from cloud.core.device_logins import (
    LIFETIME,
    PENDING_LIMIT,
    PENDING_OF_ADDRESS,
    SLOW_DOWN,
    DeviceLogin,
)
from cloud.core.tokens import Caller
from cloud.core.user_sessions import SessionKind, UserSession
from cloud.errors import Denied, Forbidden, NotFound, TooManyRequests
from cloud.store.transaction import Transaction

BOUND = "device_logins"

_RETRY_SECONDS = 60.0


class Poll(StrEnum):
    """The error of a request for a token (RFC 8628, section 3.5)."""

    PENDING = "authorization_pending"
    SLOW_DOWN = "slow_down"
    DENIED = "access_denied"
    EXPIRED = "expired_token"


@dataclass(frozen=True, slots=True)
class NewLogin:
    """What the session of a command line has of its own."""

    id: str
    digest: str
    address: str


def begin_login(tx: Transaction, login: DeviceLogin, *, now: datetime) -> None:
    """Keep a new login; TooManyRequests while too many of its address wait.

    Where too many wait in all, it takes the place of the oldest one of the address that has most.
    """
    tx.forget_device_logins(now - LIFETIME)
    total, own = tx.count_device_logins(login.site, now)
    dropped = tx.most_crowded_device_login(now) if total >= PENDING_LIMIT else None
    if own >= PENDING_OF_ADDRESS or (total >= PENDING_LIMIT and dropped is None):
        raise TooManyRequests(_RETRY_SECONDS, bound=BOUND)
    if tx.device_login_by_code(login.user_code) is not None:
        raise TooManyRequests(1.0, bound=BOUND)  # 34 bits: as good as never
    if dropped is not None:
        tx.delete_device_login(dropped.digest)
    tx.put_device_login(login)


def approver(tx: Transaction, caller: Caller, *, now: datetime) -> UserSession:
    """The session of a user in a browser, who may approve logins; Forbidden for other callers.

    A session that was approved cannot approve others: a stolen one could be renewed for ever.
    """
    session = tx.user_session_by_id(caller.session) if caller.session else None
    if session is None or not session.is_valid(now) or session.kind is not SessionKind.BROWSER:
        raise Forbidden("log in as a user, with a provider or by name and password")
    return session


def find_login(tx: Transaction, user_code: str, *, now: datetime) -> DeviceLogin:
    """The login that waits with *user_code*; else NotFound."""
    login = tx.device_login_by_code(user_code)
    if login is None or not login.is_open(now):
        raise NotFound("login", user_code)
    return login


def decide(
    tx: Transaction, caller: Caller, user_code: str, *, is_approved: bool, now: datetime
) -> DeviceLogin:
    """Approve or deny, and return, the login with *user_code*; errors as of both above."""
    session = approver(tx, caller, now=now)
    login = find_login(tx, user_code, now=now)
    tx.put_device_login(
        replace(login, session=session.id if is_approved else "", is_denied=not is_approved)
    )
    return login


def poll(tx: Transaction, digest: str, new: NewLogin, *, now: datetime) -> UserSession | Poll:
    """The session of an approved login, once; otherwise what to answer.

    Denied where there is no such login.
    """
    login = tx.device_login(digest)
    if login is None:
        raise Denied("the device code is not valid")
    if now >= login.expires:
        return Poll.EXPIRED
    if login.is_denied:
        tx.delete_device_login(digest)
        return Poll.DENIED
    if login.session:
        tx.delete_device_login(digest)
        return approved_session(tx, login.session, new, now=now) or Poll.DENIED
    is_early = now - login.polled < login.interval
    interval = login.interval + SLOW_DOWN if is_early else login.interval
    tx.put_device_login(replace(login, polled=now, interval=interval))
    return Poll.SLOW_DOWN if is_early else Poll.PENDING


def redeem_code(
    tx: Transaction, code_digest: str, session_id: str, new: NewLogin, *, now: datetime
) -> UserSession:
    """The session that an authorization code stands for; Denied if it was used before."""
    if tx.has_ended_session(code_digest):
        raise Denied("the code was used before")
    tx.end_session(code_digest, ends=now + LIFETIME, now=now)
    session = approved_session(tx, session_id, new, now=now)
    if session is None:
        raise Denied("the session of the user has ended")
    return session


def approved_session(
    tx: Transaction, approver_id: str, new: NewLogin, *, now: datetime
) -> UserSession | None:
    """A new session of the user whose session approved it; None if that has ended.

    It may do what that may, and lasts as long as that did from its beginning.
    """
    own = tx.user_session_by_id(approver_id)
    if own is None or not own.is_valid(now):
        return None
    session = replace(
        own,
        id=new.id,
        digest=new.digest,
        kind=SessionKind.CLI,
        created=now,
        expires=now + (own.expires - own.created),
        last_used=now,
        address=new.address,
    )
    tx.put_user_session(session)
    return session

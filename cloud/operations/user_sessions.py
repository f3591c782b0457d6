"""Sessions that identity providers vouch for: begun, used, listed and ended."""

from dataclasses import replace
from datetime import datetime

from cloud.core.installation import digest_of
from cloud.core.listing import ListOptions, Page
from cloud.core.permissions import Permission
from cloud.core.tokens import EVERYWHERE, Caller
from cloud.core.user_sessions import UserSession
from cloud.errors import Denied, Invalid, NotFound
from cloud.store.transaction import Transaction


def valid_session(tx: Transaction, secret: str, *, now: datetime) -> UserSession:
    """The session that *secret* is of; Denied if it has ended."""
    session = tx.user_session(digest_of(secret))
    if session is None or not session.is_valid(now):
        raise Denied("the session has ended, sign in again")
    return session


def record_session_use(tx: Transaction, secret: str, *, now: datetime) -> None:
    """Remember that the session was used at *now*, if that is due; Denied if it has ended."""
    session = valid_session(tx, secret, now=now)
    if session.is_use_due(now):
        tx.put_user_session(replace(session, last_used=now))


def begin_session(tx: Transaction, session: UserSession) -> UserSession:
    """Keep a session that was just begun, and return it."""
    tx.put_user_session(session)
    return session


def list_sessions(
    tx: Transaction, caller: Caller, options: ListOptions, *, now: datetime
) -> Page[UserSession]:
    """Sessions of the caller; those of all users for administrators of all namespaces."""
    if options.selector or options.field_selector:
        raise Invalid("selector" if options.selector else "fieldSelector", "sessions have none")
    if caller.may(Permission("list", "sessions", ""), EVERYWHERE):
        return tx.list_user_sessions(None, options, now)
    own = tx.user_session_by_id(caller.session)
    return tx.list_user_sessions(own.user, options, now) if own else Page((), 0)


def end_session(tx: Transaction, caller: Caller, own_id: str, *, of_user: bool) -> None:
    """End the session *own_id*, with *of_user* all sessions of its user.

    NotFound if there is none, or if the caller may not see it.
    """
    session, own = tx.user_session_by_id(own_id), tx.user_session_by_id(caller.session)
    is_own = own is not None and session is not None and own.user == session.user
    needed = Permission("delete", "sessions", own_id)
    if session is None or not (is_own or caller.may(needed, EVERYWHERE)):
        raise NotFound("session", own_id)
    if of_user:
        tx.delete_sessions_of(session.user)
    else:
        tx.delete_user_session(own_id)

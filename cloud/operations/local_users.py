"""Users that the server itself keeps: created, changed, deleted, and their sessions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

import msgspec

from cloud.core.grants import Grants, parse_grants
from cloud.core.listing import ListOptions, Page
from cloud.core.local_users import (
    USERS_LIMIT,
    LocalUser,
    check_grants,
    check_password,
)
from cloud.core.names import check_name
from cloud.core.tokens import Caller
from cloud.core.user_sessions import UserSession
from cloud.errors import Invalid, NotFound, SignInDenied
from cloud.operations.custom_roles import permissions_of_role, permissions_to_cover
from cloud.store.transaction import Transaction

GrantsField = Annotated[
    dict[str, str],
    msgspec.Meta(description="The roles in each namespace; `*` stands for all of them."),
]


class UserDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The specification of a new user."""

    name: str
    password: str
    grants: GrantsField


class UserChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to change; None stays as it is."""

    password: str | None = None
    grants: GrantsField | None = None
    disabled: bool | None = None


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user that is to be made: *hashed* is the hash of the password of *draft*."""

    draft: UserDraft
    own_id: str
    hashed: str


def check_draft(draft: UserDraft) -> None:
    """Invalid for a *draft* of which no user can be made."""
    check_name("name", draft.name)
    check_password("password", draft.password, draft.name)
    check_grants("grants", draft.grants)


def create_user(tx: Transaction, caller: Caller, new: NewUser, *, now: datetime) -> LocalUser:
    """Keep a new user; Invalid if there is one of that name, or too many.

    Forbidden for a user who may do what the *caller* may not.
    """
    name = new.draft.name
    _check_roles(tx, new.draft.grants)
    _check_covers(tx, caller, new.draft.grants)
    if tx.local_user(name) is not None:
        raise Invalid("name", "there is a user of this name")
    if tx.count_local_users() >= USERS_LIMIT:
        raise Invalid("", f"there are {USERS_LIMIT} users, and no more can be made")
    user = LocalUser(name, new.own_id, new.hashed, new.draft.grants, now, now)
    tx.put_local_user(user)
    return user


def list_users(tx: Transaction, options: ListOptions) -> Page[LocalUser]:
    """All users, oldest first."""
    if options.selector or options.field_selector:
        raise Invalid("selector" if options.selector else "fieldSelector", "users have none")
    return tx.list_local_users(options)


def find_user(tx: Transaction, name: str) -> LocalUser:
    """The user of that name; else NotFound."""
    user = tx.local_user(name)
    if user is None:
        raise NotFound("user", name)
    return user


def check_change(name: str, change: UserChange) -> None:
    """Invalid for a *change* that cannot be made."""
    if change.password is not None:
        check_password("password", change.password, name)
    if change.grants is not None:
        check_grants("grants", change.grants)


def change_user(
    tx: Transaction, caller: Caller, name: str, change: UserChange, hashed: str, *, now: datetime
) -> LocalUser:
    """Change the user, and end its sessions; *hashed* is the hash of the new password, if any.

    Forbidden for a user who may do, before or after, what the *caller* may not.
    """
    if change.grants is not None:
        _check_roles(tx, change.grants)
        _check_covers(tx, caller, change.grants)

    def changed(user: LocalUser) -> LocalUser:
        return replace(
            user,
            password=hashed or user.password,
            grants=user.grants if change.grants is None else change.grants,
            is_disabled=user.is_disabled if change.disabled is None else change.disabled,
        )

    return _change(tx, caller, name, changed, now)


def put_second_factor(
    tx: Transaction, caller: Caller, name: str, secret: str, *, now: datetime
) -> LocalUser:
    """Ask the user for codes of *secret* from now on, empty: for none; its sessions end."""
    return _change(tx, caller, name, lambda user: replace(user, totp=secret, totp_step=0), now)


def delete_user(tx: Transaction, caller: Caller, name: str) -> None:
    """Delete the user, and end its sessions; the name is free again."""
    user = find_user(tx, name)
    _check_covers(tx, caller, user.grants)
    tx.delete_local_user(user)
    tx.delete_sessions_of(user.user)


def begin_local_session(
    tx: Transaction, checked: LocalUser, session: UserSession, step: int
) -> UserSession:
    """Keep the session of a user whose password, and code of *step*, was *checked* before.

    SignInDenied if the user has changed meanwhile, or the code was used.
    """
    _check_unchanged(tx, checked, step)
    tx.put_user_session(session)
    return session


def change_own_password(
    tx: Transaction, checked: LocalUser, hashed: str, session: UserSession, step: int
) -> UserSession:
    """Give the user a new password, *hashed*, and end all its sessions but the new *session*.

    SignInDenied as `begin_local_session`.
    """
    _check_unchanged(tx, checked, step)
    new = replace(find_user(tx, checked.name), password=hashed, updated=session.created)
    tx.put_local_user(new)
    tx.delete_sessions_of(checked.user)
    tx.put_user_session(session)
    return session


def _check_unchanged(tx: Transaction, checked: LocalUser, step: int) -> None:
    now_there = tx.local_user(checked.name)
    if now_there is None or replace(now_there, totp_step=checked.totp_step) != checked:
        raise SignInDenied("the user was changed meanwhile")
    if checked.totp and not tx.set_totp_step(checked.name, step):
        raise SignInDenied("the code was used before")


def _check_roles(tx: Transaction, grants: Grants) -> None:
    for namespace, role in _roles_in(grants):
        if permissions_of_role(tx, namespace, role) is None:
            raise Invalid("grants", f"there is no role {role} in namespace {namespace}")


def _roles_in(grants: Grants) -> Iterator[tuple[str, str]]:
    for namespace, text in grants.items():
        for grant in parse_grants(text):
            yield namespace, grant.role


def _check_covers(tx: Transaction, caller: Caller, grants: Grants) -> None:
    """Forbidden unless the *caller* may do everything that who has *grants* may."""
    for namespace, role in _roles_in(grants):
        caller.check_covers(permissions_to_cover(tx, namespace, role), namespace)


def _change(
    tx: Transaction,
    caller: Caller,
    name: str,
    changed: Callable[[LocalUser], LocalUser],
    now: datetime,
) -> LocalUser:
    user = find_user(tx, name)
    _check_covers(tx, caller, user.grants)
    new = changed(user)
    if new != user:
        new = replace(new, updated=now)
        tx.put_local_user(new)
        tx.delete_sessions_of(user.user)
    return new

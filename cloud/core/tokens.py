"""API tokens: their roles, namespaces and lifetime."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from cloud.core.audit import ADMINISTRATOR, Actor
from cloud.core.names import check_namespace
from cloud.errors import Forbidden

EVERYWHERE = "*"
"""In the place of a namespace: all of them."""

USE_RECORDED_EVERY = timedelta(minutes=1)
"""How exactly it is known when a token was used last; each record of it is a write."""

LONGEST_LIFETIME = timedelta(days=3650)
"""The latest end of a token; a token that is to last longer has none."""


class Role(StrEnum):
    """The rights of a caller, each role with all of the one before it.

    A viewer reads what holds no credentials, an operator does everything but manage tokens.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: "Role") -> bool:
        """Return whether who has this role may do what *other* may."""
        ranks = tuple(Role)
        return ranks.index(self) >= ranks.index(other)


@dataclass(frozen=True, slots=True)
class ApiToken:
    """Grants access to the API; only its *digest* is stored.

    *name* is unique in its *namespace*, which may be EVERYWHERE. *last_used* is at most
    USE_RECORDED_EVERY too early; None if it never was, as *expires* is if it never does.
    """

    namespace: str
    name: str
    digest: str
    role: Role
    created: datetime
    expires: datetime | None = None
    last_used: datetime | None = None

    def described(self) -> Mapping[str, Any]:
        """The token as the audit log shows it."""
        return {"role": self.role, "expires": self.expires}

    def is_valid(self, now: datetime) -> bool:
        """Return whether it opens anything."""
        return self.expires is None or now < self.expires

    def is_use_due(self, now: datetime) -> bool:
        """Return whether a use at *now* has to be recorded."""
        return self.last_used is None or now - self.last_used >= USE_RECORDED_EVERY


@dataclass(frozen=True, slots=True)
class Caller:
    """Who showed a valid token: its role, its namespace or EVERYWHERE, and who that is."""

    role: Role
    namespace: str
    actor: Actor = ADMINISTRATOR

    def check_role(self, needed: Role) -> None:
        """Forbidden for who may not do what takes the role *needed*."""
        if not self.role.includes(needed):
            raise Forbidden(f"this takes the role {needed}, the token has the role {self.role}")

    def namespace_of_call(self, field: str, asked: str | None, default: str) -> str:
        """Namespace a call is about: the one *asked* for in *field*, else the caller's own.

        Who acts everywhere has *default* for their own. Forbidden if it is not the caller's.
        """
        if self.namespace == EVERYWHERE:
            return check_namespace(field, default if asked is None else asked)
        if asked is not None:
            self.check_namespace(asked)
        return self.namespace

    def check_namespace(self, namespace: str) -> None:
        """Forbidden for who may not act in *namespace*; only who acts everywhere may there."""
        if self.namespace not in (EVERYWHERE, namespace):
            raise Forbidden(f"the token is for the namespace {self.namespace} alone")

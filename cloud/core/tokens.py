"""API tokens: their roles, namespaces and lifetime."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from cloud.core.audit import ADMINISTRATOR, Actor, ActorKind
from cloud.core.names import check_namespace
from cloud.core.permissions import Permission, built_in_permissions
from cloud.core.roles import Role as Role
from cloud.errors import Forbidden

EVERYWHERE = "*"
"""In the place of a namespace: all of them."""

USE_RECORDED_EVERY = timedelta(minutes=1)
"""How exactly it is known when a token was used last; each record of it is a write."""

LONGEST_LIFETIME = timedelta(days=3650)
"""The latest end of a token; a token that is to last longer has none."""


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


Grants = Mapping[str, Role]
"""The role in each namespace; EVERYWHERE stands for all of them."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who showed a valid token or session: what it may do where, and who that is.

    *session* is the id of the session of a user; empty for a token.
    """

    grants: Grants
    actor: Actor = ADMINISTRATOR
    session: str = ""

    @property
    def namespace(self) -> str:
        """The first namespace that the caller has a role in; EVERYWHERE if in all."""
        return EVERYWHERE if EVERYWHERE in self.grants else min(self.grants)

    def role_in(self, namespace: str) -> Role | None:
        """The role in *namespace*, or everywhere if that includes more; None without one."""
        roles = [self.grants[place] for place in (namespace, EVERYWHERE) if place in self.grants]
        return max(roles, key=tuple(Role).index, default=None)

    def may(self, needed: Permission, namespace: str) -> bool:
        """Return whether the caller has the permission *needed* in *namespace*."""
        role = self.role_in(namespace)
        return role is not None and any(own.includes(needed) for own in built_in_permissions(role))

    def check_any(self, needed: Sequence[Permission], name: str, namespace: str) -> None:
        """Forbidden without one of the permissions *needed*, for the thing *name*; empty: none."""
        own = [replace(one, name=name) for one in needed]
        if not any(self.may(one, namespace) for one in own):
            for one in own[:1]:
                self.check(one, namespace)

    def check(self, needed: Permission, namespace: str) -> None:
        """Forbidden without the permission *needed* in *namespace*."""
        role = self.role_in(namespace)
        if role is None:
            raise Forbidden(self._limits())
        if not self.may(needed, namespace):
            place = "all namespaces" if namespace == EVERYWHERE else f"namespace {namespace}"
            raise Forbidden(
                f"needs permission {needed} in {place}, the {self._what} has the role {role}"
            )

    def namespace_of_call(self, field: str, asked: str | None, default: str) -> str:
        """Namespace a call is about: the one *asked* for in *field*, else the caller's own.

        Who acts everywhere has *default* for their own. Forbidden where the caller has no role.
        """
        if asked is not None and self.role_in(asked) is None:
            raise Forbidden(self._limits())
        return check_namespace(field, self.own_namespace(default) if asked is None else asked)

    def own_namespace(self, default: str) -> str:
        """The namespace of calls that name none; *default* for who acts everywhere."""
        return default if self.namespace == EVERYWHERE else self.namespace

    @property
    def _what(self) -> str:
        return "token" if self.actor.kind != ActorKind.USER else "user"

    def _limits(self) -> str:
        places = ", ".join(sorted(self.grants))
        noun = "namespace" if len(self.grants) == 1 else "namespaces"
        return f"the {self._what} is for the {noun} {places} alone"

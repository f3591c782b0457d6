"""API tokens: their roles, namespaces and lifetime; and who calls the API."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cloud.core.audit import ADMINISTRATOR, Actor, ActorKind
from cloud.core.grants import BUILT_IN, Grant, merged_selectors, parse_grants
from cloud.core.grants import Grants as Grants
from cloud.core.names import check_namespace
from cloud.core.permissions import Permission, has_built_in
from cloud.core.roles import Role as Role
from cloud.core.selectors import parse_selector
from cloud.errors import Forbidden

EVERYWHERE = "*"
"""In the place of a namespace: all of them."""

USE_RECORDED_EVERY = timedelta(minutes=1)
"""How exactly it is known when a token was used last; each record of it is a write."""

LONGEST_LIFETIME = timedelta(days=3650)
"""The latest end of a token; a token that is to last longer has none."""

LONGEST_OVERLAP = timedelta(days=30)
"""How long the secret from before a rotation is valid, at most."""


@dataclass(frozen=True, slots=True)
class ApiToken:
    """Grants access to the API; only its *digest* is stored.

    *name* is unique in its *namespace*, which may be EVERYWHERE. *last_used* is at most
    USE_RECORDED_EVERY too early; None if it never was, as *expires* is if it never does.
    *scopes* are the permissions that its *role* is narrowed to, *nodes* selects the nodes that it
    is limited to; empty where it is not. The digest from before the last rotation,
    *previous_digest*, is valid until *previous_ends*.
    """

    namespace: str
    name: str
    digest: str
    role: str
    created: datetime
    expires: datetime | None = None
    last_used: datetime | None = None
    scopes: tuple[Permission, ...] = ()
    nodes: str = ""
    previous_digest: str = ""
    previous_ends: datetime | None = None

    def described(self) -> Mapping[str, Any]:
        """The token as the audit log shows it."""
        scopes = {"permissions": [str(one) for one in self.scopes]} if self.scopes else {}
        rotated = {"previousExpires": self.previous_ends} if self.previous_ends else {}
        limited = {"nodes": self.nodes} if self.nodes else {}
        return {"role": self.role, "expires": self.expires, **scopes, **limited, **rotated}

    @property
    def grant(self) -> Grant:
        """What it grants in its namespace."""
        return Grant(self.role, self.nodes)

    def is_valid(self, now: datetime, digest: str = "") -> bool:
        """Return whether it opens anything, with the secret of *digest*."""
        if digest and digest != self.digest:
            is_previous = digest == self.previous_digest and self.previous_ends is not None
            if not (is_previous and self.previous_ends and now < self.previous_ends):
                return False
        return self.expires is None or now < self.expires

    def is_use_due(self, now: datetime) -> bool:
        """Return whether a use at *now* has to be recorded."""
        return self.last_used is None or now - self.last_used >= USE_RECORDED_EVERY


@dataclass(frozen=True, slots=True)
class Caller:
    """Who showed a valid token or session: what it may do where, and who that is.

    *session* is the id of the session of a user; empty for a token. *roles* are the permissions of
    the roles in *grants* that are not built in, by namespace and name; *scopes* what all grants are
    narrowed to, empty where they are not.
    """

    grants: Grants
    actor: Actor = ADMINISTRATOR
    session: str = ""
    roles: Mapping[tuple[str, str], Sequence[Permission]] = field(default_factory=dict)
    scopes: Sequence[Permission] = ()

    @property
    def namespace(self) -> str:
        """The first namespace that the caller has a role in; EVERYWHERE if in all."""
        return EVERYWHERE if EVERYWHERE in self.grants else min(self.grants)

    def role_in(self, namespace: str) -> Role | None:
        """The highest built-in role in *namespace* for all its nodes; None without one."""
        roles = [
            Role(grant.role)
            for _, grant in self._grants_in(namespace)
            if grant.role in BUILT_IN and not grant.nodes
        ]
        return max(roles, key=tuple(Role).index, default=None)

    def may(self, needed: Permission, namespace: str) -> bool:
        """Return whether the caller has *needed* in *namespace*, without a limit to nodes."""
        return "" in self.reach(needed, namespace)

    def reach(self, needed: Permission, namespace: str) -> frozenset[str]:
        """The selectors of the nodes that *needed* is granted for, `""` for all of them.

        Empty without the permission.
        """
        if self.scopes and not any(one.includes(needed) for one in self.scopes):
            return frozenset()
        return frozenset(
            grant.nodes
            for place, grant in self._grants_in(namespace)
            if self._has(place, grant.role, needed)
        )

    def check(self, needed: Permission, namespace: str) -> None:
        """Forbidden without the permission *needed* in *namespace*."""
        if not self.has_access(namespace):
            raise Forbidden(self._limits())
        if not self.may(needed, namespace):
            raise self.lack_of(needed, namespace)

    def nodes_for(self, needed: Sequence[Permission], name: str, namespace: str) -> str:
        """Selector of the nodes that one of the permissions *needed* is granted for.

        Empty for all nodes, and where nothing is *needed*. Forbidden without any of them for the
        thing *name*.
        """
        own = [Permission(one.verb, one.kind, name) for one in needed]
        if not own:
            return ""
        found = frozenset[str]().union(*(self.reach(one, namespace) for one in own))
        if not found:
            self.check(own[0], namespace)
        return merged_selectors(found)

    def limiting_labels(self, namespace: str) -> frozenset[str]:
        """The labels that decide which nodes the roles in *namespace* are for."""
        limits = (parse_selector(grant.nodes) for _, grant in self._grants_in(namespace))
        return frozenset(term.key for terms in limits for term in terms)

    def check_covers(self, permissions: Sequence[Permission], namespace: str) -> None:
        """Forbidden for who would give to others a permission that the caller does not have."""
        for one in permissions:
            if not self.may(one, namespace):
                raise self.lack_of(one, namespace)

    def lack_of(self, needed: Permission, namespace: str) -> Forbidden:
        """The error for who lacks *needed* in *namespace*."""
        place = "all namespaces" if namespace == EVERYWHERE else f"namespace {namespace}"
        roles = ", ".join(str(grant) for _, grant in self._grants_in(namespace))
        narrowed = f", narrowed to {', '.join(map(str, self.scopes))}" if self.scopes else ""
        return Forbidden(
            f"needs permission {needed} in {place}, the {self._what} has the role {roles}{narrowed}"
        )

    def has_access(self, namespace: str) -> bool:
        """Return whether there is any grant in *namespace*."""
        return namespace in self.grants or EVERYWHERE in self.grants

    def namespace_of_call(self, field: str, asked: str | None, default: str) -> str:
        """Namespace a call is about: the one *asked* for in *field*, else the caller's own.

        Who acts everywhere has *default* for their own. Forbidden where the caller has no role.
        """
        if asked is not None and not self.has_access(asked):
            raise Forbidden(self._limits())
        return check_namespace(field, self.own_namespace(default) if asked is None else asked)

    def own_namespace(self, default: str) -> str:
        """The namespace of calls that name none; *default* for who acts everywhere."""
        return default if self.namespace == EVERYWHERE else self.namespace

    def _grants_in(self, namespace: str) -> Iterator[tuple[str, Grant]]:
        """The grants that count in *namespace*, each with the place that it is in."""
        for place in dict.fromkeys((namespace, EVERYWHERE)):
            for grant in parse_grants(self.grants[place]) if place in self.grants else ():
                yield place, grant

    def _has(self, place: str, role: str, needed: Permission) -> bool:
        if role in BUILT_IN:
            return has_built_in(Role(role), needed)
        return any(own.includes(needed) for own in self.roles.get((place, role), ()))

    @property
    def _what(self) -> str:
        return "token" if self.actor.kind != ActorKind.USER else "user"

    def _limits(self) -> str:
        places = ", ".join(sorted(self.grants))
        noun = "namespace" if len(self.grants) == 1 else "namespaces"
        return f"the {self._what} is for the {noun} {places} alone"

"""Permissions: what a caller may do to which things, and which of them the built-in roles have."""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from cloud.core.kinds import KINDS, ResourceKind
from cloud.core.roles import Role
from cloud.errors import Invalid

ANY = "*"
"""In the place of a verb, a kind or a name: all of them. In a name it stands for any part."""

TEXT_LIMIT = 300
"""Characters of a permission, as text."""

_FORM = re.compile(r"(?P<verb>\*|[a-z]+) (?P<kind>\*|[a-z]+)(?:/(?P<name>[-A-Za-z0-9_./*]+))?")

OF_NODES = frozenset({"nodes", "properties", "commands"})
"""Kinds whose things are nodes, or about the node of their name."""

_COMMANDS = ("logs", "restart", "report", "diagnose", "upgrade")

_MORE: Mapping[str, Mapping[Role, Sequence[str]]] = {
    "nodes": {Role.OPERATOR: ("init", "revoke", "label", *_COMMANDS)},
    "batches": {Role.OPERATOR: ("init", "generate")},
    "records": {Role.OPERATOR: ("reset",)},
    "registries": {Role.OPERATOR: ("refresh",)},
    "callbacks": {Role.OPERATOR: ("retry",)},
    "channels": {Role.OPERATOR: ("retry",), Role.ADMIN: ("test",)},
    "properties": {Role.VIEWER: ("read",), Role.OPERATOR: ("update",)},
    "commands": {Role.VIEWER: ("list",), Role.OPERATOR: ("read",)},
    "rollouts": {
        Role.VIEWER: ("list", "read"),
        Role.OPERATOR: (
            *("start", "pause", "resume", "approve", "promote", "abort", "rollback", "hurry"),
        ),
    },
    "certificates": {Role.VIEWER: ("list",)},
    "events": {Role.VIEWER: ("list",)},
    "overview": {Role.VIEWER: ("read",)},
    "namespaces": {Role.VIEWER: ("list",)},
    "metrics": {Role.VIEWER: ("read",)},
    "tokens": {Role.ADMIN: ("list", "create", "rotate", "delete")},
    "users": {Role.ADMIN: ("list", "create", "update", "delete")},
    "sessions": {Role.ADMIN: ("list", "delete")},
    "audit": {Role.ADMIN: ("list",)},
}
"""The verbs of each kind beside those that `_verbs` finds, by the least role that has them."""


@dataclass(frozen=True, slots=True)
class Permission:
    """To do *verb* to the things of *kind*, its plural, whose names match the pattern *name*.

    What a request needs is one too: *name* is that of the thing, empty for a list of all.
    """

    verb: str
    kind: str
    name: str = ANY

    def includes(self, other: "Permission") -> bool:
        """Return whether who has this permission has *other*.

        A `*` in the pattern of *other* is a character like any other, which only a `*` matches: so
        one pattern is compared with another as with a name.
        """
        return (
            self.verb in (ANY, other.verb)
            and self.kind in (ANY, other.kind)
            and (self.name == ANY or fnmatchcase(other.name, self.name))
        )

    def __str__(self) -> str:
        """As `parse_permission` reads it."""
        name = "" if self.name in (ANY, "") else f"/{self.name}"
        return f"{self.verb} {self.kind}{name}"


def parse_permission(field: str, text: str) -> Permission:
    """The permission `VERB KIND` or `VERB KIND/NAME`; Invalid for one that nothing needs."""
    found = _FORM.fullmatch(text) if len(text) <= TEXT_LIMIT else None
    if found is None:
        raise Invalid(field, f"{text[:80]!r} is not VERB KIND or VERB KIND/NAME")
    verb, kind = found["verb"], found["kind"]
    known = known_permissions()
    if kind not in (ANY, *(one.kind for one in known)):
        raise Invalid(field, f"{text[:80]!r}: there is no kind {kind}")
    if not any(verb in (ANY, one.verb) and kind in (ANY, one.kind) for one in known):
        verbs = ", ".join(sorted({one.verb for one in known if kind in (ANY, one.kind)}))
        raise Invalid(field, f"{text[:80]!r}: the verbs of {kind} are {verbs}")
    return Permission(verb, kind, found["name"] or ANY)


def known_permissions() -> Mapping[Permission, Role]:
    """Every permission that the API knows, and the least built-in role that has it."""
    return _known(tuple(KINDS))


def built_in_permissions(role: Role) -> Sequence[Permission]:
    """The permissions of a built-in role."""
    return _built_in(role, tuple(KINDS))


def has_built_in(role: Role, needed: Permission) -> bool:
    """Return whether a built-in role has the permission *needed*: of all names or of none."""
    return role is Role.ADMIN or Permission(needed.verb, needed.kind) in _built_in_set(
        role, tuple(KINDS)
    )


def least_role(needed: Permission) -> Role:
    """The least built-in role that has the permission *needed*."""
    return next(role for role in Role if has_built_in(role, needed))


@functools.cache
def _known(kinds: tuple[ResourceKind, ...]) -> Mapping[Permission, Role]:
    found = {Permission(verb, kind.plural): role for kind in kinds for verb, role in _verbs(kind)}
    for plural, verbs_of_roles in _MORE.items():
        for role, verbs in verbs_of_roles.items():
            found |= {Permission(verb, plural): role for verb in verbs}
    return found


@functools.cache
def _built_in(role: Role, kinds: tuple[ResourceKind, ...]) -> Sequence[Permission]:
    if role is Role.ADMIN:
        return (Permission(ANY, ANY),)
    return tuple(one for one, least in _known(kinds).items() if role.includes(least))


@functools.cache
def _built_in_set(role: Role, kinds: tuple[ResourceKind, ...]) -> frozenset[Permission]:
    return frozenset(_built_in(role, kinds))


def _verbs(kind: ResourceKind) -> Iterator[tuple[str, Role]]:
    """The verbs that things of *kind* have as all kinds do; `describe` shows no secret value."""
    reads, changes = Role(kind.read_role), Role(kind.change_role)
    yield "read", reads
    yield "update", changes
    if not kind.is_single:
        yield "list", Role.VIEWER
        yield "create", changes
        yield "delete", changes
    if kind.has_revisions or kind.is_used_by_apps:
        yield "describe", Role.VIEWER
    if kind.has_revisions:
        yield "undo", changes

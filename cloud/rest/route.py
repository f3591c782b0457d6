"""A row of the table of routes."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.routing import Route

from cloud.core.audit import actions
from cloud.core.kind import ResourceKind
from cloud.core.kinds import KINDS
from cloud.core.permissions import Permission, known_permissions, least_role
from cloud.core.roles import Role
from cloud.rest.context import Handler, endpoint
from cloud.rest.described import Described
from cloud.rest.node_limit import NodeLimit

OPEN = "nothing"
"""What a route needs that is for every caller with a role in the namespace."""


@dataclass(frozen=True)
class ApiRoute:
    """One row: who answers *method* on *path*, and its description in the OpenAPI document.

    *needs* is the permission of who may ask, `VERB KIND`, where method and path do not make it;
    with `a|b KIND` one of several, and the handler checks which. *limit* is what it does for roles
    of some nodes; by default it refuses them, unless its path names a node.
    """

    method: str
    path: str
    handler: Handler
    described: Described
    needs: str = ""
    limit: NodeLimit | None = None

    @functools.cached_property
    def permissions(self) -> Sequence[Permission]:
        """What a caller needs one of; none where everyone may ask.

        ValueError where method and path make none that is known.
        """
        if self.needs == OPEN:
            return ()
        verbs, _, kind = self.needs.partition(" ") if self.needs else self._derived
        found = [Permission(verb, kind) for verb in verbs.split("|")]
        if unknown := set(found) - set(known_permissions()):
            names = ", ".join(map(str, unknown))
            raise ValueError(f"{self.method} {self.path}: no permission {names}")
        return found

    @property
    def node_limit(self) -> NodeLimit:
        """What it does for a role that is limited to some nodes."""
        if self.limit is not None:
            return self.limit
        return NodeLimit.ONE if self.path.startswith("/v1/nodes/{name}") else NodeLimit.NONE

    @functools.cached_property
    def served(self) -> Route:
        """What Starlette serves; made once, since its path is compiled and there are many."""
        return Route(
            self.path,
            endpoint(
                self.handler,
                described=self.described,
                needs=self.permissions,
                limit=self.node_limit,
                action=self.action,
            ),
            methods=[self.method],
        )

    @functools.cached_property
    def role(self) -> Role:
        """Least built-in role of who may ask."""
        return max(map(least_role, self.permissions), key=tuple(Role).index, default=Role.VIEWER)

    @property
    def _derived(self) -> tuple[str, str, str]:
        """The permission that method and path make, as `str.partition` returns it."""
        words = self._words
        places = _logged_as()
        if words not in places:
            return words[-1], " ", _plural(places.get(words[:-1], ""))
        kind = KINDS.logged_as(places[words])
        is_one = self.path.endswith("}") or (kind is not None and kind.is_single)
        verb = "list" if self.method == "GET" and not is_one else _VERBS[self.method]
        return verb, " ", _plural(places[words])

    @property
    def _words(self) -> tuple[str, ...]:
        return tuple(part for part in self.path.split("/")[2:] if not part.startswith("{"))

    @functools.cached_property
    def action(self) -> str | None:
        """The action for the audit log, by method and path; None for a read without secrets.

        ValueError for a route that changes or shows what the log has no word for.
        """
        if self.method == "GET" and self.role is not Role.OPERATOR:
            return None
        words, places = self._words, _logged_as()
        if words in places:
            action = f"{places[words]}.{_VERBS[self.method]}"
        else:
            action = f"{places.get(words[:-1])}.{words[-1]}"
        if action not in actions():
            raise ValueError(f"{action!r} is no action of the audit log")
        return action


_VERBS = {"GET": "read", "POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}


def _plural(word: str) -> str:
    """The plural of a kind that the audit log calls *word*."""
    kind = KINDS.logged_as(word)
    if kind is not None:
        return kind.plural
    return word if word.endswith("s") else f"{word}s"


def _logged_as() -> Mapping[tuple[str, ...], str]:
    """The kinds in the audit log at each place, by the words of its path."""
    return _places(tuple(KINDS))


@functools.cache
def _places(kinds: tuple[ResourceKind, ...]) -> Mapping[tuple[str, ...], str]:
    return {
        **{
            (*kind.path.split("/")[2:], *((kind.word,) if kind.parent else ())): kind.logged_as
            for kind in kinds
        },
        ("nodes", "commands"): "command",
        ("nodes", "properties"): "properties",
        ("nodes", "mode"): "node",
        ("nodes", "core", "configs"): "node",
        ("rollouts",): "rollout",
        ("tokens",): "token",
        ("users",): "user",
        ("users", "totp"): "totp",
        ("sessions",): "session",
    }

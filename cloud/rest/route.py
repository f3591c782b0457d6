"""A row of the table of routes."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from cloud.core.audit import actions
from cloud.core.kinds import KINDS
from cloud.core.tokens import Role
from cloud.rest.context import Handler
from cloud.rest.described import Described


@dataclass(frozen=True)
class ApiRoute:
    """One row: who answers *method* on *path*, and its description in the OpenAPI document.

    *needs* is the least role of who may ask, where it is not that of all such methods.
    """

    method: str
    path: str
    handler: Handler
    described: Described
    needs: Role | None = None

    @property
    def role(self) -> Role:
        """Least role of who may ask: a viewer reads, an operator changes."""
        return self.needs or (Role.VIEWER if self.method == "GET" else Role.OPERATOR)

    @functools.cached_property
    def action(self) -> str | None:
        """The action for the audit log, by method and path; None for a read without secrets.

        ValueError for a route that changes or shows what the log has no word for.
        """
        if self.role is not Role.OPERATOR and self.method == "GET":
            return None
        words = tuple(part for part in self.path.split("/")[2:] if not part.startswith("{"))
        places = _logged_as()
        if words in places:
            action = f"{places[words]}.{_VERBS[self.method]}"
        else:
            action = f"{places.get(words[:-1])}.{words[-1]}"
        if action not in actions():
            raise ValueError(f"{action!r} is no action of the audit log")
        return action


_VERBS = {"GET": "read", "POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}


def _logged_as() -> Mapping[tuple[str, ...], str]:
    """The kinds in the audit log at each place, by the words of its path."""
    return {
        **{
            (*kind.path.split("/")[2:], *((kind.word,) if kind.parent else ())): kind.logged_as
            for kind in KINDS
        },
        ("nodes", "commands"): "command",
        ("nodes", "properties"): "properties",
        ("nodes", "mode"): "node",
        ("nodes", "core", "configs"): "node",
        ("rollouts",): "rollout",
        ("tokens",): "token",
        ("sessions",): "session",
    }

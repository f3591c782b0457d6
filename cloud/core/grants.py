"""Grants: a role in a namespace, which may be limited to some of its nodes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from cloud.core.roles import Role

Grants = Mapping[str, str]
"""The grants in each namespace, as `grants_text` writes them; EVERYWHERE stands for all of them."""

BUILT_IN = frozenset(role.value for role in Role)
"""Names of the built-in roles, which no other role can have."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The *role* of that name; with a selector *nodes* for the nodes alone that it selects."""

    role: str
    nodes: str = ""

    def __str__(self) -> str:
        """As `parse_grants` reads it: `operator`, or `operator on shop=7`."""
        return f"{self.role} on {self.nodes}" if self.nodes else self.role


@lru_cache(maxsize=1024)
def parse_grants(text: str) -> Sequence[Grant]:
    """The grants that `grants_text` wrote. Neither names nor selectors have its separators."""
    found = (one.partition(" on ") for one in text.split("; "))
    return tuple(Grant(role, nodes) for role, _, nodes in found)


def grants_text(grants: Iterable[Grant]) -> str:
    """The *grants* of one namespace as text; of the built-in roles of all nodes the highest one."""
    chosen = list(dict.fromkeys(grants))
    whole = [Role(one.role) for one in chosen if one.role in BUILT_IN and not one.nodes]
    highest = max(whole, key=tuple(Role).index, default=None)
    left = [one for one in chosen if one.role not in BUILT_IN or one.nodes or one.role == highest]
    return "; ".join(map(str, left))

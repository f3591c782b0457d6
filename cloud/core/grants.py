"""Grants: a role in a namespace, which may be limited to some of its nodes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from cloud.core.roles import Role
from cloud.core.selectors import Operator, parse_selector
from cloud.errors import Forbidden, Invalid

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


NODES_LIMIT = 1000
"""Characters of a selector that limits a grant."""


def check_grant_nodes(field: str, nodes: str) -> str:
    """Return *nodes* if it is a selector that can limit a grant, or empty; else Invalid."""
    if len(nodes) > NODES_LIMIT:
        raise Invalid(field, f"is longer than {NODES_LIMIT} characters")
    if nodes and not parse_selector(nodes, field):
        raise Invalid(field, "selects all nodes; leave it out for that")
    return nodes


def merged_selectors(selectors: Collection[str]) -> str:
    """A selector of all that any of *selectors* selects; `""`, which is all, wins.

    Several are merged where each asks for values of the same label; else Forbidden.
    """
    if "" in selectors:
        return ""
    if len(selectors) == 1:
        return next(iter(selectors))
    terms = [term for text in selectors for term in parse_selector(text, "nodes")]
    values = sorted({value for term in terms for value in term.values})
    is_simple = len(terms) == len(selectors) and all(
        term.operator is Operator.IN and term.key == terms[0].key for term in terms
    )
    if not is_simple or "" in values:
        shown = " or ".join(sorted(selectors))
        raise Forbidden(f"no one selector stands for the nodes of your roles: {shown}")
    return f"{terms[0].key} in ({', '.join(values)})"


def joined_selector(nodes: str, selector: str) -> str:
    """The selector of what both select; either may be empty, which is all."""
    return ",".join(one for one in (nodes, selector) if one.strip())


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

"""Requests of who may see some nodes alone: about one of those, and without a way out of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from cloud.core.desired import Catalog
from cloud.core.node import Node
from cloud.core.selectors import matches, parse_selector
from cloud.errors import Forbidden, NotFound
from cloud.store.transaction import Transaction

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NodeScope:
    """The node *name*, for who may see those alone that *selector* selects.

    *guarded* are the labels that decide what the roles of the caller are for.
    """

    namespace: str
    name: str
    selector: str
    guarded: frozenset[str]

    def around(self, work: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
        """*work* of a transaction, in which the node is a selected one and stays it.

        NotFound for every other node, as for one that is not there. Forbidden as of
        `check_relabelled`.
        """

        def scoped(tx: Transaction) -> T:
            before = self._selected(tx)
            done = work(tx)
            after = tx.node(self.namespace, self.name)
            if after is not None and after.labels != before.labels:
                check_relabelled(tx.catalog(self.namespace), before, after, self.guarded)
            return done

        return scoped

    def _selected(self, tx: Transaction) -> Node:
        node = tx.node(self.namespace, self.name)
        if node is None or not is_within(self.selector, node):
            raise NotFound("node", self.name)
        return node


def is_within(selector: str, node: Node) -> bool:
    """Return whether *selector*, empty for all, selects *node*."""
    return matches(parse_selector(selector), node.labels)


def check_relabelled(catalog: Catalog, before: Node, after: Node, guarded: frozenset[str]) -> None:
    """Forbidden for labels of a node that a role for some nodes does not give it.

    They change one that is *guarded*, or have an app of *catalog* select the node: its configs and
    secrets would reach the node.
    """
    keys = before.labels.keys() | after.labels.keys()
    check_labels(guarded, {key for key in keys if before.labels.get(key) != after.labels.get(key)})
    if catalog.selecting(after.labels) - catalog.selecting(before.labels):
        raise Forbidden(
            f"by these labels an app would select the node {after.name}, and it would get the"
            " secrets of that; a role for some nodes assigns no apps"
        )


def check_labels(guarded: frozenset[str], changed: Iterable[str]) -> None:
    """Forbidden for a change of a label that is *guarded*."""
    for key in sorted(guarded.intersection(changed)):
        raise Forbidden(f"the label {key} decides which nodes your role is for; it does not change")

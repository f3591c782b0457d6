"""Requests of who may see some nodes alone: about one of those, and without a way out of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from cloud.core.node import Node
from cloud.core.selectors import matches, parse_selector
from cloud.errors import Forbidden, NotFound
from cloud.store.transaction import Transaction

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NodeScope:
    """The node *name*, for who may see those alone that *selector* selects."""

    namespace: str
    name: str
    selector: str

    def around(self, work: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
        """*work* of a transaction, in which the node is a selected one and stays it.

        NotFound for every other node, as for one that is not there. Forbidden where *work* changes
        a label that the selector names: those decide who may see the node.
        """

        def scoped(tx: Transaction) -> T:
            before = self._selected(tx)
            done = work(tx)
            after = tx.node(self.namespace, self.name)
            if after is not None:
                keys = before.labels.keys() | after.labels.keys()
                changed = {key for key in keys if before.labels.get(key) != after.labels.get(key)}
                check_labels(self.selector, changed)
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


def check_labels(selector: str, changed: Iterable[str]) -> None:
    """Forbidden for a change of a label that *selector* names."""
    keys = {term.key for term in parse_selector(selector)}
    for key in sorted(keys.intersection(changed)):
        raise Forbidden(f"the label {key} decides which nodes your role is for; it does not change")

"""What a node may send where the hub cannot slow it down: an external broker reads all of it.

What is beyond its budget is refused. A node that goes on, with twice its budget, is disconnected:
agents wait before they connect again, and what waits in its sockets is gone.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from broker.node_budgets import NodeBudgets
from cloud.core.rate import Buckets, Rate

REFUSAL_RATE = Rate(burst=1, per_second=1)
"""Refusals that a node is sent, and times that it is disconnected; more is dropped without one."""


@dataclass(frozen=True, slots=True)
class NodeRefusal:
    """One message that is not carried out; the node may send again in *wait* seconds."""

    wait: float
    is_answered: bool
    """Whether the node is to be sent an error."""
    is_last: bool
    """Whether the node is to be disconnected."""


class NodeThrottle:
    """Each node's budget: *messages* and *bytes_* a second; 0: no limit."""

    def __init__(
        self, messages: int, bytes_: int, *, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._timer = timer
        self._budgets = NodeBudgets(messages, bytes_, timer=timer)
        self._excess = NodeBudgets(messages, bytes_, timer=timer)  # of what was refused
        self._answers = Buckets(REFUSAL_RATE)
        self._ends = Buckets(REFUSAL_RATE)

    def take(self, node_id: str, size: int) -> NodeRefusal | None:
        """Charge a message of *size* bytes to the node; None: it may be carried out."""
        wait = self._budgets.take(node_id, size)
        if not wait:
            return None
        is_last = False
        if self._excess.take(node_id, size):
            is_last = self._ends.take(node_id, self._timer()) is None
        return NodeRefusal(wait, self._answers.take(node_id, self._timer()) is None, is_last)

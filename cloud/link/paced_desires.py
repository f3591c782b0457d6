"""Desires over MQTT, carried out separately from reports, at a pace for each node.

A desire of 100 bytes can be answered with megabytes. Carried out among reports, a node that asks
without a pause held up all others for seconds (measured); so a node that was sent more than its
share waits until the rest of the line had its turn.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

from broker.hub import Inbound

ANSWER_BYTES_PER_SECOND = 4 * 1024 * 1024
"""Bytes of answers to the desires of one node in the long run."""

BURST_SECONDS = 1.0
"""How much of that may be under way when the next is sent: 4 MiB, so that with an answer of the
largest size, 8 MiB, no more waits for a node than its connection may hold."""

UNREAD_BYTES = 4 * 1024 * 1024
"""Bytes that a node has not read, at most, when it is sent the next answer. With more, and an
answer of the largest size, its connection would hold too much and be closed: on a slow line that
happened again after each reconnect."""

_LOOK_SECONDS = 0.1
"""How often it is looked whether such a node has read."""

_DEBTS_LIMIT = 1_024
"""Nodes with a debt, before those that have paid it are forgotten."""


class PacedDesires:
    """Desires by node, round robin over the nodes that may be answered now.

    Bounded by what waits for its acknowledgement in the hub. *timer* counts seconds; *unread* is
    how many bytes wait for a node to read them.
    """

    def __init__(
        self, timer: Callable[[], float], unread: Callable[[str], int] = lambda _: 0
    ) -> None:
        self._timer = timer
        self._unread = unread
        self._of_node: OrderedDict[str, deque[Inbound]] = OrderedDict()
        # When each node will have paid, at its rate, for the answers that it was sent.
        self._paid: dict[str, float] = {}
        self._changed = asyncio.Event()

    @property
    def waiting_count(self) -> int:
        """How many nodes have desires that wait."""
        return len(self._of_node)

    def put(self, desire: Inbound) -> None:
        """Append *desire* to those of its node."""
        self._of_node.setdefault(desire.node_id, deque()).append(desire)
        self._changed.set()

    async def take(self, limit: int) -> Sequence[Inbound]:
        """The next desires, one of a node and up to *limit*, once one may be answered."""
        while True:
            now = self._timer()
            wait = None
            due = []
            for node_id in self._of_node:
                left = self._paid.get(node_id, now) - now - BURST_SECONDS
                if self._unread(node_id) > UNREAD_BYTES:
                    left = max(left, _LOOK_SECONDS)
                if left <= 0:
                    due.append(node_id)
                    if len(due) == limit:
                        break
                else:
                    wait = left if wait is None else min(wait, left)
            if due:
                return [self._take_of(node_id) for node_id in due]
            self._changed.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def answered(self, node_id: str, size: int) -> None:
        """Count an answer of *size* bytes to the node."""
        now = self._timer()
        paid = max(self._paid.get(node_id, now), now)
        self._paid[node_id] = paid + size / ANSWER_BYTES_PER_SECOND
        if len(self._paid) > _DEBTS_LIMIT:
            self._paid = {one: at for one, at in self._paid.items() if at > now}

    def _take_of(self, node_id: str) -> Inbound:
        waiting = self._of_node.pop(node_id)
        desire = waiting.popleft()
        if waiting:
            self._of_node[node_id] = waiting
        return desire

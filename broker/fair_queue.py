"""Messages that wait, taken round robin between nodes."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence

from broker.errors import HubClosed
from broker.hub import Inbound

GROUP_BYTES = 512 * 1024
"""Bytes of payload that are taken together, unless the first message alone is longer.

A group is decoded and stored as one: this bounds how long everything else waits for it.
"""

TURN_BYTES = 16 * 1024
"""A node's turn ends with the message that reaches it.

What is taken together is answered in one write: a node with several reports under way costs less.
"""

MESSAGE_BYTES = 512
"""Bytes that a message counts for beside its payload."""


class FairQueue:
    """Round robin over nodes with turns of some bytes; the messages of one node stay in order.

    As RFC 970, but that a turn is more than one message where they are short.
    """

    def __init__(self) -> None:
        self._of_node: OrderedDict[str, deque[Inbound]] = OrderedDict()  # whose turn is next, first
        self._count = 0
        self._changed = asyncio.Event()  # set when there is something to take, or all is over
        self.is_closed = False

    def __len__(self) -> int:
        return self._count

    def put(self, message: Inbound) -> None:
        """Append *message* to those of its node."""
        waiting = self._of_node.get(message.node_id)
        if waiting is None:
            self._of_node[message.node_id] = waiting = deque()
        waiting.append(message)
        self._count += 1
        if self._count == 1:
            self._changed.set()

    def close(self) -> None:
        """Let `take_some` give out what is left and then raise HubClosed."""
        self.is_closed = True
        self._changed.set()

    async def take_some(self, limit: int) -> Sequence[Inbound]:
        """Wait for at least one message, then `take`; HubClosed when none will come."""
        while not self._count:
            if self.is_closed:
                raise HubClosed
            self._changed.clear()
            await self._changed.wait()
        return self.take(limit)

    def take(self, limit: int) -> Sequence[Inbound]:
        """Up to *limit* messages, and up to `GROUP_BYTES` or one; none if the queue is empty."""
        taken: list[Inbound] = []
        size, is_full = 0, False
        while self._of_node and len(taken) < limit and not is_full:
            node_id, waiting = self._of_node.popitem(last=False)
            turn = 0
            while waiting and len(taken) < limit and turn < TURN_BYTES:
                length = len(waiting[0].payload)
                is_full = bool(taken) and size + length > GROUP_BYTES
                if is_full:
                    break
                taken.append(waiting.popleft())
                size += length
                turn += length + MESSAGE_BYTES
            if waiting:
                self._of_node[node_id] = waiting
                self._of_node.move_to_end(node_id, last=turn > 0)
        self._count -= len(taken)
        return taken

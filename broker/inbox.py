"""The bounded queue between the connections and `receive`.

A message counts from the moment it was read until it is acked, also when its connection is gone by
then: a node that comes back and sends again gets no more room than one that stays.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.fair_queue import MESSAGE_BYTES, FairQueue
from broker.hub import Inbound
from broker.limits import HubLimits
from broker.node_budgets import NodeBudgets


class Waiting(Protocol):
    """A connection that is not read because of what is not stored yet."""

    node_id: str

    def proceed(self) -> None:
        """Read on."""
        ...


class Acknowledged(Protocol):
    """The connection a message came on."""

    def acknowledge(self, packet_id: int) -> None:
        """Send the PUBACK."""
        ...


@dataclass(slots=True)
class _Unstored:
    """The unacknowledged messages of one node."""

    count: int = 0
    bytes: int = 0


class HubInbox:
    """Messages until they are acked; `take` gives them out in turns between nodes.

    It never refuses: callers of `put` check `may_read` before, and wait with `park`. So it
    holds at most one message more than its limits. While it is full nothing is read, until half of
    it is stored.
    """

    def __init__(self, limits: HubLimits) -> None:
        self._limits = limits
        self.budgets = NodeBudgets(limits.node_messages_per_second, limits.node_bytes_per_second)
        self._queue = FairQueue()
        self._unstored: dict[str, _Unstored] = {}
        self.unstored_bytes = 0
        self._is_full = False
        self._parked: dict[str, Waiting] = {}  # by node, the longest waiting first

    def __len__(self) -> int:
        return len(self._queue)

    def may_read(self, node_id: str) -> bool:
        """Return whether a message of the node may be put."""
        if self._is_full:
            return False
        unstored = self._unstored.get(node_id)
        limits = self._limits
        return unstored is None or (
            unstored.count < limits.max_unacked and unstored.bytes < limits.max_unacked_bytes
        )

    def put(self, message: Inbound) -> bool:
        """Append *message*, whose `ack` has to be an `Ack` of this inbox; as `may_read` then."""
        size = len(message.payload) + MESSAGE_BYTES
        unstored = self._unstored.get(message.node_id)
        if unstored is None:
            unstored = self._unstored[message.node_id] = _Unstored()
        unstored.count += 1
        unstored.bytes += size
        self.unstored_bytes += size
        self._queue.put(message)
        limits = self._limits
        if len(self._queue) >= limits.max_queued or self.unstored_bytes >= limits.max_queued_bytes:
            self._is_full = True
        return not self._is_full and (
            unstored.count < limits.max_unacked and unstored.bytes < limits.max_unacked_bytes
        )

    def acked(self, node_id: str, payload_bytes: int) -> None:
        """Count one message less: it is stored, or was refused."""
        size = payload_bytes + MESSAGE_BYTES
        unstored = self._unstored[node_id]
        unstored.count -= 1
        unstored.bytes -= size
        self.unstored_bytes -= size
        if not unstored.count:
            del self._unstored[node_id]
        self._look_for_room()
        limits = self._limits
        if (
            node_id in self._parked
            and unstored.count <= limits.max_unacked // 2
            and unstored.bytes <= limits.max_unacked_bytes // 2
        ):
            asyncio.get_running_loop().call_soon(self._wake, node_id)

    def park(self, connection: Waiting) -> None:
        """Tell *connection* to `proceed` when there is room for its node again."""
        self._parked[connection.node_id] = connection

    def leave(self, connection: Waiting) -> None:
        """Forget that *connection* waits, if it does."""
        if self._parked.get(connection.node_id) is connection:
            del self._parked[connection.node_id]

    async def take(self, limit: int) -> Sequence[Inbound]:
        """Wait for at least one message and take up to *limit*; HubClosed when none will come."""
        taken = await self._queue.take_some(limit)
        self._look_for_room()
        return taken

    def close(self) -> None:
        """Let `take` give out what is left and then raise HubClosed."""
        self._queue.close()

    def _look_for_room(self) -> None:
        limits = self._limits
        if (
            self._is_full
            and len(self._queue) * 2 <= limits.max_queued
            and self.unstored_bytes * 2 <= limits.max_queued_bytes
        ):
            self._is_full = False
            asyncio.get_running_loop().call_soon(self._wake_all)

    def _wake_all(self) -> None:
        for node_id in list(self._parked):
            if self._is_full:
                return
            self._wake(node_id)

    def _wake(self, node_id: str) -> None:
        if node_id in self._parked and self.may_read(node_id):
            self._parked.pop(node_id).proceed()


class Ack:
    """The `ack` of one Inbound; only its first call counts."""

    __slots__ = ("_connection", "_inbox", "_node_id", "_packet_id", "_payload_bytes")

    def __init__(
        self,
        inbox: HubInbox,
        connection: Acknowledged,
        node_id: str,
        packet_id: int,
        payload_bytes: int,
    ) -> None:
        self._inbox = inbox
        self._connection: Acknowledged | None = connection
        self._node_id = node_id
        self._packet_id = packet_id
        self._payload_bytes = payload_bytes

    def __call__(self) -> None:  # noqa: D102  # documented on Inbound
        connection, self._connection = self._connection, None
        if connection is not None:
            self._inbox.acked(self._node_id, self._payload_bytes)
            connection.acknowledge(self._packet_id)

"""The bounded queue between the connections and `receive`."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from broker.errors import HubClosed
from broker.hub import Inbound
from broker.limits import HubLimits


class Waiting(Protocol):
    """A connection that is not read while the inbox is full."""

    def proceed(self) -> None:
        """Read on."""
        ...


class Inbox:
    """Messages in the order they came, until `take`.

    It never refuses: whoever puts looks at `is_full` afterwards, stops, and says so with `park`.
    So it holds at most one message more than its limits.
    """

    def __init__(self, limits: HubLimits) -> None:
        self._limits = limits
        self._queue: deque[Inbound] = deque()
        self._bytes = 0  # of payload in the queue
        self._changed = asyncio.Event()  # set when there is something to take, or all is over
        self._parked: dict[Waiting, None] = {}  # who waits for room, the longest waiting first
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_full(self) -> bool:
        """Say whether nothing more should be put."""
        return (
            len(self._queue) >= self._limits.max_queued
            or self._bytes >= self._limits.max_queued_bytes
        )

    def put(self, message: Inbound) -> None:
        """Append *message*."""
        self._queue.append(message)
        self._bytes += len(message.payload)
        if len(self._queue) == 1:
            self._changed.set()

    def park(self, connection: Waiting) -> None:
        """Tell *connection* to `proceed` when half of the queue is taken."""
        self._parked[connection] = None

    def leave(self, connection: Waiting) -> None:
        """Forget that *connection* waits, if it does."""
        self._parked.pop(connection, None)

    async def take(self, limit: int) -> Sequence[Inbound]:
        """Wait for at least one message and take up to *limit*; HubClosed when none will come."""
        while not self._queue:
            if self._is_closed:
                raise HubClosed
            self._changed.clear()
            await self._changed.wait()
        count = min(limit, len(self._queue))
        taken = [self._queue.popleft() for _ in range(count)]
        self._bytes -= sum(len(message.payload) for message in taken)
        if self._parked and self._is_half_empty:
            self._wake_parked()
        return taken

    def close(self) -> None:
        """Let `take` give out what is left and then raise HubClosed."""
        self._is_closed = True
        self._changed.set()

    @property
    def _is_half_empty(self) -> bool:
        limits = self._limits
        return (
            len(self._queue) * 2 <= limits.max_queued and self._bytes * 2 <= limits.max_queued_bytes
        )

    def _wake_parked(self) -> None:
        parked, self._parked = self._parked, {}
        for connection in parked:
            if self.is_full:
                self._parked[connection] = None
            else:
                connection.proceed()

"""The bounded queue between the network threads of a client of a broker and `receive`."""

import asyncio
import threading
from collections.abc import Sequence

from broker.errors import HubClosed
from broker.fair_queue import FairQueue
from broker.hub import Inbound


class SharedQueue:
    """Messages in turns between nodes; `put` blocks its thread while there is no room.

    There are at most *max_count* of them, and *max_bytes* of payload that `release` has not been
    called for, or one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, max_count: int, max_bytes: int) -> None:
        self._loop = loop
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._queue = FairQueue()
        self._room = threading.Condition()  # guards everything here
        self._changed = asyncio.Event()
        self._is_closed = False
        self.unstored_bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    # on a network thread
    def put(self, message: Inbound) -> None:
        """Wait for room, then append *message*; it is dropped if the queue is closed by then."""
        size = len(message.payload)
        with self._room:
            self._room.wait_for(lambda: self._is_closed or self._has_room(size))
            if self._is_closed:
                return
            self._queue.put(message)
            self.unstored_bytes += size
        if not self._changed.is_set():
            self._loop.call_soon_threadsafe(self._changed.set)

    def _has_room(self, size: int) -> bool:
        is_within = self.unstored_bytes + size <= self._max_bytes or not self.unstored_bytes
        return is_within and len(self._queue) < self._max_count

    # on the event loop
    async def take(self, limit: int) -> Sequence[Inbound]:
        """Wait for at least one message and take up to *limit*; HubClosed when none will come."""
        while not self._queue:
            if self._is_closed:
                raise HubClosed
            self._changed.clear()
            if not self._queue:
                await self._changed.wait()
        with self._room:
            taken = self._queue.take(limit)
            self._room.notify_all()
        return taken

    def release(self, size: int) -> None:
        """Record that a message of *size* bytes is stored, or refused."""
        with self._room:
            self.unstored_bytes -= size
            self._room.notify_all()

    def close(self) -> None:
        """Let `take` give out what is left and then raise HubClosed; no `put` waits any more."""
        with self._room:
            self._is_closed = True
            self._room.notify_all()
        self._changed.set()

"""The bounded queue between the connections to a broker and `receive`."""

import asyncio
from collections.abc import Callable, Sequence

from broker.fair_queue import FairQueue
from broker.hub import Inbound


class ClientQueue:
    """Messages in turns between nodes.

    There are at most *max_count* of them, and *max_bytes* of payload that `release` has not been
    called for, or one.
    """

    def __init__(self, *, max_count: int, max_bytes: int) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._queue = FairQueue()
        self._waiting: list[Callable[[], None]] = []  # called when there is room again
        self.unstored_bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, message: Inbound) -> bool:
        """Append *message*, unless there is no room for it; one for a closed queue is dropped."""
        if self._queue.is_closed:
            return True
        size = len(message.payload)
        is_within = self.unstored_bytes + size <= self._max_bytes or not self.unstored_bytes
        if not is_within or len(self._queue) >= self._max_count:
            return False
        self._queue.put(message)
        self.unstored_bytes += size
        return True

    def call_at_room(self, proceed: Callable[[], None]) -> None:
        """Call *proceed* once there is room again, or the queue is closed."""
        self._waiting.append(proceed)

    async def take(self, limit: int) -> Sequence[Inbound]:
        """Wait for at least one message and take up to *limit*; HubClosed when none will come."""
        taken = await self._queue.take_some(limit)
        self._look_for_room()
        return taken

    def release(self, size: int) -> None:
        """Record that a message of *size* bytes is stored, or refused."""
        self.unstored_bytes -= size
        self._look_for_room()

    def close(self) -> None:
        """Let `take` give out what is left and then raise HubClosed."""
        self._queue.close()
        self._proceed()

    def _look_for_room(self) -> None:
        # Not before half of it is free: stopping and going on for each message costs more.
        if (
            self._waiting
            and len(self._queue) * 2 <= self._max_count
            and self.unstored_bytes * 2 <= self._max_bytes
        ):
            self._proceed()

    def _proceed(self) -> None:
        waiting, self._waiting = self._waiting, []
        for proceed in waiting:
            asyncio.get_running_loop().call_soon(proceed)

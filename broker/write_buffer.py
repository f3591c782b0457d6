"""Output to a node: bytes that wait until the node reads them, bounded for each and in all.

The transport gets no more than it needs to keep the network busy; the rest waits here, where it is
counted.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable

WINDOW = 32 * 1024
"""Bytes handed to the transport at a time, and that wait in it before it asks to stop."""


class WriteBudget:
    """Bytes that wait in all buffers of a hub: *max_bytes* at most.

    Where one more would not fit, the buffers whose readers have taken nothing for the longest time
    are evicted.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._waiting: OrderedDict[WriteBuffer, None] = OrderedDict()  # the longest stalled first
        self.used = 0

    def reserve(self, buffer: "WriteBuffer", count: int) -> bool:
        """Count *count* more bytes of *buffer*; False if there is no room for them."""
        while self.used + count > self._max_bytes:
            stalled = next(iter(self._waiting), buffer)
            if stalled is buffer:
                return False
            stalled.evict()
        self.used += count
        self._waiting.setdefault(buffer)
        return True

    def release(self, buffer: "WriteBuffer", count: int, *, left: int) -> None:
        """Count *count* bytes less of *buffer*, in which *left* wait still."""
        self.used -= count
        if left:
            self._waiting.move_to_end(buffer)
        else:
            self._waiting.pop(buffer, None)


class WriteBuffer:
    """Gathers what is written in one turn of the event loop into one TLS record and system call.

    At most *max_bytes* wait in it. *on_evicted* is called when it has to give its bytes up for
    others.
    """

    def __init__(self, max_bytes: int, budget: WriteBudget, on_evicted: Callable[[], None]) -> None:
        self._max_bytes = max_bytes
        self._budget = budget
        self._on_evicted = on_evicted
        self._parts: deque[bytes] = deque()
        self._sent = 0  # bytes of the first part that the transport has
        self._bytes = 0  # of the parts, each counted until all of it is in the transport
        self._is_paused = False
        self._transport: asyncio.Transport | None = None  # while it may be written to

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are not in the transport yet."""
        return self._bytes

    def open(self, transport: asyncio.Transport) -> None:
        """Write to *transport* from now on."""
        transport.set_write_buffer_limits(high=WINDOW)
        self._transport = transport

    def put(self, data: bytes) -> bool:
        """Take *data*; False, and nothing taken, if too much would wait for the peer to read it."""
        count = len(data)
        if self._transport is None or self._bytes + count > self._max_bytes:
            return False
        if not self._budget.reserve(self, count):
            return False
        if not self._parts:
            asyncio.get_running_loop().call_soon(self.flush)
        self._parts.append(data)
        self._bytes += count
        return True

    def flush(self) -> None:
        """Hand what was gathered to the transport, as much as it takes."""
        while self._parts and not self._is_paused and self._transport is not None:
            self._transport.write(self._next_chunk())

    def pause(self) -> None:
        """Hand nothing over until `resume`: the transport is full."""
        self._is_paused = True

    def resume(self) -> None:
        """Hand over what waits."""
        self._is_paused = False
        self.flush()

    def evict(self) -> None:
        """Give the bytes up."""
        self.close()
        self._on_evicted()

    def close(self) -> None:
        """Drop what was gathered and take nothing more; idempotent."""
        self._transport = None
        self._parts.clear()
        self._release(self._bytes)

    def _next_chunk(self) -> bytes | memoryview:
        first = self._parts[0]
        if len(first) > WINDOW:
            chunk = memoryview(first)[self._sent : self._sent + WINDOW]
            self._sent += len(chunk)
            if self._sent >= len(first):
                self._sent = 0
                self._release(len(self._parts.popleft()))
            return chunk
        if len(self._parts) == 1:
            self._parts.clear()
            self._release(len(first))
            return first
        gathered, count = [], 0
        while self._parts and count + len(self._parts[0]) <= WINDOW:
            gathered.append(self._parts.popleft())
            count += len(gathered[-1])
        self._release(count)
        return b"".join(gathered)

    def _release(self, count: int) -> None:
        self._bytes -= count
        self._budget.release(self, count, left=self._bytes)

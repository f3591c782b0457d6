"""Bytes of packets that are incomplete or not taken yet, bounded in all."""

from typing import Protocol


class Evictable(Protocol):
    """A connection whose bytes may have to go."""

    def evict(self) -> None:
        """Close, and set the size of its buffer to 0."""
        ...


class ReadBuffers:
    """Counts the buffers of all connections of a hub: *max_bytes* at most.

    Where there are more, the connections go whose bytes wait for the longest time, of those that
    hold more than the average. Nothing of theirs was acknowledged, so they send it again.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._sizes: dict[Evictable, int] = {}  # in the order in which they began to wait
        self.used = 0

    def set_size(self, connection: Evictable, size: int) -> None:
        """Record that *size* bytes of *connection* wait, which may evict it, or others."""
        before = self._sizes.get(connection, 0)
        if size == before:
            return
        self.used += size - before
        if size:
            self._sizes[connection] = size
        else:
            del self._sizes[connection]
        while self.used > self._max_bytes:
            self._evict_one()

    def _evict_one(self) -> None:
        share = self.used / len(self._sizes)
        victim = next(one for one, size in self._sizes.items() if size >= share)
        self.used -= self._sizes.pop(victim)
        victim.evict()

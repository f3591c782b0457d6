"""Requests that wait for something to happen, and what wakes them in this process."""

import asyncio
import contextlib
from collections.abc import Iterator


class Wakes:
    """Owns those who listen for a key. What other servers do wakes nobody here."""

    def __init__(self) -> None:
        self._listening: dict[str, set[asyncio.Event]] = {}
        # Nobody waits any more: the server stops.
        self.is_closed = False

    @property
    def count(self) -> int:
        """How many listen."""
        return sum(map(len, self._listening.values()))

    @contextlib.contextmanager
    def listening(self, key: str) -> Iterator[asyncio.Event]:
        """An event that is set by each `wake` of *key* in the block, and by `close`."""
        event = asyncio.Event()
        self._listening.setdefault(key, set()).add(event)
        try:
            yield event
        finally:
            self._listening[key].discard(event)
            if not self._listening[key]:
                del self._listening[key]

    def wake(self, key: str) -> None:
        """Set the events of those who listen for *key*."""
        for event in self._listening.get(key, ()):
            event.set()

    def close(self) -> None:
        """Wake everybody, for good."""
        self.is_closed = True
        for key in self._listening:
            self.wake(key)

"""Requests that wait for an event in this process."""

import asyncio
import contextlib
from collections.abc import Iterator


class Notifier:
    """Owns the requests that wait for a key. It does not reach those of other servers."""

    def __init__(self) -> None:
        self._listening: dict[str, set[asyncio.Event]] = {}
        # Set by `close`: the server stops.
        self.is_closed = False

    @property
    def count(self) -> int:
        """Number of requests that wait."""
        return sum(map(len, self._listening.values()))

    @contextlib.contextmanager
    def listening(self, key: str) -> Iterator[asyncio.Event]:
        """An event that each `notify` of *key* sets while the block runs, and `close`."""
        event = asyncio.Event()
        self._listening.setdefault(key, set()).add(event)
        try:
            yield event
        finally:
            self._listening[key].discard(event)
            if not self._listening[key]:
                del self._listening[key]

    def notify(self, key: str) -> None:
        """Set the events of the requests that wait for *key*."""
        for event in self._listening.get(key, ()):
            event.set()

    def close(self) -> None:
        """End all waiting, for good."""
        self.is_closed = True
        for key in self._listening:
            self.notify(key)

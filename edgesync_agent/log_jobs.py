"""Reads the logs of several instances at a time, beside all else the agent does."""

from __future__ import annotations

import threading
from typing import Iterator, Protocol, Sequence, Tuple

from edgesync_agent.runtime import RuntimeFailure

BUFFER_LIMIT = 256 * 1024  # bytes that wait to be sent; beyond it the oldest go
LINE_LIMIT = 16 * 1024  # bytes of a line; a longer one is broken


class LogReader(Protocol):
    """Yields the last *lines* of a log, none before *since*; then what comes within *follow* s."""

    def __call__(self, *, lines: int, since: float, follow: float) -> Iterator[bytes]:
        """Read the log; RuntimeFailure if it cannot be read."""
        ...


Sources = Sequence[Tuple[str, LogReader]]
"""The logs to read, each with the name that its lines bear where there are several."""


class LogJob:
    """Reads *sources*, each in a thread of its own; `take` what has come."""

    def __init__(self, sources: Sources, lines: int, since: float, follow: float) -> None:
        self.failures: list[str] = []
        self._chunks: list[bytes] = []
        self._size = 0
        self._is_cut = False
        self._is_ended = False
        self._lock = threading.Lock()
        self._threads = []
        for name, reader in sources:
            prefix = f"{name} | ".encode() if len(sources) > 1 else b""
            arguments = (prefix, reader, lines, since, follow)
            thread = threading.Thread(target=self._read, args=arguments, daemon=True)
            self._threads.append(thread)
            thread.start()

    @property
    def is_done(self) -> bool:
        """Whether nothing more comes."""
        return self._is_ended or not any(thread.is_alive() for thread in self._threads)

    def end(self) -> None:
        """Take no more; a thread that waits for its runtime ends by itself later."""
        self._is_ended = True

    def take(self, limit: int) -> tuple[bytes, bool]:
        """Whole lines of up to *limit* bytes, or the last of them; whether some are missing."""
        with self._lock:
            data, is_cut = b"".join(self._chunks), self._is_cut
            if len(data) > limit:
                data, is_cut = data[-limit:], True
                data = data[data.find(b"\n") + 1 :]
            self._chunks, self._size, self._is_cut = [], 0, False
        return data, is_cut

    def _read(
        self, prefix: bytes, reader: LogReader, lines: int, since: float, follow: float
    ) -> None:
        rest = b""
        try:
            for data in reader(lines=lines, since=since, follow=follow):
                if self._is_ended:
                    return
                *whole, rest = (rest + data).split(b"\n")
                if len(rest) > LINE_LIMIT:
                    whole, rest = [*whole, rest], b""
                self._put(b"".join(prefix + line + b"\n" for line in whole))
        except (RuntimeFailure, OSError) as error:
            self.failures.append(str(error))
        if rest:
            self._put(prefix + rest + b"\n")

    def _put(self, data: bytes) -> None:
        if not data:
            return
        with self._lock:
            self._chunks.append(data)
            self._size += len(data)
            while self._size > BUFFER_LIMIT and len(self._chunks) > 1:
                self._size -= len(self._chunks.pop(0))
                self._is_cut = True

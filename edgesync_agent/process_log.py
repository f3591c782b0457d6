"""The output of a host process: one file that the process writes, and the one before it.

The process writes by itself, so that it goes on while no agent runs. Once the file is large enough
it is copied and emptied: what is written between the two, a few milliseconds, is lost.
"""

from __future__ import annotations

import collections
import os
import shutil
import time
from pathlib import Path
from typing import Iterator

SIZE_LIMIT = 4 * 1024 * 1024  # bytes of each of the two files
READ_LIMIT = 256 * 1024  # bytes of a log that are looked at for its end
MARKS = 1000  # moments whose place in the log is known
POLL = 0.2  # seconds between looks at a log that is followed


class ProcessLog:
    """The log at *path*; `tend` it every few seconds."""

    def __init__(self, path: Path, size_limit: int = SIZE_LIMIT) -> None:
        self.path = path
        self.before = path.with_name(f"{path.name}.1")
        self.size_limit = size_limit
        # Moments (seconds since 1970) and how long the log was then.
        self._marks: collections.deque[tuple[float, int]] = collections.deque(maxlen=MARKS)

    def tend(self, now: float) -> None:
        """Remember how long the log is, and begin it anew where it is too long."""
        size = self._size()
        if size > self.size_limit:
            beside = self.before.with_name(f".new-{self.before.name}")
            shutil.copyfile(self.path, beside)
            os.replace(beside, self.before)
            os.truncate(self.path, 0)
            self._marks.clear()
            size = 0
        if not self._marks or self._marks[-1][1] != size:
            self._marks.append((now, size))

    def tail(self, lines: int, since: float = 0.0) -> tuple[bytes, int]:
        """The last *lines*, none from before *since*, and how long the log is."""
        size, start = self._size(), self._place(since)
        data = self._read(max(start, size - READ_LIMIT), size)
        if since <= 0 and data.count(b"\n") < lines and self.before.exists():
            missing = READ_LIMIT - len(data)
            with open(self.before, "rb") as file:
                file.seek(max(os.fstat(file.fileno()).st_size - missing, 0))
                data = file.read() + data
        found = data.splitlines(keepends=True)
        return b"".join(found[-lines:]), size

    def follow(self, place: int, seconds: float) -> Iterator[bytes]:
        """The output behind *place* within so many seconds, as it comes; perhaps empty."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            size = self._size()
            if size < place:
                place = 0  # it was begun anew
            end = min(size, place + READ_LIMIT)
            if end > place:
                yield self._read(place, end)
                place = end
            else:
                yield b""
                time.sleep(min(POLL, max(until - time.monotonic(), 0)))

    def _place(self, since: float) -> int:
        """How long the log was at *since*, or a little before."""
        places = [place for at, place in self._marks if at <= since]
        return places[-1] if places else 0

    def _read(self, start: int, end: int) -> bytes:
        try:
            with open(self.path, "rb") as file:
                file.seek(start)
                return file.read(end - start)
        except FileNotFoundError:
            return b""

    def _size(self) -> int:
        try:
            return os.stat(self.path).st_size
        except FileNotFoundError:
            return 0

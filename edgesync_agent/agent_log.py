"""The agent's own log: printed, and its end stored for operators."""

from __future__ import annotations

import collections
import threading
import time
from typing import Iterator

LINES_KEPT = 1000
POLL = 0.2  # seconds between looks at a log that is followed


class AgentLog:
    """Takes lines from any thread; never anything secret."""

    def __init__(self, kept: int = LINES_KEPT) -> None:
        self._lines: collections.deque[tuple[float, str]] = collections.deque(maxlen=kept)
        self._count = 0  # lines so far
        self._lock = threading.Lock()

    def __call__(self, line: str) -> None:
        """Print a line with the time."""
        now = time.time()
        text = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(now))} {line}"
        with self._lock:
            self._lines.append((now, text))
            self._count += 1
        print(text, flush=True)

    def logs(self, *, lines: int, since: float = 0.0, follow: float = 0.0) -> Iterator[bytes]:
        """The last *lines*, none from before *since*; then what comes for *follow* seconds."""
        until = time.monotonic() + follow
        with self._lock:
            found = [text for at, text in self._lines if at >= since]
            place = self._count
        yield _joined(found[-lines:])
        while time.monotonic() < until:
            with self._lock:
                new = min(self._count - place, len(self._lines))
                found = [text for _, text in list(self._lines)[len(self._lines) - new :]]
                place = self._count
            yield _joined(found)
            if not found:
                time.sleep(POLL)


def _joined(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode(errors="replace")

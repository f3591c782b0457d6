"""Bytes that requests of a link hold in memory at the same time, bounded in all."""

import contextlib
from collections.abc import Callable, Iterator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cloud.errors import TooManyRequests
from cloud.http.answers import JSON

WAIT_SECONDS = 1.0
"""After how long a request may come again that there was no room for."""

CHUNK = 64 * 1024
"""Bytes of a long answer that are handed over at a time, once those before were taken."""


class ByteBudget:
    """At most *limit* bytes; *on_refused* is called for each request that is refused."""

    def __init__(self, limit: int, on_refused: Callable[[], None] = lambda: None) -> None:
        self._limit = limit
        self._on_refused = on_refused
        self.used = 0

    def take(self, count: int) -> None:
        """Count *count* more; TooManyRequests, and nothing is counted, if there is no room."""
        if self.used + count > self._limit:
            self._on_refused()
            raise TooManyRequests(WAIT_SECONDS)
        self.used += count

    def release(self, count: int) -> None:
        """Count *count* less."""
        self.used -= count

    @contextlib.contextmanager
    def holding(self, count: int) -> Iterator[None]:
        """Count *count* more during the block; as `take`."""
        self.take(count)
        try:
            yield
        finally:
            self.release(count)


class CountedResponse(Response):
    """JSON *text* that counts in *budget* until the other side has read it, or is gone."""

    def __init__(self, text: bytes, budget: ByteBudget) -> None:
        super().__init__(text, media_type=JSON)
        budget.take(len(text))
        self._text = text
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it in chunks, each once there is room for it."""
        text = self._text
        try:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            for at in range(0, max(len(text), 1), CHUNK):
                body, more = text[at : at + CHUNK], at + CHUNK < len(text)
                await send({"type": "http.response.body", "body": body, "more_body": more})
        finally:
            self._budget.release(len(text))

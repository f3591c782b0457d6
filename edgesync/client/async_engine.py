"""The engine of the client for asyncio: as `engines`, on the running event loop.

A module of its own, as loading asyncio takes as long as a call of the command line.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, TypeVar

from edgesync.client.access import Access
from edgesync.client.engines import (
    answer_of,
    lost_by,
    request_arguments,
    resume,
    token_headers,
)
from edgesync.client.http_client import httpx
from edgesync.client.steps import Found, HttpAnswer, Items, Pause, ReadClock, ReadOn, Step, Steps

T = TypeVar("T")


class AsyncEngine:
    """Carries out steps on the running event loop; its connections are kept between calls."""

    def __init__(self, access: Access, seconds: float) -> None:
        self.url = str(access.url)
        self._seconds = seconds
        self._http = httpx.AsyncClient(
            base_url=access.url, headers=token_headers(access), verify=access.trust, timeout=seconds
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def run(self, steps: Steps[T]) -> T:
        """The result of *steps*."""
        async with _AsyncStreams(self._http, self.url, self._seconds) as streams:
            answer: Any = None
            while True:
                try:
                    step = resume(steps, answer)
                except StopIteration as stop:
                    result: T = stop.value
                    return result
                answer = await streams.carry_out(step)

    async def iterate(self, items: Items[T]) -> AsyncGenerator[T]:
        """What *items* hands out."""
        async with _AsyncStreams(self._http, self.url, self._seconds) as streams:
            answer: Any = None
            while True:
                try:
                    step = resume(items, answer)
                except StopIteration:
                    return
                if isinstance(step, Found):
                    yield step.item
                    answer = None
                else:
                    answer = await streams.carry_out(step)


class _AsyncStreams(contextlib.AsyncExitStack):
    """As `_BlockingStreams`."""

    def __init__(self, http: httpx.AsyncClient, url: str, seconds: float) -> None:
        super().__init__()
        self._http, self._url, self._seconds = http, url, seconds
        self._chunks: AsyncIterator[bytes] | None = None

    async def carry_out(self, step: Step) -> Any:
        """What comes of *step*; ConnectionLost is returned."""
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        if isinstance(step, ReadClock):
            return time.monotonic()
        try:
            if isinstance(step, ReadOn):
                return await anext(self._chunks, b"") if self._chunks else b""
            if not step.is_stream:
                return answer_of(await self._http.request(**request_arguments(step)))
            await self.aclose()
            limits = httpx.Timeout(self._seconds, read=step.silence)
            opened = self._http.stream(**request_arguments(step), timeout=limits)
            response = await self.enter_async_context(opened)
            if not response.is_success:
                await response.aread()
                return answer_of(response)
            self._chunks = response.aiter_bytes()
            return HttpAnswer(response.status_code, response.headers, b"")
        except httpx.HTTPError as error:
            return lost_by(self._url, error)

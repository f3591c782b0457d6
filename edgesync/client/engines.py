"""The engine of the waiting client: it carries out steps (`steps`)."""

import contextlib
import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any, TypeVar

from edgesync.client.access import Access
from edgesync.client.errors import ConnectionLost
from edgesync.client.http_client import httpx
from edgesync.client.steps import (
    Found,
    HttpAnswer,
    HttpRequest,
    Items,
    Pause,
    ReadClock,
    ReadOn,
    Step,
    Steps,
)

T = TypeVar("T")

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class BlockingEngine:
    """Carries out steps while the caller waits; its connections are kept between calls.

    It may be used by several threads.
    """

    def __init__(self, access: Access, seconds: float) -> None:
        self.url = str(access.url)
        self._seconds = seconds
        self._http = httpx.Client(
            base_url=access.url, headers=token_headers(access), verify=access.trust, timeout=seconds
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def run(self, steps: Steps[T]) -> T:
        """The result of *steps*."""
        with _BlockingStreams(self._http, self.url, self._seconds) as streams:
            answer: Any = None
            while True:
                try:
                    step = resume(steps, answer)
                except StopIteration as stop:
                    result: T = stop.value
                    return result
                answer = streams.carry_out(step)

    def iterate(self, items: Items[T]) -> Iterator[T]:
        """What *items* hands out."""
        with _BlockingStreams(self._http, self.url, self._seconds) as streams:
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
                    answer = streams.carry_out(step)


class _BlockingStreams(contextlib.ExitStack):
    """Carries out single steps, and owns the stream that one of them opened."""

    def __init__(self, http: httpx.Client, url: str, seconds: float) -> None:
        super().__init__()
        self._http, self._url, self._seconds = http, url, seconds
        self._chunks: Iterator[bytes] = iter(())

    def carry_out(self, step: Step) -> Any:
        """What comes of *step*; ConnectionLost is returned."""
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        if isinstance(step, ReadClock):
            return time.monotonic()
        try:
            if isinstance(step, ReadOn):
                return next(self._chunks, b"")
            if not step.is_stream:
                return answer_of(self._http.request(**request_arguments(step)))
            self.close()
            limits = httpx.Timeout(self._seconds, read=step.silence)
            opened = self._http.stream(**request_arguments(step), timeout=limits)
            response = self.enter_context(opened)
            if not response.is_success:
                response.read()
                return answer_of(response)
            self._chunks = response.iter_bytes()
            return HttpAnswer(response.status_code, response.headers, b"")
        except httpx.HTTPError as error:
            return lost_by(self._url, error)


def token_headers(access: Access) -> httpx.Headers:
    """The headers of all requests."""
    token = {"Authorization": f"Bearer {access.token}"} if access.token else {}
    return httpx.Headers(token, encoding="utf-8")


def resume(steps: Generator[Any, Any, Any], answer: Any) -> Any:
    """The next step; StopIteration where there is none."""
    if isinstance(answer, ConnectionLost):
        return steps.throw(answer)
    return steps.send(answer)


def request_arguments(request: HttpRequest) -> dict[str, Any]:
    """*request*, as httpx takes it."""
    headers: Mapping[str, str] = request.headers
    return {
        "method": request.method,
        "url": request.path,
        "params": request.query,
        "headers": httpx.Headers(headers, encoding="utf-8"),
        "content": request.content,
    }


def answer_of(response: httpx.Response) -> HttpAnswer:
    """The answer that a *response* is, whose content was read."""
    return HttpAnswer(response.status_code, response.headers, response.content)


def lost_by(url: str, error: httpx.HTTPError) -> ConnectionLost:
    """What *error* becomes for a server at *url*."""
    lost = ConnectionLost(
        url, str(error) or type(error).__name__, was_sent=not isinstance(error, _NOT_SENT)
    )
    lost.__cause__ = error
    return lost

"""Calls without I/O: generators that yield steps, are sent what came of each, and return a result.

Both clients carry out the same generators (`engines`), so that retries, pages, streams and waits
stand here and in the modules above once. Where a step yields ConnectionLost it is raised in the
generator.
"""

import json
import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Generic, TypeVar

from edgesync.client.errors import ApiRefusal, ConnectionLost, UnreadableAnswer, api_error

T = TypeVar("T")

TOO_MANY = 429
UNAVAILABLE = 503
SUCCESS = range(200, 300)
_UNAUTHENTICATED = 401

_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "PATCH", "DELETE"})
"""Carried out twice, they have the effect of once: a PATCH is a merge patch (RFC 7396)."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request, answered by an `HttpAnswer`.

    A *stream* is answered at its head, and read on by `ReadOn`; *silence* is how many seconds it
    may be silent for.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    is_stream: bool = False
    silence: float | None = None

    @property
    def is_repeatable(self) -> bool:
        """Return whether it may be sent again although it may have been carried out."""
        return self.method in _REPEATABLE or self.query.get("dryRun") == "true"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer; the names of *headers* are in lower case.

    *is_repeat*: an earlier try of the same request may have been carried out.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    is_repeat: bool = False


@dataclass(frozen=True, slots=True)
class ReadOn:
    """Read on in the stream of the last request: some bytes, none at its end."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many *seconds*."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ReadClock:
    """Read the monotonic clock: seconds."""


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """Hand *item* to who iterates."""

    item: T


Step = HttpRequest | ReadOn | Pause | ReadClock
Steps = Generator[Step, Any, T]
"""Returns a T."""

Items = Generator[Step | Found[T], Any, None]
"""Hands out any number of T."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often, and when, a call is tried again.

    After 429 and 503, and after a lost connection, up to *times* times: a call that is not
    repeatable (POST) only where the server certainly did not carry it out. The pauses are those
    of Retry-After, *longest* seconds at most, else doubled from *first* seconds; *random* from 0 to
    1 takes up to half of one off. *after_loss* false: a lost connection is an error at once.
    """

    times: int = 4
    first: float = 0.25
    longest: float = 60.0
    after_loss: bool = True
    random: Callable[[], float] = random.random

    def pause(self, tried: int, retry_after: str = "") -> float:
        """Seconds to wait after *tried* tries."""
        if retry_after.isascii() and retry_after.isdigit():
            return min(float(retry_after), self.longest)
        return min(self.first * 2.0 ** min(tried - 1, 30), self.longest) * (1 - self.random() / 2)


DEFAULT_RETRIES = Retries()
NO_RETRIES = Retries(times=0)


def answered(request: HttpRequest, retries: Retries) -> Steps[HttpAnswer]:
    """The answer to *request* after retries, whatever its status; ConnectionLost without one."""
    is_repeat = False
    for tried in count(1):
        is_last = tried > retries.times
        try:
            answer: HttpAnswer = yield request
        except ConnectionLost as lost:
            is_allowed = retries.after_loss and (request.is_repeatable or not lost.was_sent)
            if is_last or not is_allowed:
                raise
            is_repeat |= lost.was_sent
            pause = retries.pause(tried)
        else:
            if is_last or not _may_repeat(request, answer):
                return replace(answer, is_repeat=is_repeat)
            pause = retries.pause(tried, answer.headers.get("retry-after", ""))
        yield Pause(pause)
    raise AssertionError("the last try returns or raises")


def _may_repeat(request: HttpRequest, answer: HttpAnswer) -> bool:
    """A call that is one too many was not carried out; what an unavailable server did is open."""
    return answer.status == TOO_MANY or (answer.status == UNAVAILABLE and request.is_repeatable)


def check(request: HttpRequest, answer: HttpAnswer, url: str, source: str) -> HttpAnswer:
    """The *answer* of a server at *url* where it is a success, else its ApiError.

    Where the token was not accepted the message names the *source* of the token.
    """
    if answer.status in SUCCESS:
        return answer
    try:
        body = json.loads(answer.content)
    except ValueError:
        body = None
    members = body if isinstance(body, dict) else {}
    first_line = answer.content.decode(errors="replace").strip().partition("\n")[0]
    message = str(members.get("message") or f"{answer.status}: {first_line[:200]}")
    if answer.status == _UNAUTHENTICATED and source:
        message = f"{message.rstrip('.')}: {url} does not accept the token of {source}."
    raise api_error(
        ApiRefusal(
            status=answer.status,
            code=str(members.get("code", "")),
            message=message,
            field=str(members.get("field", "")),
            request_id=str(members.get("request-id") or answer.headers.get("x-bce-request-id", "")),
            method=request.method,
            url=url,
            path=request.path,
        )
    )


def json_of(answer: HttpAnswer, url: str) -> Any:
    """The content of *answer*; UnreadableAnswer if that is not JSON."""
    try:
        return json.loads(answer.content)
    except ValueError as error:
        raise UnreadableAnswer(f"{url}: the response is not JSON") from error

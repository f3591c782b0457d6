"""Events as they come: server-sent events (https://html.spec.whatwg.org/#server-sent-events).

A stream remembers only the number it is at: a slow client costs no memory, and one that
comes back with the id of the last event it saw goes on from there. Who takes nothing for too long
is cut off.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from cloud.core.audit import Actor
from cloud.core.event import EventFilter, NumberedEvent, event_value
from cloud.errors import Denied, Unavailable
from cloud.http.answers import EVENT_STREAM
from cloud.http.peer import abort
from cloud.jobs.event_feed import BUFFERED_EVENTS, EventFeed
from cloud.operations.events import follow_events
from cloud.rest.places import Places
from cloud.store.transaction import Store

PAGE = 200
"""Events that are read, or sent, at a time."""

GAP = "gap"
"""The name of the message in a stream where requested events are not stored any more."""

_OPENING = b"retry: 2000\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How many streams there may be, in *total* and *of_one* caller, and how they are kept alive.

    Each *heartbeat* it is looked whether the caller may still see it; *patience* is how long it may
    take nothing.
    """

    total: int = 200
    of_one: int = 20
    heartbeat: timedelta = timedelta(seconds=15)
    patience: timedelta = timedelta(seconds=20)


class EventStreams:
    """Owns the streams that are open."""

    def __init__(self, feed: EventFeed, limits: StreamLimits = StreamLimits()) -> None:
        self.feed = feed
        self.limits = limits
        retry = limits.heartbeat.total_seconds()
        self._places = Places(limits.total, limits.of_one, retry, "event_streams")
        # The newest events as they are sent, made once for all streams.
        self._messages: dict[int, bytes] = {}

    def messages(self, events: Sequence[NumberedEvent]) -> bytes:
        """The text of *events* in the stream."""
        return b"".join(map(self._message, events))

    def _message(self, event: NumberedEvent) -> bytes:
        if event.number not in self._messages:
            if len(self._messages) >= BUFFERED_EVENTS:
                self._messages.clear()
            self._messages[event.number] = _message(
                str(event.number), event.event.type, event_value(event)
            )
        return self._messages[event.number]

    @contextlib.contextmanager
    def place(self, caller: Actor) -> Iterator[None]:
        """One stream more in the block; TooManyRequests if there are too many."""
        with self._places.place(caller):
            yield


@dataclass(frozen=True, slots=True)
class Follower:
    """Who follows which events, after what *number*; *check* may be Denied."""

    caller: Actor
    wanted: EventFilter
    number: int
    check: Callable[[], Awaitable[None]]


class EventStreamResponse(StreamingResponse):
    """Events, while the client is connected and authorized."""

    def __init__(self, streams: EventStreams, store: Store, follower: Follower) -> None:
        super().__init__(_followed(streams, store, follower), headers=_HEADERS)
        # Without the charset that text gets: the type has one encoding.
        self.headers["Content-Type"] = EVENT_STREAM
        self._streams = streams
        self._caller = follower.caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the caller goes, may not see it any more, or takes nothing for too long."""
        patience = self._streams.limits.patience.total_seconds()

        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(patience):
                    await send(message)
            except TimeoutError:
                abort(scope)

        with self._streams.place(self._caller):
            await super().__call__(scope, receive, send_in_time)


async def _followed(
    streams: EventStreams, store: Store, follower: Follower
) -> AsyncIterator[bytes]:
    """The stream, piece by piece."""
    feed, heartbeat = streams.feed, streams.limits.heartbeat.total_seconds()
    time = asyncio.get_running_loop().time
    number = follower.number
    yield _OPENING + _place(number)
    checked = time()
    while not feed.is_closed:
        found, number, text = await _next(streams, store, follower.wanted, number)
        if text:
            yield text
        if not found:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(checked + heartbeat - time(), 0)):
                    await feed.wait(number)
        if time() - checked >= heartbeat:
            if not await _may_go_on(follower):
                return
            checked = time()
            yield b":\n" + _place(number)


async def _next(
    streams: EventStreams, store: Store, wanted: EventFilter, number: int
) -> tuple[bool, int, bytes]:
    """Whether there was something after *number*, up to where, and what of it is *wanted*."""
    # Which events are about some nodes alone is in the database.
    newest = None if wanted.nodes else streams.feed.after(number)
    if newest is not None:
        some = newest[:PAGE]
        chosen = [each for each in some if wanted.admits(each.event)]
        return bool(some), some[-1].number if some else number, streams.messages(chosen)
    try:
        followed = await store.read(lambda tx: follow_events(tx, wanted, number, limit=PAGE))
    except Unavailable:
        return False, number, b""
    text = streams.messages(followed.events)
    if followed.begin != number:
        gap = {"after": str(number), "from": str(followed.begin)}
        text = _message(str(followed.begin), GAP, gap) + text
    return followed.number != number, followed.number, text


async def _may_go_on(follower: Follower) -> bool:
    try:
        await follower.check()
    except Denied:
        return False
    except Unavailable:
        pass  # no known value
    return True


def _message(identity: str, kind: str, data: Any) -> bytes:
    """One message; JSON has no line breaks."""
    text = msgspec.json.encode(data)
    return f"id: {identity}\nevent: {kind}\ndata: ".encode() + text + b"\n\n"


def _place(number: int) -> bytes:
    """Where the stream is: an id without data, remembered by clients but no event."""
    return f"id: {number}\n\n".encode()

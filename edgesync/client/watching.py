"""Events as they happen; after a lost connection the stream goes on where it ended."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from edgesync.client.calls import Calls
from edgesync.client.errors import ConnectionLost, ServerBusy
from edgesync.client.event_stream import EventDecoder
from edgesync.client.steps import SUCCESS, Found, HttpRequest, Items, Pause, ReadOn, Steps, answered

T = TypeVar("T")

SILENCE_SECONDS = 45.0
"""The server sends a keep-alive every 15 s; three missed ones mean a lost connection."""

LONGEST_PAUSE_SECONDS = 15.0
"""Between two tries to connect again."""

_GAP = "gap"


@dataclass(frozen=True, slots=True)
class WatchHooks:
    """What a watch calls beside handing out events.

    *on_lost* is called with the seconds until it connects again, *on_gap* where events in between
    are not stored any more.
    """

    on_lost: Callable[[float], object] = lambda _: None
    on_gap: Callable[[], object] = lambda: None


NO_HOOKS = WatchHooks()


def watched(
    calls: Calls,
    query: Mapping[str, str],
    after: str,
    hooks: WatchHooks,
    form: Callable[[Any], T],
) -> Items[T]:
    """Events without end, each in its *form*; those after *after* first.

    The first connection is tried as often as a call; once there was one it is made again without
    end.
    """
    failures = 0
    retries, was_there = calls.retries, False
    while True:
        try:
            yield from _opened(calls, query, after, is_first=not was_there)
            was_there, failures = True, 0
            decoder = EventDecoder()
            while chunk := (yield ReadOn()):
                for event in decoder.feed(chunk):
                    after = event.id or after
                    if event.type == _GAP:
                        hooks.on_gap()
                    elif event.data:
                        yield Found(form(json.loads(event.data)))
        except (ConnectionLost, ServerBusy):
            if not was_there:
                raise
        failures += 1
        pause = min(retries.pause(failures), LONGEST_PAUSE_SECONDS)
        hooks.on_lost(pause)
        yield Pause(pause)


def _opened(calls: Calls, query: Mapping[str, str], after: str, *, is_first: bool) -> Steps[None]:
    """Open the stream."""
    plain = calls.request("GET", "/v1/events", query=query)
    headers = {**plain.headers, "Accept": "text/event-stream"}
    headers |= {"Last-Event-ID": after} if after else {}
    request = HttpRequest(
        "GET", plain.path, plain.query, headers, is_stream=True, silence=SILENCE_SECONDS
    )
    if is_first:
        answer = yield from answered(request, calls.retries)
    else:
        answer = yield request
    if answer.status not in SUCCESS:
        calls.checked(request, answer)

"""Handlers: what happened, as a list or as it comes."""

from datetime import datetime

from starlette.responses import Response

from cloud.core.decoding import convert
from cloud.core.event import EventFilter, EventTypes, event_types, event_value
from cloud.errors import Invalid
from cloud.http.answers import EVENT_STREAM
from cloud.operations import events
from cloud.operations.tokens import check_token_namespace
from cloud.rest.auth import caller_of, check_again
from cloud.rest.call import Call
from cloud.rest.event_stream import EventStreamResponse, Follower
from cloud.rest.views import View
from cloud.store.parts.events import FIRST

_ID_DIGITS = 18


async def list_events(call: Call) -> View | Response:
    """`GET /v1/events`, newest first; the same as a stream for who accepts `text/event-stream`."""
    since = call.query("since")
    above = _number("since", since) if since.isdigit() else FIRST
    wanted = EventFilter(
        _namespace(call),
        _types(call.query("type")),
        call.query("kind"),
        call.query("name"),
        None if above or not since else _moment("since", since),
    )
    accept = call.request.headers.get("accept", "")
    if EVENT_STREAM in accept and call.request.method == "GET":
        return await _stream(call, wanted)
    options = call.list_options()
    page = await call.store.read(
        lambda tx: events.list_events(
            tx, wanted, limit=options.limit, above=above, after=options.after
        )
    )
    return call.list_view(page, options, event_value)


async def _stream(call: Call, wanted: EventFilter) -> Response:
    request = call.request
    last = call.query("lastEventId") or request.headers.get("last-event-id", "")
    if last:
        number = _number("lastEventId", last)
    else:
        number = (await call.store.read(lambda tx: tx.event_range())).last
    follower = Follower(caller_of(request).actor, wanted, number, lambda: check_again(request))
    return EventStreamResponse(call.api.streams, call.store, follower)


def _namespace(call: Call) -> str:
    namespace = check_token_namespace("namespace", call.query("namespace") or call.namespace)
    caller_of(call.request).check_namespace(namespace)
    return namespace


def _types(text: str) -> EventTypes:
    return event_types("type", text.split(",") if text else [])


def _number(field: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS):
        raise Invalid(field, f"{text[:40]!r} is no id of an event")
    return int(text)


def _moment(field: str, text: str) -> datetime:
    moment = convert(text, datetime, under=field)
    if moment.tzinfo is None:
        raise Invalid(field, "says no time zone")
    return moment

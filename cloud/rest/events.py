"""Events, as a list and as a stream."""

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from starlette.responses import Response

from cloud.answers.common import Listed
from cloud.answers.events import DoerAnswer, EventAnswer, SubjectAnswer
from cloud.core.audit import ActorKind
from cloud.core.decoding import convert
from cloud.core.event import EventFilter, EventTypes, NumberedEvent, event_types
from cloud.core.kinds import NODE
from cloud.core.permissions import Permission
from cloud.core.times import precise_time_text
from cloud.errors import Denied, Forbidden, Invalid
from cloud.http.answers import EVENT_STREAM
from cloud.operations import events
from cloud.operations.tokens import check_token_namespace
from cloud.rest.auth import caller_of, check_again
from cloud.rest.context import RequestContext
from cloud.rest.described import FOLLOWED, Described
from cloud.rest.event_stream import EventStreamResponse, Follower
from cloud.rest.node_limit import NodeLimit
from cloud.rest.route import ApiRoute
from cloud.store.parts.events import FIRST

_ID_DIGITS = 18
LIST_EVENTS = Permission("list", "events", "")


async def list_events(context: RequestContext) -> Listed[EventAnswer] | Response:
    """`GET /v1/events`, newest first; the same as a stream for who accepts `text/event-stream`."""
    since = context.query("since")
    above = _number("since", since) if since.isdigit() else FIRST
    wanted = EventFilter(
        _namespace(context),
        _types(context.query("type")),
        _kind(context),
        context.query("name"),
        None if above or not since else _moment("since", since),
        context.nodes,
    )
    accept = context.request.headers.get("accept", "")
    if EVENT_STREAM in accept and context.request.method == "GET":
        return await _stream(context, wanted)
    options = context.list_options()
    page = await context.store.read(
        lambda tx: events.list_events(
            tx, wanted, limit=options.limit, above=above, after=options.after
        )
    )
    return context.listed(page, options, _answer)


async def _stream(context: RequestContext, wanted: EventFilter) -> Response:
    request = context.request
    last = context.query("lastEventId") or request.headers.get("last-event-id", "")
    if last:
        number = _number("lastEventId", last)
    else:
        number = (await context.store.read(lambda tx: tx.event_range())).last

    async def check() -> None:
        """Denied once the caller may not see the same any more."""
        caller = await check_again(request)
        if caller.reach(LIST_EVENTS, wanted.namespace) != seen:
            raise Denied("the role has changed")

    seen = caller_of(request).reach(LIST_EVENTS, wanted.namespace)
    follower = Follower(caller_of(request).actor, wanted, number, check)
    return EventStreamResponse(context.api.streams, context.store, follower)


def _namespace(context: RequestContext) -> str:
    namespace = check_token_namespace("namespace", context.query("namespace") or context.namespace)
    if namespace != context.namespace:
        caller_of(context.request).check(LIST_EVENTS, namespace)
    return namespace


def _kind(context: RequestContext) -> str:
    """The kind that is asked for; of who may see some nodes alone, that of nodes."""
    kind = context.query("kind")
    if context.nodes and kind not in ("", NODE.logged_as):
        raise Forbidden(f"your role is for the nodes {context.nodes} alone, and their events")
    return NODE.logged_as if context.nodes else kind


def _types(text: str) -> EventTypes:
    return event_types("type", text.split(",") if text else [])


def _number(field: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS):
        raise Invalid(field, f"{text[:40]!r} is no id of an event")
    return int(text)


def _moment(field: str, text: str) -> datetime:
    moment = convert(text, datetime, under=field)
    if moment.tzinfo is None:
        raise Invalid(field, "has no time zone")
    return moment


def _answer(numbered: NumberedEvent) -> EventAnswer:
    event = numbered.event
    by = event.actor
    return EventAnswer(
        id=str(numbered.number),
        time=precise_time_text(event.time),
        type=event.type,
        namespace=event.namespace,
        subject=SubjectAnswer(event.kind, event.name),
        actor=DoerAnswer(cast(ActorKind, by.kind), by.name) if by else None,
        message=event.message,
        data=dict(event.data),
        count=event.count,
        first_time=precise_time_text(event.first_time or event.time),
    )


EVENT_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/events",
        list_events,
        Described(
            "What happened",
            Listed[EventAnswer],
            query=FOLLOWED,
            refusals=(410,),
            stream=EVENT_STREAM,
        ),
        needs="list events",
        limit=NodeLimit.SELECTED,
    ),
)

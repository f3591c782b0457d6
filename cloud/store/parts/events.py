"""Events, and what is remembered so that none is told twice."""
# ruff: noqa: D102  # `event_interface` says what each method promises

from collections.abc import Sequence
from datetime import datetime

import msgspec

from cloud.core.audit import Actor
from cloud.core.event import Event, EventFilter, EventRange, NumberedEvent, family_of
from cloud.core.expiry import CertificateEnd
from cloud.core.readiness import QUIET
from cloud.core.tokens import EVERYWHERE
from cloud.errors import NotFound
from cloud.store import event_sql as sql
from cloud.store.event_interface import FIRST, LAST
from cloud.store.parts.part import NOTHING, BrokenReference, Part, Run
from cloud.store.rows import Parameters, Row, document, micros, moment
from cloud.store.sealing import Sealer


class _Said(msgspec.Struct, omit_defaults=True):
    """What is kept of an event as one text."""

    message: str
    data: dict[str, object] = {}
    actor: tuple[str, str, str] | None = None


_SAID = msgspec.json.Decoder(_Said)


class EventPart(Part):
    """Events, ready nodes, certificates that end."""

    def __init__(self, run: Run, sealer: Sealer) -> None:
        super().__init__(run, sealer)
        # Whether there are events without a number after the commit, and new ones with one.
        self.noted_events = False
        self.numbered_events = False

    # events
    def note_event(self, event: Event) -> None:
        self._run(sql.NOTE_EVENT, _row_of(event))
        self.noted_events = True

    def has_new_events(self) -> bool:
        return bool(self._run(sql.ANY_NEW_EVENT, NOTHING))

    def number_events(self, limit: int) -> Sequence[NumberedEvent]:
        taken = sorted(self._run(sql.TAKE_NEW_EVENTS, {"limit": limit}), key=lambda row: row[0])
        if not taken:
            return ()
        last: int = self._run(sql.NEXT_EVENT_NUMBERS, {"count": len(taken)})[0][0]
        numbered = [
            NumberedEvent(number, _event_of(row[1:]))
            for number, row in enumerate(taken, last + 1 - len(taken))
        ]
        for each in numbered:
            own: Parameters = {"number": each.number, "family": family_of(each.event.type)}
            self._run(sql.PUT_EVENT, {**_row_of(each.event), **own})
        self.numbered_events = True
        return numbered

    def event_range(self) -> EventRange:
        gone, last = self._run(sql.EVENT_RANGE, NOTHING)[0]
        return EventRange(gone, last)

    def newest_events(
        self, wanted: EventFilter, *, above: int = FIRST, below: int = LAST, limit: int
    ) -> Sequence[NumberedEvent]:
        return self._events(wanted, sql.NEWEST_FIRST, above, below, limit)

    def next_events(
        self, wanted: EventFilter, *, above: int, limit: int
    ) -> Sequence[NumberedEvent]:
        return self._events(wanted, sql.OLDEST_FIRST, above, LAST, limit)

    def _events(
        self, wanted: EventFilter, order: str, above: int, below: int, limit: int
    ) -> Sequence[NumberedEvent]:
        where, parameters = _conditions(wanted)
        page: Parameters = {"above": above, "below": below, "limit": limit}
        found = self._run(sql.EVENTS + where + order, {**parameters, **page})
        return [NumberedEvent(row[0], _event_of(row[1:])) for row in found]

    def count_events(self, wanted: EventFilter, *, above: int = FIRST) -> int:
        where, parameters = _conditions(wanted)
        bounds: Parameters = {"above": above, "below": LAST}
        count: int = self._run(sql.COUNT_EVENTS + where, {**parameters, **bounds})[0][0]
        return count

    def first_event_since(self, since: datetime) -> int:
        found = self._run(sql.FIRST_EVENT_SINCE, {"since": micros(since)})
        number: int = found[0][0] if found else self.event_range().last + 1
        return number

    def event_beyond(self, kept: int) -> int:
        found = self._run(sql.EVENT_BEYOND, {"kept": kept, "limit": 1})
        number: int = found[0][0] if found else FIRST
        return number

    def prune_events(self, number: int) -> None:
        self._run(sql.PUT_EVENTS_GONE, {"gone": number})
        self._run(sql.DELETE_EVENTS, {"gone": number})

    # readiness
    def note_ready(self, namespace: str, name: str, look: datetime) -> bool:
        row: Parameters = {"namespace": namespace, "name": name, "look": micros(look)}
        try:
            return bool(self._run(sql.NOTE_READY, row))
        except BrokenReference as error:
            raise NotFound("node", name) from error

    def has_to_look(self, now: datetime) -> bool:
        return bool(self._run(sql.ANY_TO_LOOK_AT, {"now": micros(now)}))

    def look_later(self, now: datetime, listening: datetime) -> None:
        moments: Parameters = {"now": micros(now), "listening": micros(listening)}
        self._run(sql.LOOK_LATER, {**moments, "quiet": QUIET})

    def take_lost(self, now: datetime, limit: int) -> Sequence[tuple[str, str]]:
        taken = self._run(sql.TAKE_LOST, {"now": micros(now), "limit": limit})
        return sorted((namespace, name) for namespace, name in taken)

    # certificates
    def take_ends(self, now: datetime, before: datetime, limit: int) -> Sequence[CertificateEnd]:
        self._run(sql.FORGET_ENDS, {"now": micros(now)})
        bounds: Parameters = {"now": micros(now), "before": micros(before), "limit": limit}
        found = self._run(sql.UNTOLD_ENDS, bounds)
        for _, _, serial, expires in found:
            self._run(sql.NOTE_END, {"serial": serial, "expires": expires})
        return [CertificateEnd(row[0], row[1], int(row[2]), moment(row[3])) for row in found]


def _row_of(event: Event) -> Parameters:
    by = event.actor
    actor = (by.kind, by.name, by.namespace) if by else None
    return {
        "time": micros(event.time),
        "type": event.type,
        "namespace": event.namespace,
        "kind": event.kind,
        "name": event.name,
        "document": document(_Said(event.message, dict(event.data), actor)),
    }


def _event_of(row: Row) -> Event:
    time, event_type, namespace, kind, name, text = row
    said = _SAID.decode(text)
    actor = Actor(*said.actor) if said.actor else None
    return Event(event_type, namespace, kind, name, moment(time), said.message, said.data, actor)


def _conditions(wanted: EventFilter) -> tuple[str, Parameters]:
    """What follows `WHERE ...`: constant fragments, and what was asked as parameters alone."""
    conditions: list[tuple[str, Parameters]] = []
    if wanted.namespace != EVERYWHERE:
        conditions.append((sql.OF_NAMESPACE, {"namespace": wanted.namespace}))
    if wanted.types.types or wanted.types.families:
        types, families = sorted(wanted.types.types), sorted(wanted.types.families)
        own = {"types": _json(types), "families": _json(families)}
        conditions.append((sql.OF_TYPES, own))
    if wanted.kind:
        conditions.append((sql.OF_KIND, {"kind": wanted.kind}))
    if wanted.name:
        conditions.append((sql.OF_NAME, {"name": wanted.name}))
    if wanted.since is not None:
        conditions.append((sql.SINCE, {"since": micros(wanted.since)}))
    parameters: dict[str, str | int | None] = {}
    for _, given in conditions:
        parameters.update(given)
    return "".join(condition for condition, _ in conditions), parameters


def _json(words: Sequence[str]) -> str:
    return msgspec.json.encode(words).decode()

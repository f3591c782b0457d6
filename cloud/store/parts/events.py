"""Events: recorded where they happen, numbered one transaction after the other."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

import msgspec

from cloud.core.audit import Actor
from cloud.core.event import Event, EventFilter, EventRange, NumberedEvent, family_of
from cloud.core.folding import Fold
from cloud.core.selectors import parse_selector
from cloud.core.tokens import EVERYWHERE
from cloud.store.parts.part import NOTHING, Run
from cloud.store.parts.row_sets import RowSetPart
from cloud.store.rows import Parameters, Row, document, micros, moment
from cloud.store.sealing import Sealer
from cloud.store.selection import NODE, Selection
from cloud.store.statements import Fragment, all_of, fragment, joined, set_statement, statement

RECORD_EVENT = set_statement(
    """
    INSERT INTO new_event (time, type, namespace, kind, name, document)
    SELECT :time, :type, :namespace, :kind, :name, :document {rows}
    """,
    numbers={"time"},
    writes={"new_event"},
)
ANY_NEW_EVENT = statement("SELECT id FROM new_event LIMIT 1", reads={"new_event"})
TAKE_NEW_EVENTS = statement(
    """
    DELETE FROM new_event WHERE id IN (SELECT id FROM new_event ORDER BY id LIMIT :limit)
    RETURNING id, time, type, namespace, kind, name, document
    """,
    writes={"new_event"},
)
NEXT_EVENT_NUMBERS = statement(
    """
    UPDATE event_head SET number = number + :count WHERE id = 1 RETURNING number
    """,
    writes={"event_head"},
)
PUT_EVENT = set_statement(
    """
    INSERT INTO event (number, time, type, family, namespace, kind, name, document)
    SELECT :number, :time, :type, :family, :namespace, :kind, :name, :document {rows}
    """,
    numbers={"number", "time"},
    writes={"event"},
)
EVENT_RANGE = statement("SELECT gone, number FROM event_head WHERE id = 1", reads={"event_head"})
FIRST_EVENT_SINCE = statement(
    "SELECT number FROM event WHERE time >= :since ORDER BY number LIMIT 1",
    reads={"event"},
)
EVENT_BEYOND = statement(
    "SELECT number FROM event ORDER BY number DESC LIMIT :limit OFFSET :kept",
    reads={"event"},
)
PUT_EVENTS_GONE = statement(
    "UPDATE event_head SET gone = :gone WHERE id = 1",
    writes={"event_head"},
)
EVENT_FOLDS = statement(
    """
    SELECT key, document FROM event_fold WHERE key IN (SELECT given.value FROM {elements[keys]})
    """,
    reads={"event_fold"},
)
PUT_EVENT_FOLD = set_statement(
    """
    INSERT INTO event_fold (key, ends, document) SELECT :key, :ends, :document {rows}
    ON CONFLICT (key) DO UPDATE SET ends = excluded.ends, document = excluded.document
    """,
    numbers={"ends"},
    writes={"event_fold"},
)
ANY_ENDED_FOLD = statement(
    "SELECT key FROM event_fold WHERE ends <= :now LIMIT 1", reads={"event_fold"}
)
TAKE_ENDED_FOLDS = statement(
    """
    DELETE FROM event_fold WHERE key IN
        (SELECT key FROM event_fold WHERE ends <= :now ORDER BY ends, key LIMIT :limit)
    RETURNING key, document
    """,
    writes={"event_fold"},
)
DELETE_EVENTS = statement("DELETE FROM event WHERE number <= :gone", writes={"event"})

# fragments of statements that filter: a beginning, conditions, an end
EVENTS = fragment(
    """
SELECT number, time, type, namespace, kind, name, document FROM event AS place
WHERE number > :above AND number < :below
""",
    reads={"event"},
)
COUNT_EVENTS = fragment(
    "SELECT count(*) FROM event AS place WHERE number > :above AND number < :below",
    reads={"event"},
)
OF_NAMESPACE = fragment(" AND namespace = :namespace")
OF_TYPES = fragment(
    """ AND (type IN (SELECT given.value FROM {elements[types]})
    OR family IN (SELECT given.value FROM {elements[families]}))""",
)
OF_KIND = fragment(" AND kind = :kind")
OF_NAME = fragment(" AND name = :name")
# A node that is gone has no labels, which negative terms of a selector ask for.
IS_THERE = fragment(
    """{exists} (SELECT 1 FROM node AS own WHERE own.namespace = :namespace
AND own.name = place.name)""",
    reads={"node"},
)
SINCE = fragment(" AND time >= :since")
NEWEST_FIRST = fragment(" ORDER BY number DESC LIMIT :limit")
OLDEST_FIRST = fragment(" ORDER BY number LIMIT :limit")

FIRST = 0
LAST = 2**63 - 1
"""No event has the number FIRST, or LAST."""


class _EventDocument(msgspec.Struct, omit_defaults=True):
    """The fields of an event that are stored as one document."""

    message: str
    data: dict[str, object] = {}
    actor: tuple[str, str, str] | None = None
    count: int = 1
    # Microseconds since 1970; 0: the time of the event.
    first_time: int = 0


_DOCUMENT = msgspec.json.Decoder(_EventDocument)
_FOLD = msgspec.json.Decoder(Fold)


class EventPart(RowSetPart):
    """Events."""

    def __init__(self, run: Run, sealer: Sealer) -> None:
        super().__init__(run, sealer)
        # Whether there are events without a number after the commit, and new ones with one.
        self.recorded_events = False
        # How many this transaction has recorded: they keep their order.
        self._recorded = 0
        self.numbered_events = False

    # events
    def record_event(self, event: Event) -> None:
        """Record that it happened; it is shown once it has a number."""
        self._recorded += 1
        self._sets.put(RECORD_EVENT, (self._recorded,), _row_of(event))
        self.recorded_events = True

    def has_new_events(self) -> bool:
        """Whether some have no number yet."""
        return bool(self._run(ANY_NEW_EVENT, NOTHING))

    def number_events(
        self, limit: int, admit: Callable[[Sequence[Event]], Sequence[Event]] = list
    ) -> Sequence[NumberedEvent]:
        """Take up to *limit* of them and give numbers to those that *admit* lets through, in order.

        For work of `Store.write` alone: so a reader that sees a number sees all lower ones.
        """
        taken = sorted(self._run(TAKE_NEW_EVENTS, {"limit": limit}), key=lambda row: row[0])
        events = admit([_event_of(row[1:]) for row in taken])
        if not events:
            return ()
        last: int = self._run(NEXT_EVENT_NUMBERS, {"count": len(events)})[0][0]
        numbered = [
            NumberedEvent(number, event)
            for number, event in enumerate(events, last + 1 - len(events))
        ]
        rows: list[Parameters] = [
            {
                **_row_of(each.event),
                "number": each.number,
                "family": family_of(each.event.type),
            }
            for each in numbered
        ]
        self._run.each(PUT_EVENT, rows)
        self.numbered_events = True
        return numbered

    def event_folds(self, keys: Collection[str]) -> Mapping[str, Fold]:
        """The stored folds of those of *keys* that are known."""
        found = self._run(EVENT_FOLDS, {"keys": _json(sorted(keys))})
        return {row[0]: _FOLD.decode(row[1]) for row in found}

    def put_event_folds(self, folds: Mapping[str, Fold]) -> None:
        """Remember *folds* by their keys."""
        rows: list[Parameters] = [
            {"key": key, "ends": micros(fold.ends), "document": document(fold)}
            for key, fold in folds.items()
        ]
        self._run.each(PUT_EVENT_FOLD, rows)

    def has_ended_folds(self, now: datetime) -> bool:
        """Whether there are folds that have ended by *now*."""
        return bool(self._run(ANY_ENDED_FOLD, {"now": micros(now)}))

    def take_ended_folds(self, now: datetime, limit: int) -> Sequence[tuple[str, Fold]]:
        """Forget up to *limit* folds that have ended by *now*, the first to end first."""
        taken = self._run(TAKE_ENDED_FOLDS, {"now": micros(now), "limit": limit})
        found = [(row[0], _FOLD.decode(row[1])) for row in taken]
        return sorted(found, key=lambda each: (each[1].ends, each[0]))

    def event_range(self) -> EventRange:
        """Which numbers were given, and of which nothing is stored any more."""
        gone, last = self._run(EVENT_RANGE, NOTHING)[0]
        return EventRange(gone, last)

    def newest_events(
        self, wanted: EventFilter, *, above: int = FIRST, below: int = LAST, limit: int
    ) -> Sequence[NumberedEvent]:
        """Up to *limit* events with a number between those two, newest first."""
        return self._events(wanted, NEWEST_FIRST, above, below, limit)

    def next_events(
        self, wanted: EventFilter, *, above: int, limit: int
    ) -> Sequence[NumberedEvent]:
        """Up to *limit* events with a number *above* that, oldest first."""
        return self._events(wanted, OLDEST_FIRST, above, LAST, limit)

    def count_events(self, wanted: EventFilter, *, above: int = FIRST) -> int:
        """How many events with a number *above* that there are."""
        where, parameters = self._conditions(wanted)
        bounds: Parameters = {"above": above, "below": LAST}
        count: int = self._run(joined(COUNT_EVENTS, *where), {**parameters, **bounds})[0][0]
        return count

    def first_event_since(self, since: datetime) -> int:
        """Number of the first event that is not older; past the end where all are."""
        found = self._run(FIRST_EVENT_SINCE, {"since": micros(since)})
        number: int = found[0][0] if found else self.event_range().last + 1
        return number

    def event_beyond(self, kept: int) -> int:
        """Number of the newest event that is not among the last *kept*; FIRST if all are."""
        found = self._run(EVENT_BEYOND, {"kept": kept, "limit": 1})
        number: int = found[0][0] if found else FIRST
        return number

    def prune_events(self, number: int) -> None:
        """Forget all up to that *number*."""
        self._run(PUT_EVENTS_GONE, {"gone": number})
        self._run(DELETE_EVENTS, {"gone": number})

    def _events(
        self, wanted: EventFilter, order: Fragment, above: int, below: int, limit: int
    ) -> Sequence[NumberedEvent]:
        where, parameters = self._conditions(wanted)
        page: Parameters = {"above": above, "below": below, "limit": limit}
        found = self._run(joined(EVENTS, *where, order), {**parameters, **page})
        return [NumberedEvent(row[0], _event_of(row[1:])) for row in found]

    def _conditions(self, wanted: EventFilter) -> tuple[Sequence[Fragment], Parameters]:
        where, parameters = _conditions(wanted)
        if not wanted.nodes:
            return where, parameters
        terms = parse_selector(wanted.nodes)
        nodes = Selection(self._run, NODE, wanted.namespace, terms)
        labelled = all_of([IS_THERE, *nodes.has_labels(terms)])
        return [*where, OF_KIND, *labelled], {**parameters, **nodes.values}


def _row_of(event: Event) -> Parameters:
    by = event.actor
    actor = (by.kind, by.name, by.namespace) if by else None
    return {
        "time": micros(event.time),
        "type": event.type,
        "namespace": event.namespace,
        "kind": event.kind,
        "name": event.name,
        "document": document(
            _EventDocument(
                event.message,
                dict(event.data),
                actor,
                event.count,
                micros(event.first_time) if event.first_time else 0,
            )
        ),
    }


def _event_of(row: Row) -> Event:
    time, event_type, namespace, kind, name, text = row
    content = _DOCUMENT.decode(text)
    actor = Actor(*content.actor) if content.actor else None
    return Event(
        event_type,
        namespace,
        kind,
        name,
        moment(time),
        content.message,
        content.data,
        actor,
        content.count,
        moment(content.first_time) if content.first_time else None,
    )


def _conditions(wanted: EventFilter) -> tuple[Sequence[Fragment], Parameters]:
    """Conditions to append to a `WHERE`: constant fragments, and their parameters."""
    conditions: list[tuple[Fragment, Parameters]] = []
    if wanted.namespace != EVERYWHERE:
        conditions.append((OF_NAMESPACE, {"namespace": wanted.namespace}))
    if wanted.types.types or wanted.types.families:
        types, families = sorted(wanted.types.types), sorted(wanted.types.families)
        own = {"types": _json(types), "families": _json(families)}
        conditions.append((OF_TYPES, own))
    if wanted.kind:
        conditions.append((OF_KIND, {"kind": wanted.kind}))
    if wanted.name:
        conditions.append((OF_NAME, {"name": wanted.name}))
    if wanted.since is not None:
        conditions.append((SINCE, {"since": micros(wanted.since)}))
    parameters: dict[str, str | int | None] = {}
    for _, given in conditions:
        parameters.update(given)
    return [condition for condition, _ in conditions], parameters


def _json(words: Sequence[str]) -> str:
    return msgspec.json.encode(words).decode()

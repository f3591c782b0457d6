"""Events: the resource, the time, the actor, a message and its data.

An event reports a change of state; the details are read from the API. It never holds what a
config or a secret contains.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from cloud.core.audit import Actor
from cloud.core.kinds import KINDS
from cloud.core.rollout import RolloutState
from cloud.core.times import precise_time_text
from cloud.core.tokens import EVERYWHERE
from cloud.errors import Invalid

ACTIVATED = "node.activated"
READY = "node.ready"
LOST = "node.lost"
REVOKED = "node.revoked"
CONVERGED = "node.converged"
FAILED = "node.failed"
DRIFTED = "node.drifted"
ENDING = "certificate.ending"
REFUSED = "batch.refused"
GIVEN_UP = "channel.failed"
UNREADABLE = "secret.failed"

ROLLOUT_EVENTS = {state: f"rollout.{state.value}" for state in RolloutState}
"""Type of the event that a rollout came into a state; `rollout.running` also of each stage."""

CREATED, UPDATED, DELETED = "created", "updated", "deleted"

NODE_EVENTS = (ACTIVATED, READY, LOST, REVOKED, CONVERGED, FAILED, DRIFTED, ENDING)
DEVICE_EVENTS = (*NODE_EVENTS, REFUSED, GIVEN_UP, UNREADABLE, *ROLLOUT_EVENTS.values())
"""Types that are no change of a resource by an operator."""

CLOUD_EVENTS = "application/cloudevents+json"
"""Content type of what `cloud_event` makes."""

CLOUD_EVENT_PREFIX = "io.edgesync."

TYPES_LIMIT = 100
"""Types and families in one filter, at most."""


def has_events(kind: str) -> bool:
    """Return whether creation, change and removal of what is logged as *kind* are events."""
    found = KINDS.logged_as(kind)
    return kind == "properties" or (found is not None and found.has_events)


def is_type(event_type: str) -> bool:
    """Return whether there is that type, as `{family}.{verb}`."""
    kind, _, verb = event_type.partition(".")
    return event_type in DEVICE_EVENTS or (verb in {CREATED, UPDATED, DELETED} and has_events(kind))


def is_family(family: str) -> bool:
    """Return whether there are types of that family."""
    return has_events(family) or family in {family_of(one) for one in DEVICE_EVENTS}


def family_of(event_type: str) -> str:
    """The kind: the part before the dot."""
    return event_type.partition(".")[0]


class Event(msgspec.Struct, frozen=True):
    """Something that happened to the thing of that *kind* and *name*; *data* can be JSON.

    *actor* is None for the server itself. Where *count* of the like were folded into one it is the
    last of them, and *first_time* is when the first happened.
    """

    type: str
    namespace: str
    kind: str
    name: str
    time: datetime
    message: str
    data: Mapping[str, Any] = {}
    actor: Actor | None = None
    count: int = 1
    first_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """An event in its place: who has seen a number has seen all events with a lower one."""

    number: int
    event: Event


@dataclass(frozen=True, slots=True)
class EventRange:
    """Which numbers are stored: those above *gone*, up to *last*."""

    gone: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class EventTypes:
    """Some types, and all of some families; neither: every type."""

    types: frozenset[str] = frozenset()
    families: frozenset[str] = frozenset()

    def __contains__(self, event_type: str) -> bool:
        if not self.types and not self.families:
            return True
        return event_type in self.types or family_of(event_type) in self.families


def event_value(numbered: NumberedEvent) -> dict[str, Any]:
    """The event as it is shown, in JSON."""
    event = numbered.event
    by = event.actor
    return {
        "id": str(numbered.number),
        "time": precise_time_text(event.time),
        "type": event.type,
        "namespace": event.namespace,
        "subject": {"kind": event.kind, "name": event.name},
        "actor": {"kind": by.kind, "name": by.name} if by else None,
        "message": event.message,
        "data": event.data,
        "count": event.count,
        "firstTime": precise_time_text(event.first_time or event.time),
    }


def cloud_event(numbered: NumberedEvent) -> str:
    """The event as one of CloudEvents 1.0 in the structured mode (cloudevents.io), JSON."""
    event = numbered.event
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": str(numbered.number),
            "source": f"/edgesync/{event.namespace}",
            "type": f"{CLOUD_EVENT_PREFIX}{event.type}",
            "subject": f"{event.kind}/{event.name}",
            "time": precise_time_text(event.time),
            "datacontenttype": "application/json",
            "data": event_value(numbered),
        }
    ).decode()


def event_types(field: str, words: Iterable[str]) -> EventTypes:
    """Read types, families (`node.*`) and `*`; Invalid names *field* for what there is not."""
    types, families = set[str](), set[str]()
    for word in words:
        family, _, verb = word.partition(".")
        if word == "*":
            return EventTypes()
        if verb == "*" and is_family(family):
            families.add(family)
        elif is_type(word):
            types.add(word)
        else:
            raise Invalid(field, f"{word[:60]!r} is no type of event, nor a family like node.*")
    if len(types) + len(families) > TYPES_LIMIT:
        raise Invalid(field, f"more than {TYPES_LIMIT} types")
    return EventTypes(frozenset(types), frozenset(families))


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are wanted; what is empty or None leaves all in.

    *namespace* `*` is every one. From *since* on. With the selector *nodes* those of one namespace
    that are about the nodes that it selects.
    """

    namespace: str
    types: EventTypes = EventTypes()
    kind: str = ""
    name: str = ""
    since: datetime | None = None
    nodes: str = ""

    def admits(self, event: Event) -> bool:
        """Return whether *event* is wanted; never with *nodes*, as labels are in the database."""
        return (
            not self.nodes
            and self.namespace in (EVERYWHERE, event.namespace)
            and event.type in self.types
            and self.kind in ("", event.kind)
            and self.name in ("", event.name)
            and (self.since is None or event.time >= self.since)
        )

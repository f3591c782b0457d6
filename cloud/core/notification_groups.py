"""Groups of events that are alike: when a message about them is due, and what it sums up.

A group begins in the phase *counting*, until its events reach the threshold of the rule. Then what
happens is gathered for some seconds, and one message is sent. In the quiet time after it events are
only counted; at its end one message has their sum, and the quiet time begins again. A group without
events in its quiet time is forgotten, as is one that missed the threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from cloud.core import event as types
from cloud.core.event import Event
from cloud.core.notification_rule import NotificationRuleSpec, ThresholdUnit

NAMES_LIMIT = 1000
"""Names that a group remembers; beyond that the number of nodes is a lower bound."""

CAUSE_LIMIT = 200
"""Characters of a cause by which events are grouped."""

GROUPS_LIMIT = 100
"""Groups of one rule; further causes share one group for each type of event."""

OTHER_CAUSES = "different causes"


class Phase(StrEnum):
    """What a group waits for."""

    COUNTING = "counting"
    GATHERING = "gathering"
    QUIET = "quiet"


class Occurrence(msgspec.Struct, frozen=True, array_like=True):
    """Something that happened *count* times to *name*, the last time at *time*."""

    time: datetime
    name: str
    count: int = 1


class Group(msgspec.Struct, frozen=True, omit_defaults=True):
    """Events of one rule, type and cause; *due* is when its phase ends.

    *seen* is what counts while it is counting; later there are the sums: *count* events, of *names*
    and, if it *has_more_names*, others. *text* is the message of the last event.
    """

    type: str
    cause: str
    due: datetime
    phase: Phase = Phase.COUNTING
    seen: tuple[Occurrence, ...] = ()
    count: int = 0
    names: tuple[str, ...] = ()
    has_more_names: bool = False
    first: datetime | None = None
    last: datetime | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """The content of one message: events of a group since the last one."""

    type: str
    cause: str
    count: int
    names: Sequence[str]
    has_more_names: bool
    first: datetime
    last: datetime
    text: str
    is_digest: bool


def cause_of(event: Event) -> str:
    """By what events of one type are grouped; empty where they have no cause."""
    if event.type == types.REFUSED:
        return f"{event.name}: {event.data.get('reason', '')}"[:CAUSE_LIMIT]
    cause = event.data.get("cause", "")
    return cause[:CAUSE_LIMIT] if isinstance(cause, str) else ""


def name_of(event: Event) -> str:
    """What the event is about: a node, or a device that is none yet."""
    device = event.data.get("fingerprintValue")
    is_refused = event.type == types.REFUSED and isinstance(device, str)
    return str(device)[:CAUSE_LIMIT] if is_refused else event.name


def key_of(event_type: str, cause: str) -> str:
    """The key of a group."""
    return f"{event_type}/{cause}"


def noted(
    before: Group | None, rule: NotificationRuleSpec, event: Event, cause: str, *, now: datetime
) -> Group:
    """The group with one more *event*, which was numbered at *now*."""
    seen = Occurrence(now, name_of(event), event.count)
    if before is not None and before.phase is not Phase.COUNTING:
        return _added(before, [seen], event.message)
    window = timedelta(minutes=rule.threshold.minutes)
    known = [one for one in (before.seen if before else ()) if one.time > now - window]
    if rule.threshold.of is ThresholdUnit.NODES:
        known, seen = _by_name(known, seen)
    known.append(seen)
    group = Group(event.type, cause, now + window, seen=tuple(known), text=event.message)
    if _measure(rule, known) < rule.threshold.count:
        return group
    gathering = msgspec.structs.replace(
        group, phase=Phase.GATHERING, seen=(), due=now + timedelta(seconds=rule.gather_seconds)
    )
    return _added(gathering, known, event.message)


def elapsed(
    group: Group, rule: NotificationRuleSpec, *, now: datetime
) -> tuple[Group | None, Summary | None]:
    """The group once its phase has ended, and what to send; None: it is forgotten."""
    if group.phase is Phase.COUNTING or not group.count:
        return None, None
    summary = Summary(
        group.type,
        group.cause,
        group.count,
        group.names,
        group.has_more_names,
        group.first or now,
        group.last or now,
        group.text,
        group.phase is Phase.QUIET,
    )
    due = now + timedelta(minutes=rule.quiet_minutes)
    return Group(group.type, group.cause, due, Phase.QUIET), summary


def _by_name(known: Sequence[Occurrence], seen: Occurrence) -> tuple[list[Occurrence], Occurrence]:
    """Each name once, with all its events."""
    count = seen.count + sum(one.count for one in known if one.name == seen.name)
    rest = [one for one in known if one.name != seen.name]
    return rest, msgspec.structs.replace(seen, count=count)


def _measure(rule: NotificationRuleSpec, seen: Sequence[Occurrence]) -> int:
    if rule.threshold.of is ThresholdUnit.NODES:
        return len(seen)
    return sum(one.count for one in seen)


def _added(group: Group, seen: Sequence[Occurrence], text: str) -> Group:
    names = dict.fromkeys(group.names)
    has_more = group.has_more_names
    for one in seen:
        if one.name in names or len(names) < NAMES_LIMIT:
            names[one.name] = None
        else:
            has_more = True
    return msgspec.structs.replace(
        group,
        count=group.count + sum(one.count for one in seen),
        names=tuple(names),
        has_more_names=has_more,
        first=group.first or seen[0].time,
        last=seen[-1].time,
        text=text,
    )

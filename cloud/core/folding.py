"""Repeated events of one node become one: a node that flaps fills neither history nor queues.

Of each type a node causes some events a minute that are shown at once. What comes beyond is folded
into one event, which states how many they were, and is shown at the end of that minute.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from cloud.core import event as types
from cloud.core.event import Event

WINDOW = timedelta(minutes=1)
"""For how long events of one node and type are counted."""

NODE_EVENTS_PER_MINUTE = 10
"""Events of one node and type that are shown in a WINDOW, where nothing else is set."""

FOLDED_TYPES = frozenset(
    {
        *(types.ACTIVATED, types.READY, types.LOST, types.CONVERGED, types.FAILED),
        *(types.DRIFTED, types.ENDING, types.REFUSED),
    }
)
"""Types that nodes and devices cause by themselves."""

_FOLDED_KINDS = frozenset({"node", "batch"})


class Fold(msgspec.Struct, frozen=True):
    """The folded events of one node and type until *ends*.

    *shown* is how many were shown at once, *folded* the one that stands for all others; None: there
    are none.
    """

    ends: datetime
    shown: int = 0
    folded: Event | None = None


def key_of(event: Event) -> str:
    """The fields that folded events have in common."""
    return f"{event.type}/{event.namespace}/{event.name}"


def fold(
    events: Sequence[Event], folds: Mapping[str, Fold], *, now: datetime, limit: int
) -> tuple[Sequence[Event], Mapping[str, Fold]]:
    """Which of *events* are shown at once, and what is to be remembered beside *folds*.

    *limit* is how many of one node and type are shown in a WINDOW; 0: all.
    """
    shown: list[Event] = []
    changed: dict[str, Fold] = {}
    for event in events:
        if not limit or event.kind not in _FOLDED_KINDS or event.type not in FOLDED_TYPES:
            shown.append(event)
            continue
        key = key_of(event)
        known = changed.get(key) or folds.get(key)
        if known is None or (known.ends <= now and known.folded is None):
            known = Fold(now + WINDOW)
        if known.folded is None and known.shown < limit:
            shown.append(event)
            changed[key] = msgspec.structs.replace(known, shown=known.shown + 1)
        else:
            changed[key] = msgspec.structs.replace(known, folded=joined(known.folded, event))
    return shown, changed


def joined(before: Event | None, event: Event) -> Event:
    """One event for both: the content of the later one, how many there were, since when."""
    if before is None:
        return event
    return msgspec.structs.replace(
        event, count=before.count + event.count, first_time=before.first_time or before.time
    )


def after_showing(fold: Fold, *, now: datetime, limit: int) -> Fold:
    """The fold once what was folded is shown: in the next WINDOW all is folded."""
    return Fold(now + WINDOW, shown=max(limit, fold.shown))

"""What a `Transaction` can do about events, and about what leads to some of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from cloud.core.event import Event, EventFilter, EventRange, NumberedEvent
from cloud.core.expiry import CertificateEnd

FIRST = 0
LAST = 2**63 - 1
"""No event has the number FIRST, or LAST."""


class EventVerbs(Protocol):
    """Events: noted where they happen, numbered one transaction after the other."""

    def note_event(self, event: Event) -> None:
        """Keep that it happened; it is shown once it has a number."""
        ...

    def has_new_events(self) -> bool:
        """Say whether some have no number yet."""
        ...

    def number_events(self, limit: int) -> Sequence[NumberedEvent]:
        """Give up to *limit* of them numbers, in the order they were noted.

        For work of `Store.write` alone: so whoever sees a number sees all lower ones.
        """
        ...

    def event_range(self) -> EventRange:
        """Which numbers were given, and of which nothing is kept any more."""
        ...

    def newest_events(
        self, wanted: EventFilter, *, above: int = FIRST, below: int = LAST, limit: int
    ) -> Sequence[NumberedEvent]:
        """Up to *limit* events with a number between those two, newest first."""
        ...

    def next_events(
        self, wanted: EventFilter, *, above: int, limit: int
    ) -> Sequence[NumberedEvent]:
        """Up to *limit* events with a number *above* that, oldest first."""
        ...

    def count_events(self, wanted: EventFilter, *, above: int = FIRST) -> int:
        """How many events with a number *above* that there are."""
        ...

    def first_event_since(self, since: datetime) -> int:
        """Number of the first event that is not older; past the end where all are."""
        ...

    def event_beyond(self, kept: int) -> int:
        """Number of the newest event that is not among the last *kept*; FIRST if all are."""
        ...

    def prune_events(self, number: int) -> None:
        """Forget all up to that *number*."""
        ...


class ReadinessVerbs(Protocol):
    """Which nodes were said to be ready, and which certificates to end."""

    def note_ready(self, namespace: str, name: str, look: datetime) -> bool:
        """Keep that it is said; False if it was already. NotFound if there is no such node.

        It need not be looked at again before *look*.
        """
        ...

    def has_to_look(self, now: datetime) -> bool:
        """Say whether there are nodes to look at."""
        ...

    def look_later(self, now: datetime, listening: datetime) -> None:
        """Put looking at nodes off until they have been silent for too long.

        Silence counts from *listening* on, or from when the node was heard, if that is later.
        """
        ...

    def take_lost(self, now: datetime, limit: int) -> Sequence[tuple[str, str]]:
        """Take up to *limit* nodes that are to be looked at off those said to be ready."""
        ...

    def take_ends(self, now: datetime, before: datetime, limit: int) -> Sequence[CertificateEnd]:
        """Last certificates of nodes that end from *now* to *before*; each is taken once."""
        ...

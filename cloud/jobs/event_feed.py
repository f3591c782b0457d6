"""Number events, and serve them to followers.

Every server runs this job. Transactions that number events are serialized across servers, so a
follower that has seen a number has seen all below it. The newest events are cached in memory;
a follower further behind reads from the database.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import islice

from cloud.core.event import EventFilter, NumberedEvent
from cloud.core.folding import NODE_EVENTS_PER_MINUTE
from cloud.core.tokens import EVERYWHERE
from cloud.errors import Unavailable
from cloud.http.metrics import Metrics
from cloud.operations.events import (
    follow_events,
    has_new_events,
    number_events,
)
from cloud.store.transaction import NotifyingStore, Transaction

logger = logging.getLogger(__name__)

GROUP = 200
"""Events that get their numbers in one transaction, at most."""

FOLDED = "node_events"
"""Name of the limit beyond which events are folded."""

BUFFERED_EVENTS = 1000
"""Number of events in the cache."""

POLL_EVERY = timedelta(seconds=2)
"""Longest delay of an event whose server died before numbering it, or whose notice was lost."""

GATHER_SECONDS = 0.05
"""Pause between two rounds, so that one round handles several events."""

_EVERYTHING = EventFilter(EVERYWHERE)


class EventFeed:
    """Owns the numbering of events, and the cache of the newest."""

    def __init__(
        self,
        store: NotifyingStore,
        clock: Callable[[], datetime],
        *,
        wake_callbacks: Callable[[], None],
        metrics: Metrics | None = None,
        per_minute: int = NODE_EVENTS_PER_MINUTE,
    ) -> None:
        """*per_minute*: events of one node and type before further ones are folded."""
        self._store = store
        self._clock = clock
        self._wake_callbacks = wake_callbacks
        self._per_minute = per_minute
        # Number of events that this server folded into others.
        self._folded = 0.0
        # The newest events without a gap, up to `_last`; None: not read yet.
        self._newest: deque[NumberedEvent] = deque(maxlen=BUFFERED_EVENTS)
        self._last: int | None = None
        # Set, and replaced, when there are new events.
        self._news = asyncio.Event()
        # True once followers have to end.
        self.is_closed = False
        # Events that this server numbered, by type.
        self._counts: dict[str, float] = {}
        if metrics is not None:
            text = "Events that this server gave their numbers."
            metrics.add_counter("edgesync_events", text, lambda: self._counts, label="type")
            metrics.limits.add_source(lambda: {FOLDED: self._folded})

    async def run(self) -> None:
        """Number events and read new ones until cancelled."""
        while True:
            try:
                while await self.round():  # noqa: ASYNC110  # a pause, not a poll
                    await asyncio.sleep(GATHER_SECONDS)
            except Unavailable as error:
                logger.warning("cannot number events, trying again: %s", error.reason)
            try:
                async with asyncio.timeout(POLL_EVERY.total_seconds()):
                    await self._store.wait_for_events()
            except TimeoutError:
                pass

    async def round(self) -> bool:
        """Number some events and read new ones; return whether there were any."""
        has_more = False
        now = self._clock()
        if await self._store.read(lambda tx: has_new_events(tx, now=now)):
            numbered = await self._store.write(
                lambda tx: number_events(tx, limit=GROUP, now=now, per_minute=self._per_minute)
            )
            has_more = bool(numbered.taken)
            self._folded += numbered.folded
            for each in numbered.events:
                self._counts[each.event.type] = self._counts.get(each.event.type, 0) + 1
            if numbered.has_deliveries:
                self._wake_callbacks()
        return await self._read() or has_more

    async def _read(self) -> bool:
        last = self._last
        if last is None:
            self._last = (await self._store.read(lambda tx: tx.event_range())).last
            self._notify()
            return False

        def look(tx: Transaction) -> tuple[Sequence[NumberedEvent], int]:
            found = follow_events(tx, _EVERYTHING, last, limit=BUFFERED_EVENTS)
            return found.events, found.number

        events, number = await self._store.read(look)
        if number == last:
            return False
        if events and events[0].number != last + 1:
            self._newest.clear()  # those between were deleted already
        self._newest.extend(events)
        self._last = number
        self._notify()
        return True

    def _notify(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def after(self, number: int) -> Sequence[NumberedEvent] | None:
        """The events after *number*, oldest first; None where they have to be read."""
        if self._last is None or number > self._last:
            return None
        if number == self._last:
            return ()
        if not self._newest or self._newest[0].number > number + 1:
            return None
        return list(islice(self._newest, number + 1 - self._newest[0].number, None))

    async def wait(self, number: int) -> None:
        """Return once there are events after *number*, or the feed is closed."""
        while not self.is_closed and (self._last is None or self._last <= number):
            await self._news.wait()

    def close(self) -> None:
        """End all followers."""
        self.is_closed = True
        self._news.set()

"""Record events caused by time alone: nodes stop reporting, certificates near their expiry.

Every server checks; the database decides which one records the event. Only nodes whose last report
is old are checked. The time without a report counts from when reports could arrive here: after a
start, an outage of the broker or the database, or a suspended machine, each node has its three
report intervals again, so a node is not recorded as lost because the server could not receive.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from cloud.errors import Unavailable
from cloud.operations.events import LOST_AT_A_TIME, record_expiring, record_lost
from cloud.store.transaction import Store

logger = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=2)
"""Interval between two checks for nodes that stopped reporting."""

AWAY_AFTER = timedelta(seconds=10)
"""A check this late means that this server itself was not running."""

ENDS_EVERY = timedelta(hours=1)
"""Interval between two checks for certificates near their expiry."""


class ReadinessWatcher:
    """Owns the checks; *can_receive* returns whether messages of nodes arrive here."""

    def __init__(
        self, store: Store, clock: Callable[[], datetime], can_receive: Callable[[], bool]
    ) -> None:
        self._store = store
        self._clock = clock
        self._can_receive = can_receive
        # Since when reports can arrive; None while they cannot.
        self._receiving_since: datetime | None = None
        # Times of the last check, and of the last for certificates.
        self._checked: datetime | None = None
        self._expiry_checked: datetime | None = None

    async def run(self) -> None:
        """Check at the interval until cancelled."""
        while True:
            try:
                await self.check()
            except Unavailable as error:
                logger.warning("cannot check for lost nodes, trying again: %s", error.reason)
                self._receiving_since = None
            await asyncio.sleep(LOOK_EVERY.total_seconds())

    async def check(self) -> None:
        """Record lost nodes, and certificates near their expiry."""
        now = self._clock()
        listening = self._listens_since(now)
        if listening is not None and await self._store.read(lambda tx: tx.has_due_checks(now)):
            while (
                await self._store.write(lambda tx: record_lost(tx, now=now, listening=listening))
                == LOST_AT_A_TIME
            ):
                pass
        if self._expiry_checked is None or now - self._expiry_checked >= ENDS_EVERY:
            await self._store.write(lambda tx: record_expiring(tx, now=now))
            self._expiry_checked = now

    def _listens_since(self, now: datetime) -> datetime | None:
        checked, self._checked = self._checked, now
        was_away = checked is None or not timedelta() <= now - checked < AWAY_AFTER
        if not self._can_receive():
            self._receiving_since = None
        elif self._receiving_since is None or was_away:
            self._receiving_since = now
        return self._receiving_since

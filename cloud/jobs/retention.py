"""Delete old entries of the audit log and old events."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloud.errors import Unavailable
from cloud.operations.audit import prune
from cloud.operations.events import prune_events
from cloud.store.transaction import Store, Transaction

logger = logging.getLogger(__name__)

EVERY = timedelta(hours=1)
"""Interval between two runs."""


@dataclass(frozen=True, slots=True)
class RetentionLimit:
    """Greatest age and number of retained records."""

    age: timedelta
    count: int


@dataclass(frozen=True, slots=True)
class Retention:
    """Deletes audit entries and events that are too old or too many."""

    store: Store
    clock: Callable[[], datetime]
    entries: RetentionLimit
    events: RetentionLimit

    async def run(self) -> None:
        """Prune at once and from time to time, until cancelled."""
        while True:
            try:
                entries, events = await self.prune(), await self.prune_events()
            except Unavailable as error:
                logger.warning("cannot delete old records, trying again: %s", error.reason)
            else:
                if entries:
                    logger.info("deleted %d entries of the audit log past their retention", entries)
                if events:
                    logger.info("deleted %d events past their retention", events)
            await asyncio.sleep(EVERY.total_seconds())

    async def prune(self) -> int:
        """Delete all entries past their retention, in several transactions; return how many."""
        gone = 0
        while some := await self.store.write(self._prune):
            gone += some
        return gone

    async def prune_events(self) -> int:
        """As `prune`, for events."""
        gone = 0
        while some := await self.store.write(self._prune_events):
            gone += some
        return gone

    def _prune(self, tx: Transaction) -> int:
        now, limit = self.clock(), self.entries
        return prune(tx, keep=limit.count, oldest=now - limit.age, now=now)

    def _prune_events(self, tx: Transaction) -> int:
        limit = self.events
        return prune_events(tx, keep=limit.count, oldest=self.clock() - limit.age)

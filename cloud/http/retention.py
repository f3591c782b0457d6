"""The audit log does not grow for ever, nor does what is told of what happened."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloud.errors import Unavailable
from cloud.operations.audit import prune
from cloud.operations.events import prune_events
from cloud.store.interface import Store, Transaction

logger = logging.getLogger(__name__)

EVERY = timedelta(hours=1)
"""How often it is looked for entries that may go."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How old something may get, and how much of it there may be."""

    age: timedelta
    count: int


@dataclass(frozen=True, slots=True)
class Retention:
    """Forgets entries of the log and events that are too old, and all but the last of each."""

    store: Store
    clock: Callable[[], datetime]
    entries: Kept
    events: Kept

    async def run(self) -> None:
        """Prune at once and from time to time, until cancelled."""
        while True:
            try:
                gone, events = await self.prune(), await self.prune_events()
            except Unavailable as error:
                logger.warning("cannot forget what is old, trying again: %s", error.reason)
            else:
                if gone:
                    logger.info("%d entries of the audit log were old enough to go", gone)
                if events:
                    logger.info("%d events were old enough to go", events)
            await asyncio.sleep(EVERY.total_seconds())

    async def prune(self) -> int:
        """Forget all entries that may go, in several transactions if need be; how much it was."""
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
        now, kept = self.clock(), self.entries
        return prune(tx, keep=kept.count, oldest=now - kept.age, now=now)

    def _prune_events(self, tx: Transaction) -> int:
        kept = self.events
        return prune_events(tx, keep=kept.count, oldest=self.clock() - kept.age)

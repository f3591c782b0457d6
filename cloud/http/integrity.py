"""A look through the whole database from time to time: is what is on the disk still whole?

One table after the other, each by a reader of its own, so that nothing that writes waits.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloud.core.times import time_text
from cloud.errors import Unavailable
from cloud.http.metrics import Metrics
from cloud.store.upkeep import Database

logger = logging.getLogger(__name__)

FIRST_AFTER = timedelta(minutes=5)
"""Time from the start of a server to its first look."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look through all *tables* has found: the names of those that are *damaged*."""

    ended: datetime
    seconds: float
    tables: int
    damaged: Sequence[str]


class IntegrityCheck:
    """Owns the looks through *database*, one *every* so often; zero: none."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime],
        metrics: Metrics,
        *,
        every: timedelta,
        first_after: timedelta = FIRST_AFTER,
    ) -> None:
        self._database = database
        self._clock = clock
        self._every = every
        self._first_after = first_after
        # The last that came to its end; None: there was none yet.
        self.last: Looked | None = None
        metrics.add_gauge(
            "edgesync_integrity_damaged_tables",
            "Damaged tables that the last integrity check of the database found.",
            lambda: {"": len(self.last.damaged) if self.last else 0},
        )
        metrics.add_gauge(
            "edgesync_integrity_check_timestamp_seconds",
            "When the last integrity check of the database ended; 0: there was none yet.",
            lambda: {"": self.last.ended.timestamp() if self.last else 0},
        )

    async def run(self) -> None:
        """Look from time to time, until cancelled."""
        if not self._every:
            return
        await asyncio.sleep(self._first_after.total_seconds())
        while True:
            try:
                await self.look()
            except Unavailable as error:
                logger.warning("cannot check the database, trying again: %s", error.reason)
            await asyncio.sleep(self._every.total_seconds())

    async def look(self) -> Looked:
        """Look through all tables; Unavailable if they cannot be read."""
        began, stop = self._clock(), threading.Event()
        damaged = []
        try:
            names = await asyncio.to_thread(self._database.table_names)
            for name in names:
                trouble = await asyncio.to_thread(self._database.damage, name, stop)
                if trouble:
                    damaged.append(name)
                    logger.error("the table %s of the database is damaged: %s", name, trouble)
        finally:
            stop.set()  # a thread cannot be cancelled
        ended = self._clock()
        self.last = Looked(ended, (ended - began).total_seconds(), len(names), tuple(damaged))
        return self.last

    def report(self) -> dict[str, object] | None:
        """What the last look has found, in JSON; None: there was none yet."""
        last = self.last
        if last is None:
            return None
        return {
            "time": time_text(last.ended),
            "seconds": round(last.seconds, 3),
            "tables": last.tables,
            "damaged": len(last.damaged),
        }

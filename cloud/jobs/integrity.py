"""Check the whole database for damage at an interval.

Tables are checked one after the other, each by a reader of its own, so no writer waits.
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
"""Time from the start of a server to its first check."""


@dataclass(frozen=True, slots=True)
class IntegrityResult:
    """Result of one check of all *tables*: the names of the *damaged* ones."""

    ended: datetime
    seconds: float
    tables: int
    damaged: Sequence[str]


class IntegrityCheck:
    """Owns the checks of *database*, at the interval *every*; zero: none."""

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
        # The last that was completed; None: none yet.
        self.last: IntegrityResult | None = None
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
        """Check at the interval, until cancelled."""
        if not self._every:
            return
        await asyncio.sleep(self._first_after.total_seconds())
        while True:
            try:
                await self.check()
            except Unavailable as error:
                logger.warning("cannot check the database, trying again: %s", error.reason)
            await asyncio.sleep(self._every.total_seconds())

    async def check(self) -> IntegrityResult:
        """Check all tables; Unavailable if they cannot be read."""
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
        self.last = IntegrityResult(
            ended, (ended - began).total_seconds(), len(names), tuple(damaged)
        )
        return self.last

    def report(self) -> dict[str, object] | None:
        """Result of the last check, in JSON; None: none yet."""
        last = self.last
        if last is None:
            return None
        return {
            "time": time_text(last.ended),
            "seconds": round(last.seconds, 3),
            "tables": last.tables,
            "damaged": len(last.damaged),
        }

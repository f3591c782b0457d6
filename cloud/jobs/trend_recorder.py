"""Record the trends of the fleet, a point each minute.

Every server takes part; the first one in a minute counts the nodes, and each adds the reports that
it has stored.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cloud.core.trends import MINUTES, seconds_to_next
from cloud.errors import Unavailable
from cloud.link.measures import Measures
from cloud.operations.trends import record_trends
from cloud.store.transaction import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrendRecorder:
    """Writes a point at the beginning of each minute: its reports are those of a whole minute."""

    store: Store
    clock: Callable[[], datetime]
    measures: Measures

    async def run(self) -> None:
        """Record until cancelled."""
        while True:
            await asyncio.sleep(seconds_to_next(self.clock(), MINUTES))
            try:
                await self.record()
            except Unavailable as error:
                logger.warning("cannot record trends, trying again: %s", error.reason)

    async def record(self) -> None:
        """Record one point; reports that could not be added are added to the next."""
        reports = self.measures.take_reports()
        try:
            await self.store.write(lambda tx: record_trends(tx, reports, now=self.clock()))
        except Unavailable:
            self.measures.reports.update(reports)
            raise

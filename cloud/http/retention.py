"""The audit log does not grow for ever."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloud.errors import Unavailable
from cloud.operations.audit import prune
from cloud.store.interface import Store, Transaction

logger = logging.getLogger(__name__)

EVERY = timedelta(hours=1)
"""How often it is looked for entries that may go."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Forgets entries that are older than *age*, and all but the last *count*."""

    store: Store
    clock: Callable[[], datetime]
    age: timedelta
    count: int

    async def run(self) -> None:
        """Prune at once and from time to time, until cancelled."""
        while True:
            try:
                gone = await self.prune()
            except Unavailable as error:
                logger.warning("cannot prune the audit log, trying again: %s", error.reason)
            else:
                if gone:
                    logger.info("%d entries of the audit log were old enough to go", gone)
            await asyncio.sleep(EVERY.total_seconds())

    async def prune(self) -> int:
        """Forget all that may go, in several transactions if it is much; how much it was."""
        gone = 0
        while some := await self.store.write(self._prune):
            gone += some
        return gone

    def _prune(self, tx: Transaction) -> int:
        now = self.clock()
        return prune(tx, keep=self.count, oldest=now - self.age, now=now)

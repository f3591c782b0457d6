"""What happens without anybody doing something: nodes fall silent, certificates near their end.

Every server looks; who tells of it is decided by the database. Only nodes are looked at that were
heard too long ago to need no look. Silence counts from when nodes could be heard: after a start,
after the broker or the database was gone, or the machine slept, each node has its three intervals
again, so that nobody is called lost who could not be heard.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from cloud.errors import Unavailable
from cloud.operations.events import LOST_AT_A_TIME, note_ends, note_lost
from cloud.store.interface import Store

logger = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=2)
"""How often it is looked for nodes that are silent."""

AWAY_AFTER = timedelta(seconds=10)
"""A look that comes this late says that this server itself was away."""

ENDS_EVERY = timedelta(hours=1)
"""How often it is looked for certificates that end."""


class Watcher:
    """Owns the looks; *can_hear* says whether what nodes say arrives here."""

    def __init__(
        self, store: Store, clock: Callable[[], datetime], can_hear: Callable[[], bool]
    ) -> None:
        self._store = store
        self._clock = clock
        self._can_hear = can_hear
        # Since when nodes can be heard; None while they cannot.
        self._listening: datetime | None = None
        # When it was last looked, and when for certificates.
        self._looked: datetime | None = None
        self._ends_looked: datetime | None = None

    async def run(self) -> None:
        """Look from time to time until cancelled."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                logger.warning("cannot look for silent nodes, trying again: %s", error.reason)
                self._listening = None
            await asyncio.sleep(LOOK_EVERY.total_seconds())

    async def look(self) -> None:
        """Note who is lost by now, and of which certificates the end is near."""
        now = self._clock()
        listening = self._listens_since(now)
        if listening is not None and await self._store.read(lambda tx: tx.has_due_checks(now)):
            while (
                await self._store.write(lambda tx: note_lost(tx, now=now, listening=listening))
                == LOST_AT_A_TIME
            ):
                pass
        if self._ends_looked is None or now - self._ends_looked >= ENDS_EVERY:
            await self._store.write(lambda tx: note_ends(tx, now=now))
            self._ends_looked = now

    def _listens_since(self, now: datetime) -> datetime | None:
        looked, self._looked = self._looked, now
        was_away = looked is None or not timedelta() <= now - looked < AWAY_AFTER
        if not self._can_hear():
            self._listening = None
        elif self._listening is None or was_away:
            self._listening = now
        return self._listening

"""Queue notifications once they are due.

Every server runs this job. The transactions that queue messages are serialized across servers, so
each message is queued once.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from cloud.errors import Unavailable
from cloud.http.metrics import LimitRefusals
from cloud.operations.notifications import queue_due
from cloud.store.transaction import Store

logger = logging.getLogger(__name__)

POLL_EVERY = timedelta(seconds=1)
"""Longest delay of a message that is due."""

DROPPED = "notification_queue"
"""Name of the limit beyond which messages are dropped."""


class NotificationTimer:
    """Owns the step from groups of events to messages in the queue."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime],
        *,
        new_id: Callable[[], str],
        wake_sender: Callable[[], None],
        limits: LimitRefusals,
    ) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._wake_sender = wake_sender
        self._limits = limits
        limits.declare(DROPPED)

    async def run(self) -> None:
        """Queue what is due until cancelled."""
        while True:
            try:
                await self.round()
            except Unavailable as error:
                logger.warning("cannot queue notifications, trying again: %s", error.reason)
            await asyncio.sleep(POLL_EVERY.total_seconds())

    async def round(self) -> None:
        """Queue all that is due now."""
        now = self._clock()
        due = await self._store.read(lambda tx: tx.next_notification())
        while due is not None and due <= now:
            queued, dropped = await self._store.write(
                lambda tx: queue_due(tx, now=now, new_id=self._new_id)
            )
            if queued:
                self._wake_sender()
            if dropped:
                self._limits.count(DROPPED, dropped)
                logger.warning("%d notifications were dropped: their queues are full", dropped)
            due = await self._store.read(lambda tx: tx.next_notification())

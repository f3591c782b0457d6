"""Whether the database accepts writes: by those that are made, else by a probe."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from cloud.errors import Unavailable
from cloud.http.metrics import Metrics
from cloud.store.transaction import NotifyingStore

logger = logging.getLogger(__name__)

PROBE_EVERY = timedelta(seconds=5)
"""Time between two probes, at least, however often it is asked."""


class WriteCheck:
    """Owns the probe of one store; `check` is for readiness."""

    def __init__(
        self,
        store: NotifyingStore,
        timer: Callable[[], float],
        *,
        metrics: Metrics | None = None,
        every: timedelta = PROBE_EVERY,
    ) -> None:
        self._store = store
        self._timer = timer
        self._every = every.total_seconds()
        self._asking = asyncio.Lock()
        # When the last probe began, and whether it has not ended since.
        self._probed: float | None = None
        self._is_waiting = False
        # Writes that had been committed when it was asked last.
        self._seen = 0
        if metrics is not None:
            add_write_metrics(metrics, store)

    async def check(self) -> None:
        """Unavailable if the last write failed, or if a probe does not come to its end.

        There is a probe where nothing was written since the last look, or where that failed, and no
        other one in the last PROBE_EVERY.
        """
        async with self._asking:
            outcomes = self._store.outcomes
            is_known = not outcomes.trouble and outcomes.committed > self._seen
            self._seen = outcomes.committed
            now = self._timer()
            if not is_known and (self._probed is None or now - self._probed >= self._every):
                await self._probe(now)
            elif is_known:
                self._is_waiting = False
            if outcomes.trouble:
                raise Unavailable(outcomes.trouble)
            if self._is_waiting:
                raise Unavailable("a write has been waiting for too long")

    async def _probe(self, now: float) -> None:
        self._probed, self._is_waiting = now, True
        try:
            await self._store.write_concurrent(lambda tx: tx.probe())
        except Unavailable:
            self._is_waiting = False
            raise
        # The caller may give up meanwhile: then the probe is known to wait.
        self._is_waiting = False
        self._seen = self._store.outcomes.committed


def add_write_metrics(metrics: Metrics, store: NotifyingStore) -> None:
    """Count the writes by their outcome, and return whether the last one was committed."""
    outcomes = store.outcomes
    metrics.add_counter(
        "edgesync_database_writes",
        "Transactions that may write, by what came of them.",
        lambda: {"committed": outcomes.committed, "failed": outcomes.failed},
        label="outcome",
    )
    metrics.add_gauge(
        "edgesync_database_writable",
        "1 if the last write was committed, 0 if the database refused it.",
        lambda: {"": 0.0 if outcomes.trouble else 1.0},
    )

"""Drive the rollouts: admit nodes, judge their reports, bring them back.

Every server plans; the database decides whose step is kept (`operations/rollout_drive.py`). A step
is one transaction with the nodes that it makes pending, so that a server may fail at any moment.
Silence of nodes counts from when reports could arrive here, as for `jobs/readiness_watcher.py`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from cloud.core.rollout import Rollout, RolloutState
from cloud.errors import Unavailable
from cloud.link.measures import Measures, contained
from cloud.operations.rollout_drive import driven_rollouts, keep_step, plan_step, restore_base
from cloud.operations.seen_rollouts import SeenRollout, SeenRollouts, seen_of
from cloud.store.transaction import NotifyingStore, Transaction

logger = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=1)
"""Interval between two steps of a rollout of which nothing changes here."""

BUSY_SHARE = 10
"""A step that takes long is followed by a pause of so many times its duration."""

LONGEST_PAUSE = 5.0
"""Seconds between two steps at most, whatever they take."""

AWAY_AFTER = timedelta(seconds=10)
"""A step this late means that this server itself was not running."""


class RolloutDriver:
    """Owns the steps; *can_receive* returns whether messages of nodes arrive here.

    How rollouts stand after them is kept in *seen*.
    """

    def __init__(
        self,
        store: NotifyingStore,
        clock: Callable[[], datetime],
        can_receive: Callable[[], bool],
        *,
        measures: Measures | None = None,
        seen: SeenRollouts | None = None,
        every: timedelta = LOOK_EVERY,
    ) -> None:
        self._store = store
        self._clock = clock
        self._can_receive = can_receive
        self._measures = measures or Measures()
        self._seen = seen or SeenRollouts()
        self._every = every.total_seconds()
        # Since when reports can arrive; None while they cannot.
        self._receiving_since: datetime | None = None
        # Time of the last step.
        self._stepped: datetime | None = None

    async def run(self) -> None:
        """Take steps until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self.step()
            except Unavailable as error:
                logger.warning("cannot drive rollouts, trying again: %s", error.reason)
                self._receiving_since = None
            took = loop.time() - began
            await asyncio.sleep(min(took * BUSY_SHARE, LONGEST_PAUSE))
            await self._wait()

    async def _wait(self) -> None:
        """Return after the interval, or once something has changed here."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._every):
                await self._store.wait_for_rollouts()

    async def step(self) -> None:
        """Take a step of every rollout that has something left to do."""
        now = self._clock()
        watched = self._listens_since(now)
        if watched is None:
            return
        seen = []
        for rollout in await self._store.read(driven_rollouts):
            with contained(self._measures, "rollouts", rollout.name):
                seen.append(await self._step_of(rollout, now, watched))
        self._seen.keep([one for one in seen if one is not None], now)

    async def _step_of(
        self, rollout: Rollout, now: datetime, watched: datetime
    ) -> SeenRollout | None:
        """How the rollout stands after a step; None if another server was first."""
        if rollout.state is RolloutState.ROLLING_BACK:
            await self._restore(rollout, now)
        planned = await self._store.read(
            lambda tx: plan_step(tx, rollout, now=now, watched=watched)
        )
        if not planned.is_change:
            return seen_of(planned)
        if not await self._store.write(lambda tx: keep_step(tx, planned, now=now)):
            return None
        after = planned.after
        if after.state is not rollout.state:
            logger.info("rollout %s is %s: %s", rollout.name, after.state.value, after.cause or "-")
        if after.state is RolloutState.ROLLING_BACK:
            await self._restore(after, now)
        return seen_of(planned, is_kept=True)

    async def _restore(self, rollout: Rollout, now: datetime) -> None:
        """Make the base version the app's current one, unless it is already."""

        def is_current(tx: Transaction) -> bool:
            app = tx.app(rollout.namespace, rollout.app)
            return app is None or app.version != rollout.target

        if rollout.base and not await self._store.read(is_current):
            await self._store.write(lambda tx: restore_base(tx, rollout, now=now))

    def _listens_since(self, now: datetime) -> datetime | None:
        stepped, self._stepped = self._stepped, now
        was_away = stepped is None or not timedelta() <= now - stepped < AWAY_AFTER
        if not self._can_receive():
            self._receiving_since = None
        elif self._receiving_since is None or was_away:
            self._receiving_since = now
        return self._receiving_since

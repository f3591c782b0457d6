"""How rollouts stand, as their driver saw it last."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from cloud.core.rollout import AssignmentState, RolloutState
from cloud.core.tokens import Role
from cloud.errors import NotFound
from cloud.jobs.rollout_driver import RolloutDriver
from cloud.operations.rollouts import RolloutActor, pause_rollout, see_rollout
from cloud.operations.seen_rollouts import KEPT_FOR, SeenRollout, SeenRollouts
from cloud.store.transaction import NotifyingStore
from tests.operations.conftest import NAMESPACE
from tests.operations.test_rollout_drive import Story


class DrivenStory:
    """A story with a driver, and what it saw."""

    def __init__(self, store: NotifyingStore) -> None:
        self.story = Story(store)
        self.seen = SeenRollouts()
        self.driver = RolloutDriver(store, lambda: self.story.now, lambda: True, seen=self.seen)

    async def look(self, seen: SeenRollouts, now: datetime | None = None) -> SeenRollout:
        return await self.story.store.read(
            lambda tx: see_rollout(tx, NAMESPACE, "web", seen, now=now or self.story.now)
        )

    async def anew(self) -> SeenRollout:
        """Not as the driver saw it."""
        return await self.look(SeenRollouts())


@pytest.fixture
async def watched(store: NotifyingStore) -> DrivenStory:
    one = DrivenStory(store)
    await one.story.begin(stages=[{"name": "canary", "selector": "ring=canary", "soak": "1h"}])
    await one.story.update()
    return one


async def test_what_the_driver_saw_is_what_there_is(watched: DrivenStory) -> None:
    for _ in range(4):
        await watched.driver.step()
        known = await watched.look(watched.seen)
        assert known is watched.seen.of(known.rollout, watched.story.now)
        assert known == await watched.anew()
        await watched.story.push()
        await watched.story.reports()
    known = await watched.look(watched.seen)
    assert known.stages[0].nodes == {AssignmentState.SENT: 1}
    assert known.stages[1].nodes == {AssignmentState.WAITING: 3}
    assert (known.total, known.waiting, len(known.waits)) == (4, 1, 1)


async def test_what_the_driver_saw_counts_until_the_rollout_changes(watched: DrivenStory) -> None:
    await watched.driver.step()
    before = await watched.look(watched.seen)
    by = RolloutActor("alice", Role.OPERATOR)
    now = watched.story.now
    await watched.story.store.write(lambda tx: pause_rollout(tx, NAMESPACE, "web", by, "", now=now))
    after = await watched.look(watched.seen)
    assert (before.rollout.state, after.rollout.state) == (
        RolloutState.RUNNING,
        RolloutState.PAUSED,
    )
    assert after.waits[0].reason == "pause"


async def test_what_the_driver_saw_counts_for_a_while(watched: DrivenStory) -> None:
    await watched.driver.step()
    known = await watched.look(watched.seen)
    # Evidence since is not in it, until the driver looks again.
    marked = replace(known, total=99)
    watched.seen.keep([marked], watched.story.now)
    later = watched.story.now + KEPT_FOR
    assert await watched.look(watched.seen, later - timedelta(seconds=1)) is marked
    assert (await watched.look(watched.seen, later)).total == 4


async def test_rollouts_that_are_not_driven_any_more_are_not_kept(watched: DrivenStory) -> None:
    await watched.driver.step()
    known = await watched.look(watched.seen)
    watched.seen.keep([], watched.story.now)
    assert watched.seen.of(known.rollout, watched.story.now) is None
    with pytest.raises(NotFound):
        await watched.story.store.read(
            lambda tx: see_rollout(tx, NAMESPACE, "none", watched.seen, now=watched.story.now)
        )

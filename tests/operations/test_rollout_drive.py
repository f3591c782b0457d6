"""Rollouts over what is stored: they begin with a change, are driven, and bring nodes back."""

from datetime import timedelta
from functools import partial

import msgspec
import pytest

from cloud.core.kinds import CONFIG
from cloud.core.node import NodeSpec
from cloud.core.report import Order, read_report
from cloud.core.rollout import AssignmentState, Rollout, RolloutState
from cloud.core.rollout_policy import RolloutPolicy, RolloutPolicySpec
from cloud.operations.apps import create_app, delete_app, update_app
from cloud.operations.configs import create_config, update_config
from cloud.operations.nodes import create_node
from cloud.operations.reports import deltas_for, receive_report, record_sent
from cloud.operations.rollout_begin import RolloutOrder, order_rollouts
from cloud.operations.rollout_drive import (
    PlannedStep,
    driven_rollouts,
    keep_step,
    plan_step,
    restore_base,
)
from cloud.operations.rollouts import assignments_of, see_rollout
from cloud.operations.seen_rollouts import SeenRollouts
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import NAMESPACE, NOW, app_spec, config_spec

NODES = ("n0", "n1", "n2", "n3")
RULES = {
    "apps": {"names": ["web"]},
    "stages": [{"name": "canary", "selector": "ring=canary"}],
    "failure": {"action": "rollback"},
}
Versions = dict[str, str]


class Story:
    """Nodes that report, and a driver, in transactions of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = NOW
        self.broken: set[str] = set()
        # Versions of the app that fail wherever they run.
        self.applied: Versions = {}

    async def begin(self, **rules: object) -> None:
        spec = msgspec.convert({**RULES, **rules}, RolloutPolicySpec)

        def plant(tx: Transaction) -> None:
            create_config(tx, NAMESPACE, "conf", config_spec("old"), now=NOW)
            create_app(tx, NAMESPACE, "web", app_spec(configs=["conf"]), now=NOW)
            for name in NODES:
                ring = {"ring": "canary"} if name == "n0" else {}
                create_node(tx, NAMESPACE, name, NodeSpec({"role": "gateway", **ring}), now=NOW)
            tx.put_resource(RolloutPolicy(NAMESPACE, "careful", spec, tx.next_version(), NOW, NOW))

        await self.store.write(plant)
        await self.reports()
        await self.reports()

    async def version(self) -> str:
        app = await self.store.read(lambda tx: tx.app(NAMESPACE, "web"))
        return app.version if app else ""

    async def update(self, image: str = "nginx:2") -> None:
        spec = app_spec(image=image, configs=["conf"])
        await self.store.write(lambda tx: update_app(tx, NAMESPACE, "web", spec, now=self.now))

    async def reports(self, *names: str) -> None:
        """Let nodes report, each the version that it was sent last."""
        self.now += timedelta(seconds=15)
        for name in names or NODES:
            await self.store.write_concurrent(partial(self._report, name=name))

    def _report(self, tx: Transaction, name: str) -> None:
        version = self.applied.get(name)
        status = "Failed" if version in self.broken else "Running"
        apps = [{"name": "web", "version": version}] if version else []
        stats = [{**app, "status": status, "cause": ""} for app in apps]
        report = read_report({"apps": apps, "appstats": stats}, Order())
        reply = receive_report(tx, f"{NAMESPACE}.{name}", report, "json", now=self.now)
        if "apps" in reply.delta:
            listed = {app["name"]: app["version"] for app in reply.delta["apps"]}
            self.applied[name] = listed.get("web", "")

    async def push(self) -> None:
        """Send what is pending, as the pusher does."""

        def work(tx: Transaction) -> None:
            pushes = deltas_for(tx, list(tx.take_pending(100)), now=self.now)
            record_sent(tx, pushes, now=self.now)
            for push in pushes:
                listed = {app.name: app.version for app in push.desired.apps}
                self.applied[push.node_id.partition(".")[2]] = listed.get("web", "")

        await self.store.write(work)

    async def plan(self, rollout: Rollout) -> PlannedStep:
        return await self.store.read(partial(plan_step, rollout=rollout, now=self.now))

    async def keep(self, planned: PlannedStep) -> bool:
        return await self.store.write(partial(keep_step, planned=planned, now=self.now))

    async def step(self) -> None:
        """Take a step of each rollout, as the driver does."""
        for rollout in await self.store.read(driven_rollouts):
            planned = await self.plan(rollout)
            assert not planned.is_change or await self.keep(planned)
            after = planned.step.rollout
            if after.state is RolloutState.ROLLING_BACK:
                await self.store.write(partial(restore_base, rollout=after, now=self.now))
        await self.push()

    async def run(self, rounds: int = 4) -> None:
        for _ in range(rounds):
            await self.step()
            await self.reports()

    async def rollout(self) -> Rollout:
        found = await self.store.read(lambda tx: tx.newest_rollout(NAMESPACE, "web"))
        assert found is not None
        return found

    async def states(self) -> dict[str, AssignmentState]:
        rows = await self.store.read(lambda tx: tx.assignments(NAMESPACE, "web"))
        return {name: row.state for name, row in rows.items()}


@pytest.fixture
async def story(store: Store) -> Story:
    return Story(store)


async def test_a_change_of_a_governed_app_reaches_the_canary_first_and_then_all(
    story: Story,
) -> None:
    await story.begin()
    base = await story.version()
    assert story.applied == dict.fromkeys(NODES, base)
    await story.update()
    target = await story.version()
    await story.push()
    assert story.applied == dict.fromkeys(NODES, base)
    await story.step()
    assert story.applied == {**dict.fromkeys(NODES, base), "n0": target}
    assert await story.states() == {"n0": AssignmentState.SENT}
    await story.reports()
    await story.run()
    assert story.applied == dict.fromkeys(NODES, target)
    assert (await story.rollout()).state is RolloutState.DONE
    assert await story.store.read(driven_rollouts) == []


async def test_a_rollout_that_is_done_keeps_counts_and_no_assignments(story: Story) -> None:
    await story.begin()
    base = await story.version()
    await story.update()
    await story.run(5)
    assert (await story.rollout()).state is RolloutState.DONE
    assert await story.states() == {}

    def look(tx: Transaction) -> None:
        assert not tx.catalog(NAMESPACE).governed
        assert tx.pinned_app(NAMESPACE, "web", base) is None
        seen = see_rollout(tx, NAMESPACE, "web", SeenRollouts(), now=story.now)
        counts = [dict(stage.nodes) for stage in seen.stages]
        assert counts == [{AssignmentState.UPDATED: 1}, {AssignmentState.UPDATED: 3}]
        rollout, rows = assignments_of(tx, NAMESPACE, "web", now=story.now)
        assert [row.node for row in rows] == list(NODES)
        assert {(row.version, row.state) for row in rows} == {
            (rollout.target, AssignmentState.UPDATED)
        }

    await story.store.read(look)


async def test_a_bad_version_goes_back_and_the_old_one_is_the_current_one_again(
    story: Story,
) -> None:
    await story.begin()
    base = await story.version()
    await story.update()
    story.broken.add(await story.version())
    await story.run()
    rollout = await story.rollout()
    assert rollout.state is RolloutState.ROLLED_BACK
    assert await story.states() == {"n0": AssignmentState.RETURNED}
    assert story.applied == dict.fromkeys(NODES, base)
    assert await story.version() == base
    events = await story.store.write(lambda tx: tx.number_events(100, lambda found: found))
    own = [one.event.type for one in events if one.event.kind == "rollout"]
    assert own == ["rollout.running", "rollout.rollingBack", "rollout.rolledBack"]
    # The next change begins with it.
    await story.update("nginx:3")
    assert (await story.rollout()).base == base


async def test_a_config_that_breaks_is_a_rollout_and_goes_back(story: Story) -> None:
    await story.begin()
    base = await story.version()
    before = await story.store.read(lambda tx: tx.resource_version(CONFIG, NAMESPACE, "conf"))
    bad = config_spec("bad")
    await story.store.write(lambda tx: update_config(tx, NAMESPACE, "conf", bad, now=story.now))
    story.broken.add(await story.version())
    await story.run()
    assert (await story.rollout()).state is RolloutState.ROLLED_BACK
    assert story.applied == dict.fromkeys(NODES, base)
    after = await story.store.read(lambda tx: tx.resource_version(CONFIG, NAMESPACE, "conf"))
    assert after == before


async def test_superseding_twice_brings_all_nodes_to_the_newest_version(story: Story) -> None:
    await story.begin()
    await story.update("nginx:2")
    await story.run(1)
    first = await story.rollout()
    await story.update("nginx:3")
    await story.step()
    await story.update("nginx:4")
    await story.run(6)
    assert story.applied == dict.fromkeys(NODES, await story.version())
    assert (await story.rollout()).state is RolloutState.DONE
    found = await story.store.read(lambda tx: tx.rollout(NAMESPACE, first.name))
    assert found is not None
    assert found.state is RolloutState.SUPERSEDED


async def test_a_step_that_was_planned_from_an_older_state_is_not_kept(story: Story) -> None:
    await story.begin()
    await story.update()
    rollout = await story.rollout()
    plans = [await story.plan(rollout), await story.plan(rollout)]
    kept = [await story.keep(plan) for plan in plans]
    assert kept == [True, False]


async def test_a_scheduled_rollout_waits_for_its_time(story: Story) -> None:
    await story.begin()
    base = await story.version()
    order = RolloutOrder(story.now + timedelta(minutes=2))

    def scheduled(tx: Transaction) -> None:
        update_app(tx, NAMESPACE, "web", app_spec(image="nginx:2"), now=story.now)
        order_rollouts(tx, NAMESPACE, order, "alice", now=story.now)

    await story.store.write(scheduled)
    await story.run(2)
    rollout = await story.rollout()
    assert (rollout.state, rollout.actor) == (RolloutState.SCHEDULED, "alice")
    assert story.applied == dict.fromkeys(NODES, base)
    await story.run(10)
    assert (await story.rollout()).state is RolloutState.DONE


async def test_a_rollout_of_a_deleted_app_ends(story: Story) -> None:
    await story.begin()
    await story.update()
    await story.run(1)
    await story.store.write(lambda tx: delete_app(tx, NAMESPACE, "web"))
    await story.step()
    assert (await story.rollout()).cause == "the app was deleted"
    assert await story.store.read(driven_rollouts) == []


async def test_a_new_app_under_a_policy_reaches_the_canary_first(story: Story) -> None:
    await story.begin(apps={"names": ["web", "shop"]})
    await story.store.write(lambda tx: create_app(tx, NAMESPACE, "shop", app_spec(), now=story.now))
    await story.step()
    rows = await story.store.read(lambda tx: tx.assignments(NAMESPACE, "shop"))
    assert {name: row.previous for name, row in rows.items()} == {"n0": ""}


async def test_an_app_without_its_policy_goes_to_all_nodes_at_once(story: Story) -> None:
    await story.begin()
    await story.update()
    await story.step()
    await story.store.write(lambda tx: tx.delete_resource(RolloutPolicy.kind, NAMESPACE, "careful"))
    await story.update("nginx:3")
    await story.push()
    assert story.applied == dict.fromkeys(NODES, await story.version())
    assert (await story.rollout()).state is RolloutState.SUPERSEDED
    assert await story.states() == {}

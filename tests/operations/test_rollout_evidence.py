"""Of assignments, what follows from deploys is not stored, and nothing is lost by that."""

from functools import partial
from random import Random

import pytest

from cloud.core.report import Order, read_report
from cloud.core.rollout import Assignment, AssignmentState, is_default
from cloud.core.rollout_evidence import after_report, after_sending
from cloud.core.rollout_start import carried_over
from cloud.operations.apps import create_app, update_app
from cloud.operations.reports import deltas_for, receive_report, record_sent
from cloud.operations.rollout_drive import driven_rollouts, keep_step, plan_step
from cloud.operations.system_apps import desired_of
from cloud.store.transaction import Transaction
from tests.operations.conftest import NAMESPACE, app_spec
from tests.operations.test_rollout_drive import NODES, Story, story

__all__ = ["story"]

APP = "web"


class EagerAssignments:
    """Assignments as they are if each change of them is stored, beside those of the store."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.rows: dict[str, Assignment] = {}
        self.applied: dict[str, dict[str, str]] = {name: {} for name in NODES}

    async def update(self, image: str) -> None:
        """Have another version rolled out."""
        await self.story.update(image)
        rollout = await self.story.rollout()
        carried = {name: carried_over(row, rollout.base) for name, row in self.rows.items()}
        self.rows = {name: row for name, row in carried.items() if row is not None}

    async def report(self, *names: str) -> None:
        """Let nodes report all that they were sent last."""
        self.story.now += self.story.now.resolution * 15_000_000
        for name in names or NODES:
            await self.story.store.write_concurrent(partial(self._report, name=name))

    def _report(self, tx: Transaction, name: str) -> None:
        now, broken = self.story.now, self.story.broken
        apps = [{"name": app, "version": own} for app, own in self.applied[name].items()]
        stats = [
            {**app, "status": "Failed" if app["version"] in broken else "Running", "cause": ""}
            for app in apps
        ]
        report = read_report({"apps": apps, "appstats": stats}, Order())
        node, deploy = tx.node(NAMESPACE, name), tx.open_deploy(NAMESPACE, name)
        assert node is not None
        is_open = deploy and deploy.is_of(desired_of(tx, NAMESPACE, name, node.labels, report))
        refused = deploy.refused(report, now) if deploy and is_open else {}
        reply = receive_report(tx, f"{NAMESPACE}.{name}", report, "json", now=now)
        if row := self.rows.get(name):
            row = after_report(row, report, now, refused.get(APP, ""))
            self.rows[name] = after_sending(row, now) if reply.delta else row
        if "apps" in reply.delta:
            self.applied[name] = {app["name"]: app["version"] for app in reply.delta["apps"]}

    async def push(self) -> None:
        """Send what is pending."""

        def work(tx: Transaction) -> None:
            now = self.story.now
            pushes = deltas_for(tx, list(tx.take_pending(100)), now=now)
            record_sent(tx, pushes, now=now)
            for push in pushes:
                name = push.node_id.partition(".")[2]
                self.applied[name] = {app.name: app.version for app in push.desired.apps}
                if row := self.rows.get(name):
                    self.rows[name] = after_sending(row, now)

        await self.story.store.write(work)

    async def step(self) -> None:
        """Take a step of the rollout."""
        now, store = self.story.now, self.story.store
        for rollout in await store.read(driven_rollouts):
            planned = await store.read(partial(plan_step, rollout=rollout, now=now))
            assert await store.write(partial(keep_step, planned=planned, now=now))
            rows = {**self.rows, **planned.step.changes}
            after = planned.after
            self.rows = {
                name: row for name, row in rows.items() if row and not is_default(after, row)
            }


@pytest.mark.parametrize("seed", range(3))
async def test_assignments_stand_as_if_each_change_of_them_were_stored(
    story: Story, seed: int
) -> None:
    pick = Random(seed)  # noqa: S311
    eager = EagerAssignments(story)
    stages = [{"name": "canary", "limit": 2, "soak": "30s"}]
    await story.begin(stages=stages, failure={"max": "100%"}, deadline="2m")
    clock = app_spec(image="clock:1")
    await story.store.write(lambda tx: create_app(tx, NAMESPACE, "clock", clock, now=story.now))
    await eager.report()
    stood = set()
    for turn in range(60):
        match pick.randrange(8):
            case 0 if pick.randrange(3) == 0:
                await eager.update(f"nginx:{turn}")
            case 1:
                spec = app_spec(image=f"clock:{turn}")
                change = partial(update_app, namespace=NAMESPACE, name="clock", spec=spec)
                await story.store.write(partial(change, now=story.now))
            case 2 if pick.randrange(3) == 0:
                story.broken ^= {await story.version()}
            case 2 | 3:
                await eager.report(*pick.sample(NODES, 2))
            case 4:
                await eager.report()
            case 5:
                await eager.push()
            case _:
                await eager.step()
        rows = await story.store.read(lambda tx: tx.assignments(NAMESPACE, APP))
        assert rows == eager.rows, turn
        stood |= {row.state for row in rows.values()}
    assert {AssignmentState.SENT, AssignmentState.ADMITTED} <= stood


async def test_what_follows_from_deploys_is_not_stored_with_assignments(story: Story) -> None:
    await story.begin(stages=[{"name": "canary", "selector": "ring=canary", "soak": "5m"}])

    async def stored() -> Assignment:
        rows = await story.store.read(lambda tx: tx.assignments_of_node(NAMESPACE, "n0"))
        return rows["web"]

    async def standing() -> Assignment:
        rows = await story.store.read(lambda tx: tx.assignments(NAMESPACE, "web"))
        return rows["n0"]

    await story.update()
    await story.step()
    sent = story.now
    await story.reports()
    healthy = story.now
    await story.reports()
    await story.step()
    assert (await stored()).state is AssignmentState.ADMITTED
    row = await standing()
    assert (row.state, row.sent, row.healthy) == (AssignmentState.SENT, sent, healthy)
    # The node is sent another app: its newest deploy does not show that any more.
    spec = app_spec(image="clock:1")
    await story.store.write(lambda tx: create_app(tx, NAMESPACE, "clock", spec, now=story.now))
    await story.push()
    assert await standing() == await stored() == row
    story.broken.add(await story.version())
    await story.reports()
    assert (await standing()).state is AssignmentState.FAILED

"""What `explain` has of a rollout that has not reached a node."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cloud.core.node import NodeSpec
from cloud.core.report import Order, read_report
from cloud.core.rollout import Rollout, RolloutState, rollout_name
from cloud.core.rollout_policy import Approval, ConsentRule, RolloutPolicySpec, RolloutStage
from cloud.core.rollout_windows import Window
from cloud.operations.apps import update_app
from cloud.operations.explain import explain_node
from cloud.operations.nodes import create_node, delete_node
from cloud.operations.reports import receive_report
from cloud.operations.rollout_drive import keep_step, plan_step
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import NAMESPACE, app_spec
from tests.operations.test_pinned_versions import govern, plant, version

EVENING = datetime(2026, 11, 23, 18, tzinfo=UTC)
RING = {"role": "gateway", "ring": "canary"}


def report(
    tx: Transaction, name: str, version: str, *, now: datetime = EVENING, **more: Any
) -> None:
    content = {"apps": [{"name": "web", "version": version}], **more}
    given = read_report(content, Order())
    receive_report(tx, f"{NAMESPACE}.{name}", given, "json", now=now)


def begin(tx: Transaction, rules: RolloutPolicySpec, **labels: str) -> Rollout:
    """A rollout to a canary `c` and the node `n`, which has *labels*; one step of it is done."""
    govern(tx)
    plant(tx)
    delete_node(tx, NAMESPACE, "n", now=EVENING)
    create_node(tx, NAMESPACE, "n", NodeSpec({"role": "gateway", **labels}), now=EVENING)
    create_node(tx, NAMESPACE, "c", NodeSpec(RING), now=EVENING)
    old = version(tx)
    for name in ("n", "c"):
        report(tx, name, old, offers=[])
    update_app(tx, NAMESPACE, "web", app_spec(image="new"), now=EVENING)
    new = version(tx)
    rollout = Rollout(
        NAMESPACE,
        rollout_name("web", new),
        "web",
        "careful",
        rules,
        old,
        new,
        RolloutState.RUNNING,
        EVENING,
        EVENING,
    )
    tx.put_rollout(rollout)
    drive(tx, rollout, EVENING)
    return rollout


def drive(tx: Transaction, rollout: Rollout, now: datetime) -> None:
    for _ in range(5):
        current = tx.rollout(rollout.namespace, rollout.name)
        assert current is not None
        planned = plan_step(tx, current, now=now)
        if not planned.is_change:
            return
        assert keep_step(tx, planned, now=now)


def message(tx: Transaction, name: str = "n", now: datetime = EVENING) -> str:
    [app] = explain_node(tx, NAMESPACE, name, now=now).explanation.apps
    return app.rollout


STAGES = (RolloutStage("canary", selector="ring=canary", soak="1h"), RolloutStage("rest"))


async def test_a_node_of_a_later_stage_waits_for_it(store: Store) -> None:
    def work(tx: Transaction) -> None:
        rollout = begin(tx, RolloutPolicySpec(stages=STAGES))
        words = f"version {rollout.target} waits for stage rest, now in stage canary"
        assert message(tx) == words
        found = explain_node(tx, NAMESPACE, "n", now=EVENING).explanation
        assert found.message.endswith(f"; web: {words}")
        assert found.apps[0].message.endswith(f"; {words}")

    await store.write(work)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"time-zone": "Europe.Berlin"}, "is outside its window until 02:00 Europe/Berlin"),
        ({}, "is outside its window until 02:00 UTC"),
    ],
)
async def test_a_node_outside_its_window_names_its_own_clock(
    store: Store, labels: dict[str, str], words: str
) -> None:
    def work(tx: Transaction) -> None:
        rules = RolloutPolicySpec(windows=(Window("0 2 * * *", "3h", "node"),))
        rollout = begin(tx, rules, **labels)
        assert message(tx) == f"version {rollout.target} {words}"

    await store.write(work)


async def test_a_window_of_another_day_has_its_date(store: Store) -> None:
    def work(tx: Transaction) -> None:
        rules = RolloutPolicySpec(windows=(Window("0 2 1 12 *", "3h", "Europe/Berlin"),))
        rollout = begin(tx, rules)
        words = "is outside its window until 2026-12-01 02:00 Europe/Berlin"
        assert message(tx) == f"version {rollout.target} {words}"

    await store.write(work)


async def test_a_device_that_defers_is_named_with_its_reason(store: Store) -> None:
    def work(tx: Transaction) -> None:
        rollout = begin(tx, RolloutPolicySpec(consent=ConsentRule(latest="72h")))
        until = "2026-11-26T18:00:00Z"
        words = f"version {rollout.target} waits for the consent of the device until {until}"
        assert message(tx) == words
        answer = {"answer": "deferred", "until": "2026-11-23T20:00:00Z", "reason": "machine in use"}
        offer = {"name": "web", "version": rollout.target, "consent": True, "latest": until}
        report(tx, "n", rollout.base, offers=[{**offer, **answer}])
        drive(tx, rollout, EVENING)
        words = "is deferred by the device until 2026-11-23T20:00:00Z: machine in use"
        assert message(tx) == f"version {rollout.target} {words}"
        # Once that time has come it gets the version.
        later = EVENING + timedelta(hours=2)
        report(tx, "n", rollout.base, now=later, offers=[{**offer, **answer}])
        drive(tx, rollout, later)
        assert tx.assigned_versions(NAMESPACE, "n") == {"web": rollout.target}

    await store.write(work)


async def test_a_stage_that_waits_for_approval_is_named(store: Store) -> None:
    def work(tx: Transaction) -> None:
        stages = (replace(STAGES[1], approval=Approval.REQUIRED),)
        rollout = begin(tx, RolloutPolicySpec(stages=stages))
        assert message(tx) == f"version {rollout.target} waits for the approval of stage rest"

    await store.write(work)

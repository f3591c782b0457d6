"""What nodes are offered by rollouts, what they get of it, and what they answer."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cloud.core.objects import cannot_sign
from cloud.core.report import Order, read_report
from cloud.core.rollout import Assignment, AssignmentState, Rollout, RolloutState, rollout_name
from cloud.core.rollout_policy import ConsentRule, RolloutPolicySpec
from cloud.core.rollout_windows import Window
from cloud.core.selectors import parse_selector
from cloud.operations.apps import update_app
from cloud.operations.configs import update_config
from cloud.operations.desires import Info, InfoKind, deliver
from cloud.operations.nodes import existing_node
from cloud.operations.reports import deltas_for, receive_report
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import LATER, NAMESPACE, NOW, config_spec
from tests.operations.test_pinned_versions import NODE, SPEC, govern, plant, version

RULES = RolloutPolicySpec(
    windows=(Window("0 2 * * *", "3h", "Europe/Berlin"),), consent=ConsentRule(latest="72h")
)
EVENING = datetime(2026, 11, 23, 18, tzinfo=UTC)
NIGHT = "2026-11-24T01:00:00Z"
"""When the window opens after that evening."""


def begin(tx: Transaction, **changes: Any) -> tuple[str, str]:
    """A rollout that offers a new version to the node; the old version and the new one."""
    plant(tx)
    govern(tx)
    old = version(tx)
    update_config(tx, NAMESPACE, "conf", config_spec("new"), now=LATER)
    new = version(tx)
    name = rollout_name("web", new)
    rollout = Rollout(
        NAMESPACE, name, "web", "careful", RULES, old, new, RolloutState.RUNNING, NOW, NOW
    )
    tx.put_rollout(replace(rollout, **changes))
    row = Assignment("n", "web", old, old, AssignmentState.OFFERED, offered=EVENING)
    tx.put_assignments(NAMESPACE, [row])
    return old, new


def report(
    tx: Transaction, version: str, offers: Any = None, now: datetime = EVENING
) -> Mapping[str, Any]:
    """The delta for a node that runs the version of `web`, and names *offers*."""
    content: dict[str, Any] = {"apps": [{"name": "web", "version": version}]}
    if offers is not None:
        content["offers"] = offers
    given = read_report(content, Order())
    return receive_report(tx, NODE, given, "json", now=now).delta


def assignment(tx: Transaction) -> Assignment:
    return tx.assignments_of_node(NAMESPACE, "n")["web"]


async def test_a_node_that_knows_offers_is_offered_the_version(store: Store) -> None:
    def work(tx: Transaction) -> None:
        old, new = begin(tx)
        delta = report(tx, old, [])
        offer = {
            "name": "web",
            "version": new,
            "notBefore": NIGHT,
            "consent": True,
            "latest": "2026-11-26T18:00:00Z",
        }
        assert delta == {"apps": [{"name": "web", "version": old}], "offer": [offer]}
        # Once it names it there is nothing to send, until the offer is another one.
        assert report(tx, old, [{**offer, "fetched": True}]) == {}
        assert deltas_for(tx, [(NAMESPACE, "n")], now=EVENING) == []
        inside = EVENING.replace(day=24, hour=1)
        [push] = deltas_for(tx, [(NAMESPACE, "n")], now=inside)
        assert "notBefore" not in push.delta["offer"][0]
        assert tx.deploys(NAMESPACE, "n") == []

    await store.write(work)


async def test_a_node_that_knows_no_offers_is_sent_nothing(store: Store) -> None:
    def work(tx: Transaction) -> None:
        old, _ = begin(tx)
        assert report(tx, old) == {}
        assert deltas_for(tx, [(NAMESPACE, "n")], now=EVENING) == []

    await store.write(work)


@pytest.mark.parametrize(
    "changes", [{"state": RolloutState.ABORTED}, {"state": RolloutState.SUPERSEDED}]
)
async def test_an_offer_ends_with_its_rollout(store: Store, changes: dict[str, Any]) -> None:
    def work(tx: Transaction) -> None:
        old, new = begin(tx)
        [offer] = report(tx, old, [])["offer"]
        rollout = tx.rollout(NAMESPACE, rollout_name("web", new))
        assert rollout is not None
        tx.put_rollout(replace(rollout, **changes))
        assert report(tx, old, [offer])["offer"] == []
        assert report(tx, old, []) == {}

    await store.write(work)


async def test_both_versions_are_served(store: Store) -> None:
    def work(tx: Transaction) -> None:
        old, new = begin(tx)
        node = existing_node(tx, NAMESPACE, "n")
        infos = [
            Info(InfoKind.APPLICATION, "web", old),
            Info(InfoKind.APPLICATION, "web", new),
        ]
        before, after = deliver(tx, node.id, infos, presign=cannot_sign).content["values"]
        assert (before["version"], after["version"]) == (old, new)
        names = [volume for volume in after["value"]["volumes"] if "config" in volume]
        conf = names[0]["config"]["version"]
        older = before["value"]["volumes"][0]["config"]["version"]
        assert conf != older
        infos = [
            Info(InfoKind.CONFIGURATION, "conf", conf),
            Info(InfoKind.CONFIGURATION, "conf", older),
        ]
        values = deliver(tx, node.id, infos, presign=cannot_sign).content["values"]
        assert [one["version"] for one in values] == [conf, older]
        assert [set(one["value"]["data"].values()) for one in values] == [{"new"}, {"old"}]

    await store.write(work)


async def test_answers_are_kept_until_they_are_withdrawn(store: Store) -> None:
    def work(tx: Transaction) -> None:
        old, _ = begin(tx)
        [offer] = report(tx, old, [])["offer"]
        until = EVENING + timedelta(hours=2)
        deferred = {"answer": "deferred", "until": "2026-11-23T20:00:00Z", "reason": "in use"}
        report(tx, old, [{**offer, **deferred}])
        row = assignment(tx)
        assert (row.accepted, row.deferred, row.reason) == (False, until, "in use")
        report(tx, old, [{**offer, "answer": "accepted"}])
        row = assignment(tx)
        assert (row.accepted, row.deferred, row.reason) == (True, None, "")
        report(tx, old, [offer])
        assert not assignment(tx).accepted
        report(tx, old, [{**offer, "answer": "deferred", "until": "when it rains"}])
        assert assignment(tx).deferred is None
        # An answer for another version is none for this one.
        report(tx, old, [{**offer, "version": "1", "answer": "accepted"}])
        assert not assignment(tx).accepted

    await store.write(work)


async def test_a_node_that_is_to_run_the_version_is_offered_nothing(store: Store) -> None:
    def work(tx: Transaction) -> None:
        old, new = begin(tx)
        [offer] = report(tx, old, [])["offer"]
        row = replace(assignment(tx), state=AssignmentState.ADMITTED, version=new)
        tx.put_assignments(NAMESPACE, [row])
        delta = report(tx, old, [offer])
        assert delta == {"apps": [{"name": "web", "version": new}], "offer": []}
        assert report(tx, new, []) == {}
        update_app(tx, NAMESPACE, "web", SPEC, now=LATER)  # the same: no other version
        assert version(tx) == new

    await store.write(work)


def knowing(tx: Transaction) -> set[str]:
    fleet = tx.fleet_nodes(NAMESPACE, parse_selector("role=gateway"), now=LATER)
    return {node.name for node in fleet if node.knows_offers}


async def test_a_node_knows_offers_as_long_as_its_reports_have_them(store: Store) -> None:
    def work(tx: Transaction) -> None:
        old, _ = begin(tx)
        assert knowing(tx) == set()
        report(tx, old, [])
        assert knowing(tx) == {"n"}
        report(tx, old)
        assert knowing(tx) == set()

    await store.write(work)

"""Reports of stock agents: their sources, and desired properties."""

from datetime import timedelta
from typing import Any

import msgspec

from cloud.core.app import AppSpec, Service
from cloud.core.delta import Delta
from cloud.core.explain import Reason
from cloud.core.node import NodeSpec
from cloud.core.report import Order, read_report
from cloud.operations.apps import create_app, delete_app
from cloud.operations.explain import explain_node
from cloud.operations.nodes import create_node
from cloud.operations.overview import rollout_of_app
from cloud.operations.properties import want_properties
from cloud.operations.reports import deltas_for, receive_report
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import NOW

CORE = {"name": "baetyl-core-x1", "version": "1"}


def describe(tx: Transaction) -> None:
    create_node(tx, "default", "n1", NodeSpec(), now=NOW)
    spec = AppSpec(selector="baetyl-node-name=n1", services=(Service("web", image="nginx:1"),))
    create_app(tx, "default", "web", spec, now=NOW)


def receive(tx: Transaction, content: Any, source: str = "baetyl-core", *, later: int = 0) -> Delta:
    now = NOW + timedelta(seconds=later)
    report = read_report(content, Order())
    return receive_report(tx, "default.n1", report, "json", now=now, source=source).delta


def kept(tx: Transaction) -> Any:
    stored = tx.report("default", "n1")
    return stored and (msgspec.json.decode(stored.report.document), stored.received)


def want(tx: Transaction, **desire: str) -> None:
    want_properties(tx, "default", "n1", lambda _: desire, now=NOW)


async def test_a_report_of_init_keeps_the_time_and_all_but_the_system_apps(store: Store) -> None:
    def story(tx: Transaction) -> None:
        describe(tx)
        assert receive(tx, {"sysapps": [CORE]}, "baetyl-init")
        assert kept(tx) is None
        receive(tx, {"apps": [], "node": {"hostname": "h"}})
        init = {"apps": None, "sysapps": [CORE], "nodeprops": {"a": "of init"}}
        assert [app["name"] for app in receive(tx, init, "baetyl-init", later=50)["apps"]] == [
            "web"
        ]
        document = {"apps": [], "node": {"hostname": "h"}, "sysapps": [CORE]}
        assert kept(tx) == (document, NOW)
        assert tx.properties("default", "n1").report == {}

    await store.write(story)


async def test_the_core_that_does_not_see_itself_keeps_what_was_known_of_it(store: Store) -> None:
    def story(tx: Transaction) -> None:
        describe(tx)
        receive(tx, {"sysapps": [CORE]})
        receive(tx, {"sysapps": []}, later=20)
        assert kept(tx) == ({"sysapps": [CORE]}, NOW + timedelta(seconds=20))
        receive(tx, {"sysapps": []}, "", later=40)
        assert kept(tx)[0] == {"sysapps": []}

    await store.write(story)


async def test_desired_properties_are_sent_until_the_node_reports_them(store: Store) -> None:
    def story(tx: Transaction) -> None:
        describe(tx)
        held = receive(tx, {"apps": []})
        assert "nodeprops" not in held
        assert receive(tx, held) == {}
        want(tx, a="1", b="2")
        everything = {**held, "nodeprops": {"a": "1", "b": "2"}}
        [push] = deltas_for(tx, [("default", "n1")], now=NOW)
        assert push.delta == receive(tx, held) == everything
        assert receive(tx, {**held, "nodeprops": {"a": "1"}}) == everything
        assert receive(tx, everything) == {}
        assert receive(tx, {"apps": [], "nodeprops": {"a": "1", "b": "2"}}) == everything
        assert deltas_for(tx, [("default", "n1")], now=NOW) != []
        receive(tx, everything)
        assert deltas_for(tx, [("default", "n1")], now=NOW) == []

    await store.write(story)


async def test_a_node_receives_the_removal_of_all_desired_properties(store: Store) -> None:
    def story(tx: Transaction) -> None:
        describe(tx)
        held = receive(tx, {"apps": []})
        want(tx, a="1")
        want(tx)
        assert receive(tx, {**held, "nodeprops": {"a": "1"}}) == {**held, "nodeprops": {}}
        assert receive(tx, held) == {}

    await store.write(story)


async def test_a_node_receives_the_removal_of_a_property_it_has_not_applied_yet(
    store: Store,
) -> None:
    def story(tx: Transaction) -> None:
        describe(tx)
        held = receive(tx, {"apps": []})
        assert receive(tx, held) == {}
        selector = "baetyl-node-name=n1"
        more = AppSpec(selector=selector, services=(Service("more", image="nginx:1"),))
        create_app(tx, "default", "more", more, now=NOW)
        assert [app["name"] for app in receive(tx, held)["apps"]] == [
            "more",
            "web",
        ]  # of one moment
        delete_app(tx, "default", "more")
        [push] = deltas_for(tx, [("default", "n1")], now=NOW)
        assert push.delta == held
        assert receive(tx, held) == held
        assert receive(tx, held) == {}
        assert deltas_for(tx, [("default", "n1")], now=NOW) == []

    await store.write(story)


async def test_what_a_node_found_gone_is_an_event_and_garbage_is_none(store: Store) -> None:
    def story(tx: Transaction) -> list[str]:
        describe(tx)
        drift = {"service": "s", "time": "2026-01-02T03:04:05Z"}
        entries: list[dict[str, Any]] = [{"name": "web", "drift": drift}]
        garbage: list[Any] = [1, [], {"service": 1}, None]
        entries += [{"name": "other", "drift": wrong} for wrong in garbage]
        receive(tx, {"appstats": entries}, "")
        numbered = tx.number_events(100, lambda events: events)
        return [one.event.message for one in numbered if one.event.type == "node.drifted"]

    assert await store.write(story) == [
        "an instance of service s of app web was gone; n1 made it again"
    ]


async def test_a_version_that_was_taken_back_is_a_failure_in_words(store: Store) -> None:
    cause = "v1 failed its readiness probe after 30 s (service s); v0 runs again"

    def story(tx: Transaction) -> str:
        describe(tx)
        (app,) = tx.catalog("default").apps.values()
        taken = {"name": "web", "version": app.version}
        stats = {**taken, "status": "Failed", "cause": cause, "running": "0", "failure": {}}
        receive(tx, {"apps": [taken], "appstats": [stats]}, "")
        (explained,) = explain_node(tx, "default", "n1", now=NOW).explanation.apps
        assert explained.reason is Reason.APP_FAILED
        assert (explained.reported, explained.running) == (app.version, "0")
        rollout = rollout_of_app(tx, "default", "web")
        assert (rollout.running, rollout.failed) == (0, 1)
        assert rollout.versions == [("0", 1)]
        return explained.message

    assert await store.write(story) == cause

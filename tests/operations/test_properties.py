"""Reported and desired properties of nodes, and the modes of nodes."""

from typing import Any

import pytest

from cloud.core.core_configuration import CoreConfiguration, Mode
from cloud.core.node import NodeSpec
from cloud.core.properties import COUNT_LIMIT
from cloud.core.report import Order, read_report
from cloud.errors import Invalid, NotFound
from cloud.operations import nodes, properties
from cloud.operations.apps import create_app
from cloud.operations.reports import deltas_for, receive_report
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import LATER, NAMESPACE, NOW, add_nodes, app_spec, stale_after

NODE = f"{NAMESPACE}.n1"


def receive(
    tx: Transaction, content: dict[str, Any], *, sequence: int = 1, later: bool = False
) -> Any:
    report = read_report(content, Order("run", sequence))
    return receive_report(tx, NODE, report, "json", now=LATER if later else NOW).delta


@pytest.fixture(autouse=True)
async def _node(store: Store) -> None:
    await store.write(lambda tx: add_nodes(tx, n1="gateway"))


async def test_reported_properties_stay_until_others_are_reported(store: Store) -> None:
    def work(tx: Transaction) -> None:
        receive(tx, {"nodeprops": {"a": "1", "b": {"deep": 2}}})
        receive(tx, {}, sequence=2, later=True)
        stored = tx.properties(NAMESPACE, "n1")
        assert stored.report == {"a": "1", "b": {"deep": 2}}
        assert stored.report_times == {"a": NOW, "b": NOW}
        receive(tx, {"nodeprops": {"a": "1", "b": "3"}}, sequence=3, later=True)
        stored = tx.properties(NAMESPACE, "n1")
        assert stored.report_times == {"a": NOW, "b": LATER}
        receive(tx, {"nodeprops": {}}, sequence=4)
        assert tx.properties(NAMESPACE, "n1").report == {}

    await store.write(work)


async def test_an_older_report_does_not_take_properties_back(store: Store) -> None:
    def work(tx: Transaction) -> None:
        receive(tx, {"nodeprops": {"a": "2"}}, sequence=2)
        receive(tx, {"nodeprops": {"a": "1"}}, sequence=1)
        assert tx.properties(NAMESPACE, "n1").report == {"a": "2"}

    await store.write(work)


async def test_more_properties_than_a_node_has_are_refused() -> None:
    with pytest.raises(Invalid) as caught:
        read_report({"nodeprops": {str(n): "" for n in range(COUNT_LIMIT + 1)}}, Order())
    assert caught.value.field == "content.nodeprops"


async def test_a_node_receives_an_update_when_its_desired_properties_change(store: Store) -> None:
    def want(tx: Transaction) -> None:
        properties.want_properties(tx, NAMESPACE, "n1", lambda _: {"a": "1"}, now=NOW)

    assert await stale_after(store, want) == {"n1"}
    assert await stale_after(store, want) == set()
    with pytest.raises(NotFound):
        await store.write(lambda tx: properties.want_properties(tx, NAMESPACE, "n2", dict, now=NOW))


async def test_a_node_in_local_mode_receives_no_update_until_it_leaves_that_mode(
    store: Store,
) -> None:
    def work(tx: Transaction) -> None:
        create_app(tx, NAMESPACE, "web", app_spec(), now=NOW)
        node = nodes.existing_node(tx, NAMESPACE, "n1")
        local = properties.set_mode(tx, node, Mode.LOCAL, now=LATER)
        assert properties.set_mode(tx, local, Mode.LOCAL, now=LATER) is local
        assert receive(tx, {"apps": []}) == {}
        assert tx.report(NAMESPACE, "n1") is not None
        assert deltas_for(tx, [(NAMESPACE, "n1")], now=NOW) == []
        tx.take_pending(100)
        properties.set_mode(tx, local, Mode.CLOUD, now=LATER)
        assert tx.take_pending(100) == [(NAMESPACE, "n1")]
        assert len(deltas_for(tx, [(NAMESPACE, "n1")], now=NOW)) == 1
        assert receive(tx, {"apps": []}, sequence=2)["apps"][0]["name"] == "web"

    await store.write(work)


async def test_describing_a_node_anew_keeps_how_its_agent_works(store: Store) -> None:
    core = CoreConfiguration(frequency=60)

    def work(tx: Transaction) -> None:
        node = nodes.existing_node(tx, NAMESPACE, "n1")
        properties.configure_core(tx, node, core, now=NOW)
        properties.want_properties(tx, NAMESPACE, "n1", lambda _: {"a": "1"}, now=NOW)
        spec = NodeSpec(description="another")
        after = nodes.update_node(tx, NAMESPACE, "n1", spec, now=LATER).node
        assert after.core == core
        assert tx.node(NAMESPACE, "n1") == after
        assert tx.properties(NAMESPACE, "n1").desire == {"a": "1"}

    await store.write(work)

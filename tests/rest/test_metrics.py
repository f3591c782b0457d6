"""What `/metrics` tells of the database."""

from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families

from cloud.core.report import Order, read_report
from cloud.core.sending import Delivery
from cloud.operations.reports import receive_report
from cloud.rest.metrics import REMEMBERED
from cloud.store.transaction import Transaction
from tests.rest.conftest import CALLBACK, CONFIG, NODE, World


async def samples(world: World) -> dict[tuple[str, ...], float]:
    response = await world.client.send("GET", "/metrics")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def states(found: dict[tuple[str, ...], float]) -> dict[str, float]:
    return {key[1]: count for key, count in found.items() if key[0] == "edgesync_nodes"}


async def test_nodes_are_counted_by_state_now_and_then(world: World) -> None:
    for name in ("a", "b", "c"):
        await world.client.call("POST", "/v1/nodes", {**NODE, "name": name})
    await world.client.within("other").call("POST", "/v1/nodes", {**NODE, "name": "d"})
    for node, age in (("default.a", 0), ("default.b", 61), ("other.d", 121)):
        now, report = world.clock.now - timedelta(seconds=age), read_report({}, Order())

        def receive(tx: Transaction, node: str = node) -> None:
            receive_report(tx, node, report, "json", now=now)  # noqa: B023

        await world.store.write(receive)
    counts = {"online": 1, "stale": 1, "offline": 1, "never": 1}
    assert states(await samples(world)) == counts
    world.clock.advance(REMEMBERED - 1)
    await world.client.call("DELETE", "/v1/nodes/c")
    assert states(await samples(world)) == counts
    world.clock.advance(1)
    assert states(await samples(world)) == {**counts, "never": 0}


async def test_what_waits_is_counted_and_the_log_is_as_long_as_it_ever_was(world: World) -> None:
    await world.client.call("POST", "/v1/nodes", NODE)
    await world.client.call("POST", "/v1/callback", CALLBACK)
    now = world.clock.now

    def wait(tx: Transaction) -> None:
        tx.put_delivery(Delivery("1", "default", "crm", "{}", now, now))
        tx.put_delivery(Delivery("2", "default", "crm", "{}", now, None))

    await world.store.write(wait)
    found = await samples(world)
    assert found["edgesync_push_queue_nodes",] == 1
    assert found["edgesync_callback_queue_deliveries",] == 1
    assert found["edgesync_notification_queue_messages",] == 0
    entries = found["edgesync_audit_entries_total",]
    assert entries >= 2
    await world.store.write(lambda tx: tx.take_pending(10))
    await world.client.call("POST", "/v1/configs", CONFIG)
    found = await samples(world)
    assert found["edgesync_push_queue_nodes",] == 0
    assert found["edgesync_audit_entries_total",] == entries + 1

"""The updates that nodes receive without a report."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.messages import Encoding, Message
from broker.topics import Channel
from cloud.core.app import AppSpec, Service
from cloud.core.listing import ListOptions
from cloud.core.node import NodeSpec
from cloud.http.metrics import Metrics
from cloud.jobs.pusher import BACKLOG, GROUP, Pusher
from cloud.link.exchange import Exchange
from cloud.link.inbox import NodeInbox
from cloud.link.measures import Measures
from cloud.operations.apps import update_app
from cloud.operations.nodes import create_node
from cloud.store.transaction import NotifyingStore, Transaction
from tests.broker.node import DEADLINE, until
from tests.builders import open_store
from tests.link.conftest import NOW, FakeHub, describe


def update(image: str) -> Callable[[Transaction], object]:
    spec = AppSpec(selector="role=gateway", services=(Service("web", image=image),))
    return lambda tx: update_app(tx, "default", "web", spec, now=NOW)


async def report(hub: FakeHub, store: NotifyingStore, encoding: Encoding) -> None:
    await store.write(describe)
    inbox = NodeInbox(hub, Exchange(store, lambda: NOW))
    message = Message("report", {"apps": []}, {"seq": 1})
    await inbox.handle([hub.inbound(Channel.REPORT, message, encoding=encoding)])
    hub.pushed.clear()


async def push_all(pusher: Pusher) -> None:
    while await pusher.push_some():
        pass


async def test_ten_changes_are_one_push_of_the_last_version(
    hub: FakeHub, store: NotifyingStore
) -> None:
    await report(hub, store, Encoding.MSGPACK)
    pusher = Pusher(hub, store, lambda: NOW)
    await push_all(pusher)
    hub.pushed.clear()

    for number in range(10):
        await store.write(update(f"nginx:{number}"))
    await store.wait_for_pending()
    await push_all(pusher)
    [(node_id, channel, message, encoding)] = hub.pushed
    app = await store.read(lambda tx: tx.app("default", "web"))
    assert app is not None
    assert (node_id, channel, encoding) == ("default.n1", Channel.DELTA, Encoding.MSGPACK)
    assert message.kind == "report"
    assert "seq" not in message.meta
    assert message.content["apps"] == [{"name": "web", "version": app.version}]


async def test_nodes_that_are_away_or_never_reported_are_left_to_their_next_report(
    hub: FakeHub, store: NotifyingStore
) -> None:
    await store.write(describe)
    metrics = Metrics()
    pusher = Pusher(hub, store, lambda: NOW, measures=Measures(metrics))
    await push_all(pusher)
    assert hub.pushed == []
    await report_again(hub, store)
    hub.connected.clear()
    await push_all(pusher)
    assert hub.pushed == []
    count = metrics.registry.get_sample_value
    assert count("edgesync_pushes_total", {"outcome": "not_connected"}) == 1
    assert count("edgesync_pushes_total", {"outcome": "sent"}) == 0


async def test_a_node_waits_for_its_report_once_it_was_sent_something_or_is_away(
    hub: FakeHub, store: NotifyingStore
) -> None:
    async def converged() -> list[str]:
        options = ListOptions(field_selector="status.deploy=converged")
        page = await store.read(lambda tx: tx.list_nodes("default", options))
        return [node.name for node in page.items]

    await store.write(describe)
    pusher = Pusher(hub, store, lambda: NOW)
    for seq, connected in ((1, True), (2, False)):
        apps = await wanted(store)
        await receive(hub, store, apps, seq, "default.n1")
        await push_all(pusher)
        assert await converged() == ["n1"]
        if not connected:
            hub.connected.clear()
        await store.write(update(f"nginx:{seq}"))
        await push_all(pusher)
        assert await converged() == []


async def report_again(hub: FakeHub, store: NotifyingStore) -> None:
    inbox = NodeInbox(hub, Exchange(store, lambda: NOW))
    await inbox.handle([hub.inbound(Channel.REPORT, Message("report", {"apps": []}, {"seq": 1}))])
    hub.pushed.clear()

    await store.write(update("nginx:2"))


def wanted(store: NotifyingStore) -> "asyncio.Future[list[dict[str, str]]]":
    """What n1 should run now, as a delta has it."""

    def read(tx: Transaction) -> list[dict[str, str]]:
        app = tx.app("default", "web")
        assert app is not None
        return [{"name": "web", "version": app.version}]

    return asyncio.ensure_future(store.read(read))


async def receive(
    hub: FakeHub, store: NotifyingStore, apps: list[dict[str, str]], seq: int, node: str
) -> None:
    """Report, and forget what went before the answer."""
    hub.pushed.clear()
    message = Message("report", {"apps": apps}, {"seq": seq})
    inbox = NodeInbox(hub, Exchange(store, lambda: NOW))
    await inbox.handle([hub.inbound(Channel.REPORT, message, node_id=node)])


async def test_only_nodes_that_should_change_receive_an_update(
    hub: FakeHub, store: NotifyingStore
) -> None:
    await store.write(describe)
    for name, role in (("n2", "gateway"), ("n3", "camera")):
        spec = NodeSpec(labels={"role": role})
        await store.write(lambda tx, n=name, s=spec: create_node(tx, "default", n, s, now=NOW))  # type: ignore[misc]
    hub.connected = {"default.n1", "default.n2", "default.n3"}
    for node in sorted(hub.connected):
        await receive(hub, store, [], 1, node)
    await push_all(pusher := Pusher(hub, store, lambda: NOW))

    await store.write(update("nginx:2"))
    await receive(hub, store, await wanted(store), 2, "default.n2")  # it was faster than the push
    hub.pushed.clear()
    await push_all(pusher)
    assert [node for node, *_ in hub.pushed] == ["default.n1"]


async def test_a_node_that_was_offline_receives_one_update_when_it_returns(
    hub: FakeHub, store: NotifyingStore
) -> None:
    await report(hub, store, Encoding.JSON)
    pusher = Pusher(hub, store, lambda: NOW)
    hub.connected.clear()
    for number in range(3):
        await store.write(update(f"nginx:{number}"))
        await push_all(pusher)
    assert hub.pushed == []

    hub.connected.add("default.n1")
    await receive(hub, store, [], 2, "default.n1")
    await push_all(pusher)
    assert [message.content["apps"] for _, _, message, _ in hub.pushed] == [await wanted(store)]

    await receive(hub, store, await wanted(store), 3, "default.n1")
    await push_all(pusher)
    assert [message.content for _, _, message, _ in hub.pushed] == [{}]


@pytest.mark.parametrize("loses_it", [False, True], ids=["no broker", "broker lost meanwhile"])
async def test_who_cannot_be_reached_now_stays_on_the_list(
    hub: FakeHub, store: NotifyingStore, *, loses_it: bool
) -> None:
    await report(hub, store, Encoding.JSON)
    pusher = Pusher(hub, store, lambda: NOW)
    hub.is_attached, hub.losing = loses_it, loses_it
    await store.write(update("nginx:2"))
    await push_all(pusher)
    assert (hub.pushed, hub.is_attached) == ([], False)

    hub.is_attached = True
    await push_all(pusher)
    assert [message.content["apps"] for _, _, message, _ in hub.pushed] == [await wanted(store)]


async def test_after_a_restart_pending_nodes_receive_updates_as_soon_as_they_are_reachable(
    hub: FakeHub, tmp_path: Path
) -> None:
    async with open_store(tmp_path) as store:
        await report(hub, store, Encoding.JSON)
        await store.write(update("nginx:2"))
    hub.is_attached = False
    async with open_store(tmp_path) as store, asyncio.timeout(DEADLINE):
        pusher = asyncio.create_task(Pusher(hub, store, lambda: NOW).run())
        await store.read(lambda tx: tx.node("default", "n1"))
        assert hub.pushed == []
        hub.is_attached = True
        await until(lambda: len(hub.pushed) == 1)
        assert hub.pushed[0][2].content["apps"] == await wanted(store)
        pusher.cancel()


async def test_updates_wait_a_moment_for_messages_of_nodes_and_then_go_on(
    hub: FakeHub, store: NotifyingStore
) -> None:
    metrics = Metrics()

    def taken() -> float | None:
        sample = {"outcome": "not_connected"}
        return metrics.registry.get_sample_value("edgesync_pushes_total", sample)

    def create(tx: Transaction) -> None:
        describe(tx)
        for number in range(GROUP + 1):
            spec = NodeSpec(labels={"role": "gateway"})
            create_node(tx, "default", f"more-{number}", spec, now=NOW)

    seen = []

    def backlog() -> int:
        seen.append(taken())
        return BACKLOG + 1

    await store.write(create)
    hub.connected.clear()
    measures = Measures(metrics)
    pusher = Pusher(hub, store, lambda: NOW, measures=measures, backlog=backlog)
    running = asyncio.create_task(pusher.run())
    await until(lambda: taken() == GROUP + 2)
    running.cancel()
    assert seen[:2] == [GROUP, GROUP]

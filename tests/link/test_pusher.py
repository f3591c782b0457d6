"""What nodes are told without having asked."""

from collections.abc import Callable

from broker.messages import Encoding, Message
from broker.topics import Channel
from cloud.core.app import AppSpec, Service
from cloud.http.metrics import Metrics
from cloud.link.exchange import Exchange
from cloud.link.inbox import Inbox
from cloud.link.measures import Measures
from cloud.link.pusher import Pusher
from cloud.operations.apps import update_app
from cloud.store.interface import Store, Transaction
from tests.link.conftest import NOW, FakeHub, describe


def update(image: str) -> Callable[[Transaction], object]:
    spec = AppSpec(selector="role=gateway", services=(Service("web", image=image),))
    return lambda tx: update_app(tx, "default", "web", spec, now=NOW)


async def report(hub: FakeHub, store: Store, encoding: Encoding) -> None:
    await store.write(describe)
    inbox = Inbox(hub, Exchange(store, lambda: NOW))
    message = Message("report", {"apps": []}, {"seq": 1})
    await inbox.handle([hub.inbound(Channel.REPORT, message, encoding=encoding)])
    hub.pushed.clear()


async def push_all(pusher: Pusher) -> None:
    while await pusher.push_some():
        pass


async def test_ten_changes_are_one_push_of_the_last_version(hub: FakeHub, store: Store) -> None:
    await report(hub, store, Encoding.MSGPACK)
    pusher = Pusher(hub, store, lambda: NOW)
    await push_all(pusher)
    hub.pushed.clear()

    for number in range(10):
        await store.write(update(f"nginx:{number}"))
    await store.wait_for_stale()
    await push_all(pusher)
    [(node_id, channel, message, encoding)] = hub.pushed
    app = await store.read(lambda tx: tx.app("default", "web"))
    assert app is not None
    assert (node_id, channel, encoding) == ("default.n1", Channel.DELTA, Encoding.MSGPACK)
    assert message.kind == "report"
    assert "seq" not in message.meta
    assert message.content["apps"] == [{"name": "web", "version": app.version}]


async def test_nodes_that_are_away_or_never_reported_are_left_to_their_next_report(
    hub: FakeHub, store: Store
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


async def report_again(hub: FakeHub, store: Store) -> None:
    inbox = Inbox(hub, Exchange(store, lambda: NOW))
    await inbox.handle([hub.inbound(Channel.REPORT, Message("report", {"apps": []}, {"seq": 1}))])
    hub.pushed.clear()

    await store.write(update("nginx:2"))

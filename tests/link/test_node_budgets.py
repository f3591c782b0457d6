"""What one node sends keeps no other from being served, on a hub that cannot slow it down."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from broker.hub import Inbound
from broker.messages import Encoding, Message
from broker.node_budgets import BYTES_SECONDS, MESSAGES_SECONDS
from broker.topics import Channel
from cloud.core.node import NodeSpec
from cloud.http.metrics import Metrics
from cloud.link.exchange import LONG_BYTES, Exchange
from cloud.link.inbox import NodeInbox
from cloud.link.measures import Measures
from cloud.link.node_throttle import NodeThrottle
from cloud.operations.nodes import create_node
from cloud.store.transaction import Store, Transaction
from tests.deadlines import UNIT
from tests.link.conftest import NODE, NOW, FakeHub, describe

OTHER = "default.n2"


@dataclass
class QueueHub(FakeHub):
    """A hub that gives out what `arrive` puts in."""

    queue: asyncio.Queue[Inbound] = field(default_factory=asyncio.Queue)
    sent: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, limit: int) -> Sequence[Inbound]:
        return [await self.queue.get()]

    def arrive(
        self, node_id: str, message: Message | bytes, channel: Channel = Channel.REPORT
    ) -> None:
        self.queue.put_nowait(self.inbound(channel, message, node_id=node_id))

    def push(self, node_id: str, channel: Channel, payload: bytes) -> bool:
        pushed = super().push(node_id, channel, payload)
        self.sent.set()
        return pushed

    async def answers(self, count: int) -> list[tuple[str, str, Any]]:
        """Node, kind and sequence number of the first *count* answers."""
        async with asyncio.timeout(20 * UNIT):
            while len(self.pushed) < count:
                self.sent.clear()
                await self.sent.wait()
        return [(node, one.kind, one.meta.get("seq")) for node, _, one, _ in self.pushed]


class GatedStore:
    """The first write waits for `go`, before its work or once it is committed."""

    def __init__(self, store: Store, *, is_committed: bool = False) -> None:
        self._store = store
        self._is_committed = is_committed
        self.go = asyncio.Event()
        self.blocked = asyncio.Event()
        self._is_first = True

    async def write(self, work: Callable[[Transaction], Any]) -> Any:
        if not self._is_first:
            return await self._store.write(work)
        self._is_first = False
        if not self._is_committed:
            await self._wait()
            return await self._store.write(work)
        result = await self._store.write(work)
        await self._wait()
        return result

    async def _wait(self) -> None:
        self.blocked.set()
        await self.go.wait()

    write_concurrent = write

    async def read(self, work: Callable[[Transaction], Any]) -> Any:
        return await self._store.read(work)

    read_short = read


def report(sequence: int, *, size: int = 10) -> Message:
    content = {"apps": [], "node": {"hostname": "h" * size}}
    return Message("report", content, {"seq": sequence, "run": "r"})


@pytest.fixture
async def described(store: Store) -> Store:
    await store.write(describe)
    await store.write(lambda tx: create_node(tx, "default", "n2", NodeSpec(), now=NOW))
    return store


@contextlib.asynccontextmanager
async def running(inbox: NodeInbox) -> AsyncIterator[None]:
    task = asyncio.create_task(inbox.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_others_are_answered_while_a_long_report_is_carried_out(described: Store) -> None:
    hub, gated = QueueHub(connected={NODE, OTHER}), GatedStore(described)
    async with running(NodeInbox(hub, Exchange(gated, lambda: NOW))):
        hub.arrive(NODE, report(1, size=LONG_BYTES))
        async with asyncio.timeout(20 * UNIT):
            await gated.blocked.wait()
        hub.arrive(NODE, report(2))
        hub.arrive(OTHER, report(7))
        assert await hub.answers(1) == [(OTHER, "report", 7)]
        gated.go.set()
        # Those of one node stay in order.
        assert (await hub.answers(3))[1:] == [(NODE, "report", 1), (NODE, "report", 2)]
        hub.arrive(NODE, report(3))
        assert (await hub.answers(4))[3:] == [(NODE, "report", 3)]


@pytest.mark.parametrize("groups", [1, 2])
async def test_a_group_may_be_read_while_the_one_before_is_stored(
    described: Store, groups: int
) -> None:
    hub, gated = QueueHub(connected={NODE}), GatedStore(described)
    inbox = NodeInbox(hub, Exchange(gated, lambda: NOW), groups=groups)
    numbers = range(1, 6)
    async with running(inbox):
        for number in numbers:
            hub.arrive(NODE, report(number))
        async with asyncio.timeout(20 * UNIT):
            await gated.blocked.wait()
            while hub.queue.qsize() != 5 - groups:  # noqa: ASYNC110
                await asyncio.sleep(0)  # a turn of the loop
        assert not hub.acked
        assert not hub.pushed
        gated.go.set()
        assert await hub.answers(5) == [(NODE, "report", number) for number in numbers]
    assert len(hub.acked) == 5


async def test_the_next_group_is_read_while_one_is_committed(described: Store) -> None:
    hub, gated = QueueHub(connected={NODE}), GatedStore(described, is_committed=True)
    numbers = range(1, 6)
    async with running(NodeInbox(hub, Exchange(gated, lambda: NOW))):
        for number in numbers:
            hub.arrive(NODE, report(number))
        async with asyncio.timeout(20 * UNIT):
            await gated.blocked.wait()
            while hub.queue.qsize() != 3:  # noqa: ASYNC110
                await asyncio.sleep(0)  # a turn of the loop
        assert not hub.acked
        assert not hub.pushed
        gated.go.set()
        assert await hub.answers(5) == [(NODE, "report", number) for number in numbers]
    assert len(hub.acked) == 5


async def test_a_group_of_other_nodes_may_be_stored_meanwhile(described: Store) -> None:
    hub, gated = QueueHub(connected={NODE, OTHER}), GatedStore(described)
    async with running(NodeInbox(hub, Exchange(gated, lambda: NOW), groups=2)):
        hub.arrive(NODE, report(1))
        hub.arrive(OTHER, report(7))
        hub.arrive(NODE, report(2))
        assert await hub.answers(1) == [(OTHER, "report", 7)]
        gated.go.set()
        # Those of one node stay in order.
        assert (await hub.answers(3))[1:] == [(NODE, "report", 1), (NODE, "report", 2)]


def limited(metrics: Metrics) -> float | None:
    labels = {"bound": "node_budget"}
    return metrics.registry.get_sample_value("edgesync_limits_refusals_total", labels)


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("budget", ["messages", "bytes"])
async def test_a_node_beyond_its_budget_is_refused_and_others_are_not(
    described: Store, budget: str, encoding: Encoding
) -> None:
    hub, metrics = QueueHub(connected={NODE, OTHER}), Metrics()
    most = MESSAGES_SECONDS if budget == "messages" else 1
    throttle = NodeThrottle(1, 0) if budget == "messages" else NodeThrottle(0, 1000)
    size = 10 if budget == "messages" else 1000 * BYTES_SECONDS
    inbox = NodeInbox(
        hub, Exchange(described, lambda: NOW), throttle=throttle, measures=Measures(metrics)
    )
    async with running(inbox):
        for sequence in range(most + 5):
            inbound = hub.inbound(
                Channel.REPORT, report(sequence, size=size), node_id=NODE, encoding=encoding
            )
            hub.queue.put_nowait(inbound)
        hub.arrive(OTHER, report(99))
        answers = await hub.answers(most + 2)
    assert answers.count((OTHER, "report", 99)) == 1
    assert [kind for node, kind, _ in answers if node == NODE].count("report") == most
    [(channel, error, used)] = [
        (channel, one, used) for _, channel, one, used in hub.pushed if one.kind == "error"
    ]
    assert (channel, used, error.meta["code"]) == (Channel.DELTA, encoding, "TooManyRequests")
    assert "budget" in error.content
    assert "seconds" in error.content
    assert len(hub.acked) == most + 6  # the broker forgets what is refused
    assert limited(metrics) == 5


async def test_a_refused_desire_is_answered_on_the_channel_of_its_answer(
    described: Store,
) -> None:
    hub = QueueHub(connected={NODE})
    inbox = NodeInbox(hub, Exchange(described, lambda: NOW), throttle=NodeThrottle(0, 1))
    async with running(inbox):
        hub.arrive(NODE, report(1))
        hub.arrive(NODE, Message("desire", {"infos": []}), Channel.DESIRE)
        await hub.answers(2)
    [channel] = [channel for _, channel, one, _ in hub.pushed if one.kind == "error"]
    assert channel is Channel.DESIRE_RESPONSE


async def test_what_cannot_be_read_is_refused_as_well(described: Store) -> None:
    hub, metrics = QueueHub(connected={NODE, OTHER}), Metrics()
    inbox = NodeInbox(
        hub,
        Exchange(described, lambda: NOW),
        throttle=NodeThrottle(0, 1),
        measures=Measures(metrics),
    )
    async with running(inbox):
        for _ in range(3):
            hub.arrive(NODE, b"\x00garbage")
        hub.arrive(OTHER, report(99))
        await hub.answers(3)
    assert limited(metrics) == 2


async def test_a_node_that_goes_on_with_twice_its_budget_is_disconnected(described: Store) -> None:
    hub = QueueHub(connected={NODE, OTHER})
    inbox = NodeInbox(hub, Exchange(described, lambda: NOW), throttle=NodeThrottle(1, 0))
    async with running(inbox):
        for sequence in range(2 * MESSAGES_SECONDS):
            hub.arrive(NODE, report(sequence))
        hub.arrive(OTHER, report(98))
        await hub.answers(MESSAGES_SECONDS + 2)
        assert hub.connected == {NODE, OTHER}
        hub.arrive(NODE, report(99))
        hub.arrive(OTHER, report(99))
        await hub.answers(MESSAGES_SECONDS + 3)
        assert hub.connected == {OTHER}

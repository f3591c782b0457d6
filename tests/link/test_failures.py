"""A defect of the server at one message is that message's: loops go on, and others are answered."""

import asyncio
import logging
from functools import partial
from typing import Any

import httpx
import pytest

from broker.messages import Encoding, Message
from broker.topics import Channel
from cloud.core.audit import ADMINISTRATOR
from cloud.core.commands import CommandDraft, CommandKind
from cloud.http.metrics import Metrics
from cloud.http.refusals import RefusalLog
from cloud.jobs.command_sender import CommandSender
from cloud.jobs.pusher import Pusher
from cloud.link.exchange import Exchange, NodeRequest
from cloud.link.inbox import NodeInbox
from cloud.link.measures import Measures
from cloud.link.sync import sync_app
from cloud.operations.commands import give_command
from cloud.operations.nodes import create_node
from cloud.store.transaction import NotifyingStore, Transaction
from tests.broker.authority import HubAuthority
from tests.deadlines import UNIT
from tests.link.conftest import NODE, NOW, FakeHub, admit, describe
from tests.serving import serving

REPORT = Message("report", {"apps": [], "node": {}}, {"seq": 1, "run": "r"})
RENEW = Message("renew", {"csr": "x"}, {"x-baetyl-request-id": "q"})


class Defect(Exception):
    """What no code expects."""


class FailingHub(FakeHub):
    """Fails whenever something is to be sent to *broken*."""

    broken = "default.broken"

    def push(self, node_id: str, channel: Channel, payload: bytes) -> bool:
        if node_id == self.broken:
            raise Defect
        return super().push(node_id, channel, payload)


@pytest.fixture
def hub() -> FakeHub:
    return FailingHub(connected={"default.n1", "default.broken"})


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def failures(metrics: Metrics, place: str) -> float | None:
    return metrics.registry.get_sample_value("edgesync_link_failures_total", {"place": place})


def add_broken(tx: Transaction) -> None:
    describe(tx)
    create_node(tx, "default", "broken", node_like_n1(tx), now=NOW)


def node_like_n1(tx: Transaction) -> Any:
    found = tx.node("default", "n1")
    assert found is not None
    return found.spec


def renew_raises(node_id: str, content: Any, now: Any, *, meta: Any) -> Any:
    """Reading fails: the message is looked at before the transaction."""
    raise Defect


def work_raises(node_id: str, content: Any, now: Any, *, meta: Any) -> Any:
    def work(_tx: Transaction) -> Message:
        raise Defect

    return work


def answer_cannot_be_encoded(node_id: str, content: Any, now: Any, *, meta: Any) -> Any:
    return lambda _tx: Message("renew", object(), meta)


@pytest.mark.parametrize("renew", [renew_raises, work_raises, answer_cannot_be_encoded])
async def test_what_fails_in_reading_carrying_out_or_encoding_is_one_message(
    hub: FakeHub, store: NotifyingStore, caplog: pytest.LogCaptureFixture, renew: Any
) -> None:
    await store.write(describe)
    inbox = NodeInbox(hub, Exchange(store, lambda: NOW, renew=renew))
    group = [
        hub.inbound(Channel.REPORT, REPORT),
        hub.inbound(Channel.RENEW, RENEW),
        hub.inbound(Channel.REPORT, REPORT),
    ]
    with caplog.at_level(logging.ERROR):
        await inbox.handle(group)
    assert len(hub.acked) == 3
    kinds = sorted((channel.value, message.kind) for _, channel, message, _ in hub.pushed)
    assert kinds == [("delta", "report"), ("delta", "report"), ("renew-response", "error")]
    [failed] = [message for _, _, message, _ in hub.pushed if message.kind == "error"]
    assert failed.meta["code"] == "UnknownError"
    assert len([record for record in caplog.records if record.exc_info]) == 1


async def test_a_group_is_done_again_without_the_one_that_fails(
    hub: FakeHub, store: NotifyingStore
) -> None:
    await store.write(describe)
    exchange = Exchange(store, lambda: NOW)
    carried_out = 0

    def count(_tx: Transaction) -> None:
        nonlocal carried_out
        carried_out += 1

    def fail(_tx: Transaction) -> None:
        raise Defect

    # Each shows something else: what repeats another is not carried out apart.
    reports = [
        Message("report", {"apps": [{"name": "web", "version": str(number)}]})
        for number in range(20)
    ]
    group = [
        exchange.read("default.n1", Channel.REPORT, report, Encoding.JSON, NOW)
        for report in reports
    ]
    for number, question in enumerate(group):
        question.require(fail if number == 10 else count)
    await exchange.carry_out(group)
    assert carried_out == 10 + 19  # not one transaction for each
    assert [question.is_done for question in group] == [True] * 20
    assert [isinstance(question.outcome, Message) for question in group].count(False) == 1


async def test_what_fails_in_sending_is_one_message(
    hub: FakeHub, store: NotifyingStore, metrics: Metrics
) -> None:
    await store.write(add_broken)
    heard: list[str] = []

    def on_heard(node_id: str) -> None:
        heard.append(node_id)
        raise Defect

    inbox = NodeInbox(
        hub, Exchange(store, lambda: NOW), on_heard=on_heard, measures=Measures(metrics)
    )
    broken = hub.inbound(Channel.REPORT, REPORT, node_id="default.broken")
    await inbox.handle([broken, hub.inbound(Channel.REPORT, REPORT)])
    assert len(hub.acked) == 2
    assert [node for node, *_ in hub.pushed] == ["default.n1"]
    assert heard == ["default.broken", "default.n1"]
    assert failures(metrics, "inbox") == 3


async def test_what_follows_a_settled_message_may_fail(
    hub: FakeHub, store: NotifyingStore, metrics: Metrics
) -> None:
    await store.write(describe)

    def on_answered(node_id: str) -> None:
        raise Defect

    measures = Measures(metrics)
    exchange = Exchange(store, lambda: NOW, on_answered=on_answered, measures=measures)
    inbox = NodeInbox(hub, exchange, measures=measures)
    answer = Message("command", {"id": "none", "state": "done"})
    await inbox.handle(
        [hub.inbound(Channel.COMMAND_RESPONSE, answer), hub.inbound(Channel.REPORT, REPORT)]
    )
    assert len(hub.acked) == 2
    assert hub.pushed[-1][2].kind == "report"


async def test_the_pusher_leaves_out_whom_it_fails_at(
    hub: FakeHub, store: NotifyingStore, metrics: Metrics
) -> None:
    await store.write(add_broken)
    inbox = NodeInbox(hub, Exchange(store, lambda: NOW))
    await inbox.handle(
        [
            hub.inbound(Channel.REPORT, REPORT, node_id=node)
            for node in ("default.broken", "default.n1")
        ]
    )
    hub.pushed.clear()
    await store.write(lambda tx: tx.mark_pending(list(tx.nodes("default"))))
    pusher = Pusher(hub, store, lambda: NOW, measures=Measures(metrics))
    while await pusher.push_some():
        pass
    assert [node for node, *_ in hub.pushed] == ["default.n1"]
    assert failures(metrics, "pusher") == 1


class FailingOnce:
    """A store that fails at the first work of each of its ways."""

    def __init__(self, store: NotifyingStore) -> None:
        self.store = store
        self.outcomes = store.outcomes
        self.left = {"read", "write_concurrent"}
        self.passed: set[str] = set()
        self.went_on = asyncio.Event()

    async def _do(self, name: str, work: Any) -> Any:
        if name in self.left:
            self.left.discard(name)
            raise Defect
        self.passed.add(name)
        if len(self.passed) == 2:
            self.went_on.set()
        return await getattr(self.store, name)(work)

    async def read(self, work: Any) -> Any:
        return await self._do("read", work)

    read_short = read

    async def write_concurrent(self, work: Any) -> Any:
        return await self._do("write_concurrent", work)

    async def write(self, work: Any) -> Any:
        return await self.store.write(work)

    def revision(self) -> None:
        return None

    async def wait_for_pending(self) -> None:
        await asyncio.sleep(0)

    async def wait_for_events(self) -> None:
        await asyncio.sleep(0)

    async def wait_for_rollouts(self) -> None:
        await asyncio.sleep(0)


async def test_a_pusher_and_a_sender_go_on_when_the_store_fails(
    hub: FakeHub, store: NotifyingStore, metrics: Metrics
) -> None:
    await store.write(describe)
    failing = FailingOnce(store)
    measures = Measures(metrics)
    sender = CommandSender(hub, failing, lambda: NOW, measures)
    pusher = Pusher(hub, failing, lambda: NOW, measures=measures)
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(20 * UNIT):
        running = [tasks.create_task(sender.run()), tasks.create_task(pusher.run())]
        sender.wake()
        await failing.went_on.wait()
        for task in running:
            assert not task.done()
            task.cancel()
    assert failures(metrics, "pusher") == 1
    assert failures(metrics, "commands") == 1


def ask_for_logs(tx: Transaction, name: str) -> None:
    draft = CommandDraft(CommandKind.LOGS)
    by = ADMINISTRATOR
    give_command(tx, "default", name, draft, new_id=lambda: f"of-{name}", actor=by, now=NOW)


class FailingExchange(Exchange):
    """Fails at the first message it is to read, at the next it is to carry out, then works."""

    left = 2

    def read(self, *arguments: Any) -> NodeRequest:
        self.left -= 1
        if self.left == 1:
            raise Defect
        question = super().read(*arguments)
        if self.left == 0:
            question.require(_fail)
        return question


def _fail(_tx: Transaction) -> None:
    raise Defect


async def test_over_https_what_fails_is_one_request(
    authority: HubAuthority, store: NotifyingStore
) -> None:
    await store.write(describe)
    await store.write(lambda tx: admit(tx, authority))
    exchange = FailingExchange(store, lambda: NOW)
    app = sync_app(exchange, new_id=lambda: "id", refusals=RefusalLog(store, lambda: 0.0))
    async with (
        serving(app, authority.server_context()) as url,
        httpx.AsyncClient(base_url=url, verify=authority.client_context(NODE)) as client,
    ):
        statuses = [
            (await client.post("/v1/sync/report", json={"apps": []})).status_code for _ in range(3)
        ]
    assert statuses == [500, 500, 200]


async def test_a_command_that_cannot_be_sent_holds_no_other_up(
    hub: FakeHub, store: NotifyingStore, metrics: Metrics
) -> None:
    await store.write(add_broken)
    for name in ("broken", "n1"):
        await store.write(partial(ask_for_logs, name=name))
    sender = CommandSender(hub, store, lambda: NOW, Measures(metrics))
    await sender.send_waiting()
    assert [node for node, *_ in hub.pushed] == [NODE]
    assert failures(metrics, "commands") == 1

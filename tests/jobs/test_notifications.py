"""From an event to a message at a real receiver: SMTP over STARTTLS, and HTTP."""

import asyncio
import contextlib
import functools
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud.core.channel import ChannelSpec
from cloud.core.event import FAILED, GIVEN_UP, Event, EventFilter
from cloud.core.node import NodeSpec
from cloud.core.notification import sample_notification
from cloud.core.notification_rule import NotificationRuleSpec
from cloud.core.sending import LIFETIME, WAITING_LIMIT, Delivery, Queue, SendState
from cloud.http.metrics import LimitRefusals
from cloud.jobs.channel_client import open_channel_client
from cloud.jobs.delivery_sender import DeliverySender
from cloud.jobs.notification_timer import DROPPED, NotificationTimer
from cloud.operations.channels import (
    CHANNEL_OUTBOX,
    FINISHED_KEPT,
    channel_deliveries,
    create_channel,
    existing_channel,
)
from cloud.operations.events import number_events
from cloud.operations.nodes import create_node
from cloud.operations.notifications import create_rule, update_rule
from cloud.store.transaction import Store, Transaction
from tests.conftest import open_on
from tests.deadlines import UNIT
from tests.jobs.mail_server import ACCEPTED, PASSWORD, USER, MailServer, mail_server
from tests.jobs.receiver import Receiver, receiving
from tests.postgres import NEEDS_POSTGRES, Postgres

DEADLINE = 20 * UNIT
PUBLIC = "https://edgesync.example.com"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CAUSE = "web: image nginx:9 not found"


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    with mail_server(tmp_path_factory.mktemp("mail") / "ca") as there:
        yield there


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as there:
        yield there


class NotificationWorld:
    """Channels, rules and their jobs on one store; *ahead* is added to the time."""

    def __init__(self, store: Store, mail: MailServer, server: str = "m") -> None:
        self.store = store
        self.mail = mail
        self.ahead = timedelta()
        self.limits = LimitRefusals()
        numbers = itertools.count()
        opened = functools.partial(open_channel_client, PUBLIC, mail.tls)
        self.sender = DeliverySender(store, CHANNEL_OUTBOX, opened, self.clock, lambda: 0.5)
        self.timer = NotificationTimer(
            store,
            self.clock,
            new_id=lambda: f"{server}{next(numbers):06}",
            wake_sender=self.sender.wake,
            limits=self.limits,
        )

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    async def channel(self, name: str = "c", **fields: Any) -> None:
        spec = msgspec.convert(fields, ChannelSpec)
        now = self.clock()
        await self.store.write(
            lambda tx: create_channel(
                tx, "default", name, spec, now=now, new_token=lambda: "a random token"
            )
        )

    async def mail_channel(self, name: str = "c", **fields: Any) -> None:
        described = {
            "type": "email",
            "smtpHost": "127.0.0.1",
            "smtpPort": self.mail.port,
            "username": USER,
            "password": PASSWORD,
            "from": "edgesync@example.com",
            "to": ["ops@example.com", "night@example.com"],
        }
        await self.channel(name, **{**described, **fields})

    async def rule(self, *channels: str, **fields: Any) -> None:
        described = {"channels": channels or ("c",), "events": [FAILED], "gatherSeconds": 5}
        spec = msgspec.convert({**described, **fields}, NotificationRuleSpec)
        now = self.clock()
        await self.store.write(lambda tx: create_rule(tx, "default", "r", spec, now=now))

    async def fail(self, *names: str, cause: str = CAUSE) -> None:
        now = self.clock()

        def record(tx: Transaction) -> None:
            for name in names:
                text = f"{name} failed: {cause}"
                data = {"cause": cause}
                tx.record_event(Event(FAILED, "default", "node", name, now, text, data))
            number_events(tx, limit=1000, now=now)

        await self.store.write(record)

    async def pass_time(self, **time: float) -> None:
        self.ahead += timedelta(**time)
        await self.timer.round()

    async def deliveries(self, name: str = "c") -> list[Delivery]:
        def read(tx: Transaction) -> list[Delivery]:
            return list(channel_deliveries(tx, existing_channel(tx, "default", name)))

        return await self.store.read(read)

    async def wait_for(
        self, is_so: Callable[[list[Delivery]], bool], name: str = "c"
    ) -> list[Delivery]:
        async with asyncio.timeout(DEADLINE):
            while not is_so(found := await self.deliveries(name)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return found


@pytest.fixture
async def world(store: Store, mail: MailServer) -> AsyncIterator[NotificationWorld]:
    mail.got.clear()
    mail.recipients.clear()
    mail.reply = ACCEPTED
    made = NotificationWorld(store, mail)
    running = asyncio.create_task(made.sender.run())
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def all_sent(count: int) -> Callable[[list[Delivery]], bool]:
    return lambda found: [one.state for one in found] == [SendState.SENT] * count


async def test_what_failed_arrives_as_one_mail_over_starttls(world: NotificationWorld) -> None:
    await world.mail_channel()
    await world.rule(severity="critical")
    await world.fail(*(f"shop-{number:03}" for number in range(212)))
    await world.pass_time(seconds=4)
    assert await world.deliveries() == []
    await world.pass_time(seconds=2)
    (sent,) = await world.wait_for(all_sent(1))
    assert sent.answer.endswith("queued as 4711")
    (mail,) = world.mail.got
    assert mail["subject"] == f"[edgesync] critical: 212 nodes failed: {CAUSE}"
    assert mail["to"] == "ops@example.com, night@example.com"
    assert world.mail.recipients == [["ops@example.com", "night@example.com"]]
    assert world.mail.was_encrypted[-1]
    assert mail["message-id"] == f"<{sent.id}@edgesync>"
    text = mail.get_content()
    assert "shop-009 and 202 more" in text
    assert f"{PUBLIC}/#/nodes?deploy=failed" in text


async def test_a_mail_server_that_refuses_is_tried_again(world: NotificationWorld) -> None:
    world.mail.reply = "451 4.7.1 greylisted"
    await world.mail_channel()
    await world.rule()
    await world.fail("n1")
    await world.pass_time(seconds=5)
    (waits,) = await world.wait_for(lambda found: bool(found and found[0].error))
    assert "greylisted" in waits.error
    assert waits.state is SendState.WAITING
    world.mail.reply = ACCEPTED
    (sent,) = await world.wait_for(all_sent(1))
    assert sent.attempts >= 2
    assert len(world.mail.got) == 1


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"password": "wrong"}, "SMTPAuthenticationError"),
        ({"smtpHost": "localhost", "smtpSecurity": "tls"}, "SSL"),
        ({"smtpPort": 1}, "SMTPConnectError"),
    ],
)
async def test_what_is_wrong_with_a_mail_server_is_reported(
    world: NotificationWorld, fields: dict[str, Any], error: str
) -> None:
    await world.mail_channel(**fields)
    attempt = await try_channel(world)
    assert error in attempt.error
    assert PASSWORD not in attempt.error
    assert world.mail.got == []


async def try_channel(world: NotificationWorld, name: str = "c") -> Any:
    now = world.clock()
    channel = await world.store.read(lambda tx: existing_channel(tx, "default", name))
    content = msgspec.json.encode(sample_notification("default", name, now=now)).decode()
    delivery = Delivery("t1", "default", name, content, now, None, queue=Queue.CHANNELS)
    return await world.sender.try_now(channel, delivery)


async def test_a_webhook_is_signed(world: NotificationWorld, receiver: Receiver) -> None:
    await world.channel(type="webhook", url=f"{receiver.url}/hook?a=b", secret=SECRET)
    await world.rule()
    await world.fail("n1")
    await world.pass_time(seconds=5)
    (sent,) = await world.wait_for(all_sent(1))
    (got,) = receiver.got
    assert (got.method, got.path, got.id) == ("POST", "/hook?a=b", sent.id)
    assert got.is_signed_with(SECRET)
    assert (got.json["title"], got.json["nodes"]) == (f"n1 failed: {CAUSE}", ["n1"])
    assert got.json["url"] == f"{PUBLIC}/#/nodes/n1"
    assert sent.answer == "answered 204"


@pytest.mark.parametrize("type_", ["slack", "teams"])
async def test_a_chat_gets_its_format(
    world: NotificationWorld, receiver: Receiver, type_: str
) -> None:
    await world.channel(type=type_, url=receiver.url)
    attempt = await try_channel(world)
    assert (attempt.error, attempt.answer) == ("", "answered 204")
    (got,) = receiver.got
    assert got.headers["content-type"] == "application/json"
    assert "webhook-signature" not in got.headers
    if type_ == "slack":
        assert got.json["text"].startswith("*info: test of the channel c*\n")
    else:
        (attachment,) = got.json["attachments"]
        assert attachment["content"]["body"][0]["text"].startswith("info: test of the channel")


async def test_redirects_are_not_followed_and_plain_answers_not_read(
    world: NotificationWorld, receiver: Receiver
) -> None:
    with receiving() as inner:
        receiver.status, receiver.headers = 307, {"Location": inner.url}
        await world.channel(type="slack", url=receiver.url)
        assert (await try_channel(world)).error == "answered 307"
        assert inner.got == []


async def test_only_nodes_that_the_selector_selects_count(world: NotificationWorld) -> None:
    def make(tx: Transaction) -> None:
        for name, role in (("a", "gateway"), ("b", "camera")):
            create_node(tx, "default", name, NodeSpec(labels={"role": role}), now=world.clock())

    await world.store.write(make)
    await world.mail_channel()
    await world.rule(selector="role=gateway")
    await world.fail("a", "b", "gone")
    await world.pass_time(seconds=5)
    await world.wait_for(all_sent(1))
    assert world.mail.got[0]["subject"] == f"[edgesync] warning: a failed: {CAUSE}"


async def test_in_the_quiet_time_nothing_is_sent_and_then_the_sum(
    world: NotificationWorld,
) -> None:
    await world.mail_channel()
    await world.rule(quietMinutes=30)
    await world.fail("n1")
    await world.pass_time(seconds=5)
    await world.wait_for(all_sent(1))
    await world.fail("n2")
    await world.fail("n3")
    await world.pass_time(minutes=29)
    assert len(await world.deliveries()) == 1
    await world.pass_time(minutes=2)
    await world.wait_for(all_sent(2))
    subjects = sorted(mail["subject"] for mail in world.mail.got)
    assert subjects[0] == f"[edgesync] warning: 2 nodes failed: {CAUSE}"
    await world.pass_time(minutes=31)
    assert await world.store.read(lambda tx: tx.next_notification()) is None


async def test_a_paused_rule_sends_nothing_and_groups_by_cause(
    world: NotificationWorld,
) -> None:
    await world.mail_channel()
    await world.rule(paused=True)
    await world.fail("n1")
    assert await world.store.read(lambda tx: tx.next_notification()) is None
    spec = NotificationRuleSpec(("c",), ("node.*",), gather_seconds=0)
    await world.store.write(lambda tx: update_rule(tx, "default", "r", spec, now=world.clock()))
    await world.fail("n1", "n2")
    await world.fail("n3", cause="disk full")
    await world.pass_time(seconds=1)
    await world.wait_for(all_sent(2))
    assert sorted(mail["subject"] for mail in world.mail.got) == [
        f"[edgesync] warning: 2 nodes failed: {CAUSE}",
        "[edgesync] warning: n3 failed: disk full",
    ]


async def test_many_causes_share_a_group(world: NotificationWorld) -> None:
    await world.mail_channel()
    await world.rule()
    for number in range(130):
        await world.fail(f"n{number:03}", cause=f"cause {number}")
    count = await world.store.read(lambda tx: tx.count_notification_groups("default", "r"))
    assert count == 101


@pytest.mark.parametrize("count", [pytest.param(12, marks=NEEDS_POSTGRES)])
async def test_two_servers_send_each_message_once(
    postgres: Postgres, tmp_path: Path, mail: MailServer, count: int
) -> None:
    mail.got.clear()
    mail.reply = ACCEPTED
    open_there = open_on(postgres)
    async with open_there(tmp_path) as one, open_there(tmp_path) as two:
        worlds = [NotificationWorld(one, mail), NotificationWorld(two, mail, "other")]
        await worlds[0].mail_channel()
        await worlds[0].rule(gatherSeconds=0)
        for number in range(count):
            await worlds[0].fail(f"n{number}", cause=f"cause {number}")
        running = [asyncio.create_task(each.sender.run()) for each in worlds]
        await asyncio.gather(*(each.timer.round() for each in worlds))
        for each in worlds:
            each.sender.wake()
        await worlds[0].wait_for(all_sent(count))
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    subjects = [each["subject"] for each in mail.got]
    assert len(set(subjects)) == len(subjects) == count


async def test_what_is_given_up_is_an_event(world: NotificationWorld, receiver: Receiver) -> None:
    receiver.status = 500
    await world.channel(type="slack", url=receiver.url)
    await world.rule()
    await world.fail("n1")
    await world.pass_time(seconds=5)
    await world.wait_for(lambda found: bool(found and found[0].error))
    world.ahead += LIFETIME
    world.sender.wake()
    await world.wait_for(lambda found: found[0].state is SendState.GIVEN_UP)
    now = world.clock()
    await world.store.write(lambda tx: number_events(tx, limit=9, now=now))
    events = await world.store.read(
        lambda tx: tx.newest_events(EventFilter("default", kind="channel"), limit=9)
    )
    (event,) = [each.event for each in events if each.event.type == GIVEN_UP]
    assert "answered 500" in event.message


async def test_what_was_sent_is_bounded(world: NotificationWorld, receiver: Receiver) -> None:
    await world.channel(type="slack", url=receiver.url)
    now = world.clock()
    content = msgspec.json.encode(sample_notification("default", "c", now=now)).decode()
    earlier = now - timedelta(seconds=1)
    made = Delivery("next", "default", "c", content, now, now, queue=Queue.CHANNELS)

    def fill(tx: Transaction) -> None:
        for number in range(FINISHED_KEPT + 5):
            sent = replace(made, id=f"f{number}", created=earlier, due=None, sent=earlier)
            tx.put_delivery(sent)
        tx.put_delivery(made)

    await world.store.write(fill)
    world.sender.wake()
    await world.wait_for(lambda found: found[0].state is SendState.SENT)
    kept = await world.store.read(
        lambda tx: tx.newest_deliveries("default", "c", 999, Queue.CHANNELS)
    )
    assert (len(kept), kept[0].id) == (FINISHED_KEPT, "next")


async def test_a_full_queue_drops_and_counts(world: NotificationWorld) -> None:
    await world.channel(type="slack", url="http://127.0.0.1:1")
    await world.rule(gatherSeconds=0)
    later = world.clock() + timedelta(days=1)

    def fill(tx: Transaction) -> None:
        for number in range(WAITING_LIMIT):
            tx.put_delivery(
                Delivery(f"f{number}", "default", "c", "{}", later, later, queue=Queue.CHANNELS)
            )

    await world.store.write(fill)
    await world.fail("n1")
    await world.pass_time(seconds=1)
    assert world.limits.counts() == {DROPPED: 1}


async def test_nothing_is_shown_of_what_is_no_mail_server(world: NotificationWorld) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-hidden\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await world.mail_channel(smtpPort=port)
        assert (await try_channel(world)).error == "the answer is not one of SMTP"


async def test_a_mail_server_with_tls_from_the_start(
    world: NotificationWorld, tmp_path: Path
) -> None:
    with mail_server(tmp_path / "ca", is_tls=True) as there:
        own = NotificationWorld(world.store, there)
        await own.mail_channel(smtpSecurity="tls", username="", password="")
        attempt = await try_channel(own)
        assert (attempt.error, len(there.got)) == ("", 1)

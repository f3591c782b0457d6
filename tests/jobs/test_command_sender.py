"""Commands: what nodes are sent, and what is taken of their answers."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from broker.messages import Encoding, Message
from broker.topics import Channel
from cloud.core.audit import ADMINISTRATOR
from cloud.core.commands import KEPT_FOR, OUTPUT_LIMIT, Command, CommandDraft, CommandKind
from cloud.jobs.command_sender import CommandSender
from cloud.link.exchange import Exchange
from cloud.link.inbox import NodeInbox
from cloud.operations.commands import give_command, read_command
from cloud.store.transaction import Store
from tests.broker.node import DEADLINE, until
from tests.link.conftest import NODE, NOW, FakeHub, describe

LOGS = CommandDraft(CommandKind.LOGS)


@dataclass
class SenderSite:
    """A server with one node, at a time that tests set."""

    hub: FakeHub
    store: Store
    sender: CommandSender
    inbox: NodeInbox
    now: datetime = NOW

    async def give(self, draft: CommandDraft = LOGS, own_id: str = "c1") -> Command:
        return await self.store.write(
            lambda tx: give_command(
                tx,
                "default",
                "n1",
                draft,
                new_id=lambda: own_id,
                actor=ADMINISTRATOR,
                now=self.now,
            )
        )

    async def found(self, own_id: str = "c1") -> Command:
        return await self.store.read(
            lambda tx: read_command(tx, "default", "n1", own_id, now=self.now)
        )

    async def status(self) -> str:
        return (await self.found()).status.value

    async def receive(
        self, channel: Channel, kind: str, content: Any, *, node_id: str = NODE, **settings: Any
    ) -> None:
        message = Message(kind, content)
        inbound = self.hub.inbound(channel, message, node_id=node_id, **settings)
        await self.inbox.handle([inbound])

    async def answer(self, status: str = "done", *, node_id: str = NODE, **content: Any) -> None:
        response = {"id": "c1", "status": status, **content}
        await self.receive(Channel.COMMAND_RESPONSE, "command", response, node_id=node_id)

    def commands(self) -> list[Message]:
        return [one for _, channel, one, _ in self.hub.pushed if channel is Channel.COMMAND]


def site_of(hub: FakeHub, store: Store) -> SenderSite:
    sender = CommandSender(hub, store, lambda: made.now)
    exchange = Exchange(store, lambda: made.now, on_answered=sender.notifier.notify)
    made = SenderSite(hub, store, sender, NodeInbox(hub, exchange, on_heard=sender.heard))
    return made


@pytest.fixture
async def site(hub: FakeHub, store: Store) -> SenderSite:
    await store.write(describe)
    return site_of(hub, store)


async def test_a_command_is_sent_once_to_a_node_that_is_there(site: SenderSite) -> None:
    await site.give(CommandDraft(CommandKind.LOGS, "web", 7, 60))
    site.now += timedelta(seconds=2)
    await site.sender.send_waiting()
    await site.sender.send_waiting()
    ((node, channel, message, encoding),) = site.hub.pushed
    assert (node, channel, encoding) == (NODE, Channel.COMMAND, Encoding.JSON)
    assert message.kind == "command"
    assert message.meta == {"time": "2026-01-02T03:04:07Z"}
    assert message.content == {
        "id": "c1",
        "command": "logs",
        "app": "web",
        "lines": 7,
        "seconds": 58,
        "deadline": "2026-01-02T03:05:05Z",
    }
    assert site.hub.lifetimes == [timedelta(seconds=58)]
    assert await site.status() == "sent"
    await site.answer(output="listening\n")
    after = await site.found()
    assert (after.status, after.output, after.ended) == ("done", "listening\n", site.now)


async def test_a_command_is_written_as_the_node_wrote_last(site: SenderSite) -> None:
    await site.receive(Channel.REPORT, "report", {"apps": []}, encoding=Encoding.MSGPACK)
    await site.give()
    await site.sender.send_waiting()
    assert site.hub.pushed[-1][3] is Encoding.MSGPACK


async def test_a_node_that_is_away_is_sent_what_waits_once_it_is_heard(site: SenderSite) -> None:
    site.hub.connected.clear()
    await site.give()
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(site.sender.run())
        site.sender.wake()
        await until(lambda: NODE in site.sender._away)
        assert site.commands() == []
        site.hub.connected.add(NODE)
        await site.receive(Channel.REPORT, "report", {"apps": []})
        await until(lambda: bool(site.commands()))
        running.cancel()


async def test_a_node_that_does_not_listen_is_tried_again_when_it_is_heard(
    site: SenderSite, hub: FakeHub
) -> None:
    await site.give()
    site.hub.losing = True
    await site.sender.send_waiting()
    assert await site.status() == "waiting"
    site.hub.is_attached = True
    await site.sender.send_waiting()
    assert site.hub.pushed == []
    site.sender.heard(NODE)
    await site.sender.send_waiting()
    assert await site.status() == "sent"


class LateHub(FakeHub):
    """Tells its server of a message of a node at the moment in which it does not listen yet."""

    site: SenderSite

    async def send(
        self, node_id: str, channel: Channel, payload: bytes, lifetime: timedelta
    ) -> bool:
        is_first = not self.lifetimes
        await super().send(node_id, channel, payload, lifetime)
        if is_first:
            self.site.sender.heard(node_id)
        return not is_first


async def test_a_node_that_is_heard_while_it_is_tried_is_tried_again(store: Store) -> None:
    await store.write(describe)
    hub = LateHub(connected={NODE})
    hub.site = site_of(hub, store)
    await hub.site.give()
    await hub.site.sender.send_waiting()
    await hub.site.sender.send_waiting()
    assert await hub.site.status() == "sent"


async def test_of_two_servers_one_sends_it(site: SenderSite) -> None:
    await site.give()
    other = CommandSender(site.hub, site.store, lambda: site.now)
    await other.send_waiting()
    await site.sender.send_waiting()
    assert len(site.hub.pushed) == 1


async def test_nothing_is_sent_and_no_answer_counts_after_the_deadline(site: SenderSite) -> None:
    site.hub.connected.clear()
    await site.give()
    await site.sender.send_waiting()
    site.now += timedelta(seconds=30)
    site.hub.connected.add(NODE)
    site.sender.heard(NODE)
    await site.sender.send_waiting()
    assert site.hub.pushed == []
    await site.answer()
    assert await site.status() == "expired"


async def test_only_the_node_that_was_asked_can_answer_and_only_once(site: SenderSite) -> None:
    await site.give()
    await site.sender.send_waiting()
    for stranger in ("default.n2", "other.n1"):
        await site.answer(node_id=stranger)
    await site.answer(id="c2")
    assert await site.status() == "sent"
    await site.answer("refused", cause="not\non\tthis one")
    await site.answer("done", output="after all")
    after = await site.found()
    assert (after.status, after.output, after.cause) == ("refused", "", "not?on?this one")
    assert [one.kind for one in site.commands()] == ["command"]
    assert len(site.hub.acked) == 5


FOLLOWED = CommandDraft(CommandKind.LOGS, "web", since_seconds=60, follow=True)


async def test_a_log_is_followed_in_parts_until_the_last(site: SenderSite) -> None:
    await site.give(FOLLOWED)
    await site.sender.send_waiting()
    (message,) = site.commands()
    assert (message.content["sinceSeconds"], message.content["follow"]) == (60, True)
    for part, output in ((1, "one\n"), (1, "twice\n"), (2, "two\n")):
        await site.answer("running", part=part, output=output)
    after = await site.found()
    assert (after.status, after.output, after.output_end) == ("sent", "one\ntwo\n", 8)
    assert after.ended is None
    assert not after.is_cut
    assert after.output_after(4) == ("two\n", False)
    await site.answer("running", part=5, output="five\n")
    await site.answer("running", part=4, output="late\n")
    await site.answer("done", part=6)
    after = await site.found()
    assert (after.status, after.output) == ("done", "one\ntwo\nfive\n")
    assert after.is_cut, "parts are missing"
    await site.answer("running", part=7, output="after all")
    assert await site.found() == after


async def test_of_a_log_that_is_followed_the_end_is_kept(site: SenderSite) -> None:
    await site.give(FOLLOWED)
    for part in (1, 2, 3):
        await site.answer("running", part=part, output=f"{part}" * (OUTPUT_LIMIT // 2))
    after = await site.found()
    half = OUTPUT_LIMIT // 2
    assert (after.output, after.output_end) == ("2" * half + "3" * half, 3 * half)
    assert after.output_after(half - 1) == (after.output, True)
    assert after.output_after(half) == (after.output, False)
    assert after.output_after(3 * half) == ("", False)


async def test_parts_of_what_is_not_followed_change_nothing(site: SenderSite) -> None:
    await site.give()
    before = await site.found()
    await site.answer("running", part=1, output="one")
    assert await site.found() == before


async def test_of_a_huge_output_the_end_is_kept(site: SenderSite) -> None:
    await site.give()
    text = "\x1b[31mred\x1b[0m \0\x07 öäü\r\n" * 9000 + "the end"
    await site.answer(output=text)
    after = await site.found()
    assert after.is_cut
    assert OUTPUT_LIMIT - 4 < len(after.output.encode()) <= OUTPUT_LIMIT
    assert after.output.endswith("red \ufffd\ufffd öäü\nthe end")


async def test_what_a_node_cuts_itself_is_marked_too(site: SenderSite) -> None:
    await site.give()
    await site.answer(output="the end", cut=True)
    assert (await site.found()).is_cut


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {"id": "c1"},
        {"id": 1, "status": "done"},
        {"id": "", "status": "done"},
        {"id": "c" * 65, "status": "done"},
        {"id": "c1", "status": "expired"},
        {"id": "c1", "status": "done", "output": ["x"]},
        {"id": "c1", "status": "running"},
        {"id": "c1", "status": "running", "part": 0},
        {"id": "c1", "status": "running", "part": 2**31},
        {"id": "c1", "status": "done", "part": -1},
    ],
)
async def test_an_answer_that_cannot_be_read_is_an_error_and_changes_nothing(
    site: SenderSite, content: Any
) -> None:
    await site.give()
    await site.receive(Channel.COMMAND_RESPONSE, "command", content)
    (message,) = site.commands()
    assert (message.kind, message.meta["code"]) == ("error", "RequestParamInvalid")
    assert await site.status() == "waiting"


async def test_who_waits_for_an_answer_is_woken_once_it_is_stored(site: SenderSite) -> None:
    await site.give()
    with site.sender.notifier.listening(NODE) as notified:
        await site.answer()
        assert notified.is_set()


async def test_old_commands_are_forgotten(site: SenderSite) -> None:
    await site.give()
    site.now += KEPT_FOR + timedelta(minutes=1)
    await site.give(own_id="c2")
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(site.sender.run())
        await until(lambda: bool(site.commands()))
        while len(await site.store.read(lambda tx: tx.commands("default", "n1"))) > 1:  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.01)
        running.cancel()


def test_a_command_has_its_state_at_any_time() -> None:
    command = Command(
        id="c",
        namespace="default",
        name="n1",
        command=CommandKind.REPORT,
        actor=ADMINISTRATOR,
        created=NOW,
        deadline=NOW + timedelta(seconds=9),
    )
    assert command.at(NOW) == command
    expired = command.at(command.deadline)
    assert (expired.status, expired.ended) == ("expired", command.deadline)
    assert replace(expired, cause="x").at(NOW) == replace(expired, cause="x")

"""A server on several brokers that do not depend on each other: nodes connect to any of them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from broker.client import ClientHub, ClientLimits, open_client_hub
from broker.hub import Inbound
from broker.topics import Channel, topic_for
from tests.broker.authority import HubAuthority
from tests.broker.conftest import Connect
from tests.broker.mosquitto import NEEDS_MOSQUITTO, Mosquitto, running_mosquitto
from tests.broker.node import DEADLINE, until

pytestmark = NEEDS_MOSQUITTO

NODES = ("default.gate-7", "default.gate-8")
LIFETIME = timedelta(seconds=30)


@pytest.fixture
def anyio_backend() -> object:
    return ("asyncio", {"use_uvloop": True})


@pytest.fixture
async def brokers(authority: HubAuthority, tmp_path: Path) -> AsyncIterator[list[Mosquitto]]:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with (
        running_mosquitto(tmp_path / "one", authority) as one,
        running_mosquitto(tmp_path / "two", authority) as two,
    ):
        yield [one, two]


async def taken(hub: ClientHub, count: int) -> list[Inbound]:
    found: list[Inbound] = []
    async with asyncio.timeout(DEADLINE):
        while len(found) < count:
            found += await hub.receive(100)
    return found


async def test_nodes_are_heard_and_reached_wherever_they_are(
    brokers: list[Mosquitto], connect: Connect
) -> None:
    first, second = (broker.broker("server-1") for broker in brokers)
    async with open_client_hub(first, others=[second]) as hub:
        await until(lambda: hub.attached_count == 2)
        for place, name in zip(brokers, NODES, strict=True):
            node = await connect(place, name, subscribe=True)
            node.publish(topic_for(name, Channel.REPORT), b"{}", packet_id=9)
            (message,) = await taken(hub, 1)
            assert message.node_id == name
            message.ack()
            assert await node.acked(1) == [9]
            assert hub.push(name, Channel.DELTA, b"pushed")
            assert (await node.read())[1].endswith(b"pushed")
            assert await hub.send(name, Channel.COMMAND, b"sent", LIFETIME)
            assert (await node.read())[1].endswith(b"sent")
            hub.disconnect(name)
            assert await node.rest() == b""
        assert not await hub.send("default.gate-9", Channel.COMMAND, b"sent", LIFETIME)


async def test_one_broker_is_enough(brokers: list[Mosquitto], connect: Connect) -> None:
    first, second = (broker.broker("server-1") for broker in brokers)
    async with open_client_hub(first, others=[second]) as hub:
        await until(lambda: hub.attached_count == 2)
        await brokers[0].stop(kill=True)
        await until(lambda: hub.attached_count == 1)
        assert hub.is_attached
        node = await connect(brokers[1], NODES[0], subscribe=True)
        assert hub.push(NODES[0], Channel.DELTA, b"pushed")
        assert (await node.read())[1].endswith(b"pushed")
        await brokers[0].start()
        await until(lambda: hub.attached_count == 2)
        await brokers[0].stop()
        await brokers[1].stop()
        await until(lambda: not hub.is_attached)
        assert not hub.push(NODES[0], Channel.DELTA, b"lost")


async def test_a_server_adopts_what_another_left_at_each_broker(
    brokers: list[Mosquitto], connect: Connect
) -> None:
    first, second = (broker.broker("server-1") for broker in brokers)
    async with open_client_hub(first, others=[second]) as gone:
        await until(lambda: gone.attached_count == 2)
    for place, name in zip(brokers, NODES, strict=True):
        node = await connect(place, name)
        node.publish(topic_for(name, Channel.REPORT), b"{}", packet_id=9)
        await node.acked(1)
    first, second = (broker.broker("server-2") for broker in brokers)
    async with open_client_hub(first, others=[second]) as hub, asyncio.TaskGroup() as tasks:
        await until(lambda: hub.attached_count == 2)
        adoption = tasks.create_task(hub.adopt("server-1"))
        left = await taken(hub, 2)
        assert {message.node_id for message in left} == set(NODES)
        for message in left:
            message.ack()
        assert await adoption
        await brokers[1].stop()
        assert not await hub.adopt("server-1")  # it may have left something there


async def test_messages_for_which_the_broker_has_no_room_are_counted(
    brokers: list[Mosquitto],
) -> None:
    limits = ClientLimits(max_unwritten_bytes=100)
    async with open_client_hub(brokers[0].broker("server-1"), limits) as hub:
        await until(lambda: hub.is_attached)
        assert hub.push(NODES[0], Channel.DELTA, b"x" * 100)
        assert not hub.push(NODES[0], Channel.DELTA, b"x" * 100)  # in the same turn of the loop
        assert hub.unsent_count == 1

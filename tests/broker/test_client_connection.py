"""One connection to a broker that sends what a test gives it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from broker.client_connection import BrokerAddress, ClientConnection, connect
from broker.errors import BrokerRefused
from broker.limits import ClientLimits
from broker.mqtt5 import PublishPacket
from tests.broker.node import DEADLINE, HubNode, packet, string, until

ACCEPTED = bytes.fromhex("2003000000")
TOPIC = "edge/v1/default.n1/delta"


@pytest.fixture
def anyio_backend() -> object:
    """On the loop that serves."""
    return ("asyncio", {"use_uvloop": True})


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[BrokerAddress, "asyncio.Queue[HubNode]"]]:
    """A port, and the connections that come to it."""
    peers: asyncio.Queue[HubNode] = asyncio.Queue()
    opened: list[HubNode] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(HubNode(reader, writer))
        peers.put_nowait(opened[-1])

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield BrokerAddress(host="127.0.0.1", port=port, client_id="s1", tls=None), peers
    finally:
        server.close()
        for peer in opened:
            await peer.close()


def publish(payload: bytes, packet_id: int = 0) -> bytes:
    first = 0x32 if packet_id else 0x30
    middle = packet_id.to_bytes(2) if packet_id else b""
    return packet(first, string(TOPIC) + middle + b"\x00" + payload)


def take(_connection: ClientConnection, _message: PublishPacket) -> bool:
    return True


@asynccontextmanager
async def connected(
    connack: bytes = ACCEPTED,
    *,
    limits: ClientLimits | None = None,
    deliver: Callable[[ClientConnection, PublishPacket], bool] = take,
    on_full: Callable[[], None] = lambda: None,
) -> AsyncIterator[tuple[ClientConnection, HubNode]]:
    async with listening() as (broker, peers), asyncio.TaskGroup() as tasks:
        connecting = tasks.create_task(
            connect(broker, "s1", limits or ClientLimits(), deliver=deliver, on_full=on_full)
        )
        peer = await peers.get()
        first, _ = await peer.read()
        assert first == 0x10
        peer.send(connack)
        connection = await connecting
        try:
            yield connection, peer
        finally:
            connection.abort()


async def test_a_refusal_has_its_reason() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        async with connected(bytes.fromhex("2003008700")):
            pass
    (error,) = raised.value.exceptions
    assert isinstance(error, BrokerRefused)
    assert error.code == 0x87


async def test_a_broker_that_closes_before_its_answer_is_an_os_error() -> None:
    async with listening() as (broker, peers), asyncio.TaskGroup() as tasks:

        async def fail() -> None:
            with pytest.raises(OSError, match="ended"):
                await connect(broker, "s1", ClientLimits(), deliver=take)

        tasks.create_task(fail())
        (await peers.get()).reset()


async def test_the_reason_of_the_broker_is_that_of_the_end() -> None:
    async with connected() as (connection, peer):
        peer.send(bytes.fromhex("e0018e"))
        async with asyncio.timeout(DEADLINE):
            assert await connection.ended == 0x8E
        assert not connection.is_open
        assert not connection.publish(TOPIC, b"")


async def test_what_is_not_mqtt_ends_the_connection_with_its_reason() -> None:
    async with connected() as (_, peer):
        peer.send(b"\xf0\x00" + publish(b"1"))
        assert await peer.read() == (0xE0, b"\x81")
        assert await peer.rest() == b""


async def test_pings_keep_the_connection_and_silence_ends_it() -> None:
    limits = ClientLimits(keep_alive=timedelta(seconds=2))
    async with connected(limits=limits) as (connection, peer):
        for _ in range(2):
            assert await peer.read() == (0xC0, b"")
            peer.send(b"\xd0\x00")
            assert connection.is_open
        assert set(await peer.rest()) == {0xC0, 0x00}
        assert await connection.ended is None


async def test_the_broker_may_ask_for_more_pings() -> None:
    async with connected(bytes.fromhex("20060000031300 01")) as (_, peer):
        assert await peer.read() == (0xC0, b"")


async def test_a_message_that_is_not_taken_stops_reading_and_is_offered_again() -> None:
    offered: list[bytes] = []
    room = 2

    def deliver(_connection: ClientConnection, message: PublishPacket) -> bool:
        offered.append(message.payload)
        return len(offered) <= room

    limits = ClientLimits(keep_alive=timedelta(seconds=1))
    async with connected(deliver=deliver, limits=limits) as (connection, peer):
        for number in range(6):
            peer.send(publish(b"%d" % number, number + 1))
        await until(lambda: len(offered) == 3)
        assert connection.unacked_count == 3
        # It goes on to send pings, and does not take the broker for dead while it is not read.
        for _ in range(3):
            assert await peer.read() == (0xC0, b"")
        assert offered == [b"0", b"1", b"2"]
        room = 100
        connection.resume()
        await until(lambda: len(offered) == 7)
        assert offered[3:] == [b"2", b"3", b"4", b"5"]


async def test_what_is_sent_in_one_turn_is_in_order_and_acks_are_sent_once() -> None:
    async with connected() as (connection, peer):
        peer.send(publish(b"1", 7))
        await until(lambda: connection.unacked_count == 1)
        for _ in range(2):
            connection.acknowledge(7)
        assert connection.publish(TOPIC, b"{}")
        assert await peer.read() == (0x40, b"\x00\x07")
        assert await peer.read() == (0x30, string(TOPIC) + b"\x00{}")
        await connection.leave(for_good=True)
        assert await peer.rest() == bytes.fromhex("e00700051100000000")


async def test_no_more_is_sent_than_the_broker_takes() -> None:
    one_at_a_time_of_40_bytes = bytes.fromhex("200b000008 210001 2700000028")
    async with (
        connected(one_at_a_time_of_40_bytes) as (connection, peer),
        asyncio.TaskGroup() as tasks,
    ):
        first = tasks.create_task(connection.publish_acknowledged(TOPIC, b"1", 30))
        second = tasks.create_task(connection.publish_acknowledged(TOPIC, b"2", 30))
        _, body = await peer.read()
        assert body.endswith(b"1")
        assert not connection.publish(TOPIC, b"x" * 40)
        assert connection.publish(TOPIC, b"next")
        assert (await peer.read())[0] == 0x30  # and not the second one
        peer.send(b"\x40\x03" + body[len(string(TOPIC)) :][:2] + b"\x10")
        assert await first == 0x10
        _, body = await peer.read()
        assert body.endswith(b"2")
        peer.send(b"\x40\x02" + body[len(string(TOPIC)) :][:2])
        assert await second == 0
        too_long = await connection.publish_acknowledged(TOPIC, b"x" * 40, 30)
        assert too_long == 0x80
        third = tasks.create_task(connection.publish_acknowledged(TOPIC, b"3", 30))
        await peer.read()
        waiting = tasks.create_task(connection.publish_acknowledged(TOPIC, b"4", 30))
        peer.reset()
        assert await third is None  # it may have arrived
        assert await waiting == 0x80  # it was not sent


async def test_a_message_whose_sender_gave_up_still_counts_until_the_broker_has_it() -> None:
    one_at_a_time = bytes.fromhex("2006000003210001")
    async with connected(one_at_a_time) as (connection, peer), asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(connection.publish_acknowledged(TOPIC, b"1", 30))
        _, body = await peer.read()
        sending.cancel()
        second = tasks.create_task(connection.publish_acknowledged(TOPIC, b"2", 30))
        assert connection.publish(TOPIC, b"next")
        assert (await peer.read())[0] == 0x30
        peer.send(b"\x40\x02" + body[len(string(TOPIC)) :][:2])
        _, body = await peer.read()
        assert body.endswith(b"2")
        peer.send(b"\x40\x02" + body[len(string(TOPIC)) :][:2])
        assert await second == 0


async def test_a_broker_that_does_not_read_is_sent_a_bounded_amount() -> None:
    limits = ClientLimits(max_unwritten_bytes=1_000_000)
    refused: list[None] = []
    async with connected(limits=limits, on_full=lambda: refused.append(None)) as (connection, peer):
        sent = 0
        async with asyncio.timeout(DEADLINE):
            while connection.publish(TOPIC, b"x" * 100_000):
                sent += 1
                assert connection.unwritten_bytes <= 1_000_000
                await asyncio.sleep(0)
        assert len(refused) == 1
        received = 0
        for _ in range(sent):
            _, body = await peer.read()
            received += body.endswith(b"x" * 100_000)
        assert received == sent
        await until(lambda: connection.publish(TOPIC, b"y"))

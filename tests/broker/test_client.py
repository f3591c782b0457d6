"""The hub on a broker that stands by itself, where it promises more than every hub does."""

import asyncio
import time
from dataclasses import replace

import pytest

from broker.access import may_publish, may_subscribe
from broker.client import ClientHub, ClientLimits, open_client_hub
from broker.client_connection import ClientConnection
from broker.client_connection import connect as connect_broker
from broker.configuration import SERVER_NAME
from broker.errors import HubClosed
from broker.hub import Inbound
from broker.mqtt5 import PublishPacket
from broker.topics import FROM_NODE, TO_NODE, Channel, topic_for
from tests.broker.authority import HubAuthority
from tests.broker.conftest import Connect
from tests.broker.mosquitto import NEEDS_MOSQUITTO, Mosquitto
from tests.broker.node import DEADLINE, HubNode, until
from tests.deadlines import SLOWNESS

pytestmark = NEEDS_MOSQUITTO

NODE = "default.gate-7"
OTHER = "default.gate-8"
REPORT = topic_for(NODE, Channel.REPORT)


@pytest.fixture
def anyio_backend() -> object:
    """On the loop that serves; what differs between loops the contract shows."""
    return ("asyncio", {"use_uvloop": True})


async def take(hub: ClientHub, count: int) -> list[Inbound]:
    taken: list[Inbound] = []
    async with asyncio.timeout(DEADLINE):
        while len(taken) < count:
            taken += await hub.receive(100)
    return taken


async def attached(hub: ClientHub) -> None:
    await until(lambda: hub.is_attached)


async def test_what_was_not_acked_comes_again_to_the_same_server(
    mosquitto: Mosquitto, connect: Connect
) -> None:
    node = await connect(mosquitto, NODE)
    async with open_client_hub(mosquitto.broker("server-1")) as hub:
        await attached(hub)
        for number in range(6):
            node.publish(REPORT, b"%d" % number, packet_id=number + 1)
        assert await node.acked(6) == [1, 2, 3, 4, 5, 6]  # the broker has them
        for message in (await take(hub, 6))[:3]:
            message.ack()
    async with open_client_hub(mosquitto.broker("server-1")) as hub:
        assert [message.payload for message in await take(hub, 3)] == [b"3", b"4", b"5"]


async def test_what_came_while_no_server_was_there_waits_for_one(
    mosquitto: Mosquitto, connect: Connect
) -> None:
    async with open_client_hub(mosquitto.broker("server-1")) as hub:
        await attached(hub)
    node = await connect(mosquitto, NODE)
    count = 3_000  # three times what Mosquitto keeps by default
    for number in range(count):
        node.publish(REPORT, b"%d" % number, packet_id=number + 1)
    await node.acked(count)
    await mosquitto.stop()
    await mosquitto.start()
    async with open_client_hub(mosquitto.broker("server-1")) as hub:
        taken: list[bytes] = []
        async with asyncio.timeout(DEADLINE):
            while len(taken) < count:
                for message in await hub.receive(256):
                    taken.append(message.payload)
                    message.ack()
    assert taken == [b"%d" % number for number in range(count)]


async def test_an_ack_of_an_earlier_connection_acknowledges_nothing(
    mosquitto: Mosquitto, connect: Connect
) -> None:
    node = await connect(mosquitto, NODE)
    async with open_client_hub(mosquitto.broker("server-1")) as hub:
        await attached(hub)
        node.publish(REPORT, b"1", packet_id=1)
        (old,) = await take(hub, 1)
        await mosquitto.stop()
        await until(lambda: not hub.is_attached)
        await mosquitto.start()
        (new,) = await take(hub, 1)
        assert new.payload == b"1"
        old.ack()
    async with open_client_hub(mosquitto.broker("server-1")) as hub:
        (again,) = await take(hub, 1)
        assert again.payload == b"1"
        again.ack()
    async with open_client_hub(mosquitto.broker("server-1")) as hub:
        await attached(hub)
        node = await connect(mosquitto, NODE)
        node.publish(REPORT, b"2", packet_id=1)
        assert [message.payload for message in await take(hub, 1)] == [b"2"]


async def test_servers_share_the_messages_of_nodes(mosquitto: Mosquitto, connect: Connect) -> None:
    node = await connect(mosquitto, NODE)
    async with (
        open_client_hub(mosquitto.broker("server-1")) as one,
        open_client_hub(mosquitto.broker("server-2")) as two,
    ):
        await attached(one)
        await attached(two)
        for number in range(40):
            node.publish(REPORT, b"%d" % number, packet_id=number + 1)
        halves = await asyncio.gather(take(one, 20), take(two, 20))
    payloads = [message.payload for half in halves for message in half]
    assert sorted(payloads) == sorted(b"%d" % number for number in range(40))


async def test_a_slow_server_slows_the_broker_and_loses_nothing(
    mosquitto: Mosquitto, connect: Connect
) -> None:
    node = await connect(mosquitto, NODE)
    limits = ClientLimits(max_queued=10, max_unacked=50)
    async with open_client_hub(mosquitto.broker("server-1"), limits) as hub:
        await attached(hub)
        for number in range(500):
            node.publish(REPORT, b"%d" % number, packet_id=number + 1)
        await node.acked(500)
        taken: list[bytes] = []
        async with asyncio.timeout(DEADLINE):
            while len(taken) < 500:
                messages = await hub.receive(3)
                assert hub.queued_count <= 10
                for message in messages:
                    taken.append(message.payload)
                    message.ack()
    assert taken == [b"%d" % number for number in range(500)]


async def test_a_slow_server_holds_so_many_bytes_and_loses_nothing(
    mosquitto: Mosquitto, connect: Connect
) -> None:
    limits = ClientLimits(max_queued_bytes=100_000, max_unacked=50)
    node, other = await connect(mosquitto, NODE), await connect(mosquitto, OTHER)
    async with open_client_hub(mosquitto.broker("server-1"), limits) as hub:
        await attached(hub)
        for number in range(12):
            node.publish(REPORT, b"x" * 30_000, packet_id=number + 1)
        assert len(await node.acked(12)) == 12
        await until(lambda: hub.queued_count == 3)
        other.publish(topic_for(OTHER, Channel.REPORT), b"other", packet_id=1)
        received: list[Inbound] = []
        async with asyncio.timeout(DEADLINE):
            while len(received) < 13:
                received += (taken := await hub.receive(100))
                assert hub.unstored_bytes <= 100_000
                for message in taken:
                    message.ack()
        assert not hub.unstored_bytes


async def test_a_message_that_the_server_fails_at_stops_no_other(
    mosquitto: Mosquitto, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_client_hub(mosquitto.broker("server-1")) as hub:
        await attached(hub)
    node = await connect(mosquitto, NODE)
    for number in range(3):
        node.publish(REPORT, b"%d" % number, packet_id=number + 1)
    assert len(await node.acked(3)) == 3
    delivered: list[bytes] = []

    def deliver(connection: ClientConnection, message: PublishPacket) -> bool:
        if message.payload == b"1":
            raise LookupError
        delivered.append(message.payload)
        connection.acknowledge(message.packet_id)
        return True

    limits = ClientLimits(max_unacked=1)
    connection = await connect_broker(
        mosquitto.broker("server-1"), "server-1", limits, deliver=deliver
    )
    try:
        await until(lambda: delivered == [b"0", b"2"])
        assert f"a message on {REPORT} failed" in caplog.text
    finally:
        await connection.leave()


async def test_a_server_waits_for_its_broker_and_logs_it(
    mosquitto: Mosquitto, connect: Connect
) -> None:
    await mosquitto.stop()
    async with open_client_hub(mosquitto.broker("server-1")) as hub:
        assert not hub.is_attached
        assert not hub.is_connected(NODE)
        assert not hub.push(NODE, Channel.DELTA, b"{}")
        await mosquitto.start()
        await attached(hub)
        node = await connect(mosquitto, NODE, subscribe=True)
        assert hub.push(NODE, Channel.DELTA, b"{}")
        assert (await node.read())[1].endswith(b"/delta{}")


async def test_a_closed_hub_gives_out_what_it_holds_and_ends(
    mosquitto: Mosquitto, connect: Connect
) -> None:
    node = await connect(mosquitto, NODE)
    async with open_client_hub(mosquitto.broker("server-1")) as hub:
        await attached(hub)
        node.publish(REPORT, b"1", packet_id=1)
        await until(lambda: hub.queued_count == 1)
    (message,) = await hub.receive(10)
    message.ack()  # too late, and harmless
    with pytest.raises(HubClosed):
        await hub.receive(10)
    hub.disconnect(NODE)


async def test_a_connection_that_is_cancelled_while_it_is_opened_writes_no_more(
    mosquitto: Mosquitto,
) -> None:
    broker = replace(mosquitto.broker("s1"), host="127.0.0.1")  # found without a thread
    for turns in range(12):
        opening = asyncio.create_task(
            connect_broker(broker, "s1", ClientLimits(), deliver=lambda *_: True)
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        # A turn of the loop in which the broker answers what was sent before.
        time.sleep(0.02 * SLOWNESS)  # noqa: ASYNC251
        opening.cancel()
        # What is written all the same fails in a callback, and with that this test.
        await asyncio.wait([opening], timeout=DEADLINE)
        assert opening.done()
        if not opening.cancelled():
            opening.result().abort()  # it was there before


async def test_a_foreign_server_is_refused(
    mosquitto: Mosquitto, foreign_authority: HubAuthority, authority: HubAuthority
) -> None:
    """It trusts the broker, but the broker does not trust it."""
    context = authority.client_context(None)
    context.load_cert_chain(foreign_authority.issue(SERVER_NAME, [SERVER_NAME]))
    stranger = replace(mosquitto.broker("server-1"), tls=context)
    async with open_client_hub(stranger) as hub:
        async with open_client_hub(mosquitto.broker("server-2")) as friend:
            await attached(friend)
        assert not hub.is_attached


async def test_the_certificate_decides_who_a_node_is(
    mosquitto: Mosquitto, connect: Connect, authority: HubAuthority
) -> None:
    """Mosquitto gives a node the name of its certificate, whatever it claims."""
    victim = await connect(mosquitto, NODE)
    await connect(mosquitto, OTHER, client_id=NODE)
    assert await victim.is_alive()


TOPICS = [
    *(topic_for(name, channel) for name in (NODE, OTHER) for channel in Channel),
    "edge/v1/default.gate-7/unheard-of",
    "edge/v1/default.gate-7",
    "elsewhere",
]


async def test_mosquitto_grants_what_the_access_table_grants(
    mosquitto: Mosquitto, connect: Connect
) -> None:
    """It takes every subscription and refuses on delivery, so what arrives is what counts."""
    with (mosquitto.directory / "acl").open("a") as rules:
        rules.write("user auditor\ntopic readwrite #\n")
    await mosquitto.stop()
    await mosquitto.start()
    node, auditor = await connect(mosquitto, NODE), await connect(mosquitto, "auditor")
    auditor.subscribe("#")
    await auditor.read()
    for number, topic in enumerate(TOPICS, start=1):
        node.publish(topic, topic.encode(), packet_id=number)
    assert len(await node.acked(len(TOPICS))) == len(TOPICS)
    node.publish(REPORT, b"last", packet_id=99)
    published = await heard(auditor, b"last")
    assert published == {topic for topic in TOPICS if may_publish(NODE, topic)}

    node.subscribe("#")
    while (await node.read())[0] != 0x90:  # acknowledgements come first
        pass
    for topic in TOPICS:
        auditor.publish(topic, topic.encode(), qos=0)
    auditor.publish(topic_for(NODE, Channel.DELTA), b"last", qos=0)
    received = await heard(node, b"last")
    assert received == {topic for topic in TOPICS if may_subscribe(NODE, topic)}


async def heard(node: HubNode, last: bytes) -> set[str]:
    """Payloads of all publishes until *last*, acknowledgements passed over."""
    found: set[str] = set()
    while True:
        first, body = await node.read()
        if first & 0xF0 != 0x30:
            continue
        length = int.from_bytes(body[:2])
        payload = body[2 + length + (2 if first & 0x06 else 0) :]
        if payload == last:
            return found
        found.add(payload.decode())


def test_the_table_has_both_sides() -> None:
    assert {topic for topic in TOPICS if may_publish(NODE, topic)} == {
        topic_for(NODE, channel) for channel in FROM_NODE
    }
    assert {topic for topic in TOPICS if may_subscribe(NODE, topic)} == {
        topic_for(NODE, channel) for channel in TO_NODE
    }


async def test_a_server_adopts_what_another_left_behind(
    mosquitto: Mosquitto, connect: Connect
) -> None:
    node = await connect(mosquitto, NODE)
    async with open_client_hub(mosquitto.broker("server-1")) as gone:
        await attached(gone)
    for number in range(30):
        node.publish(REPORT, b"%d" % number, packet_id=number + 1)
    await node.acked(30)
    async with open_client_hub(mosquitto.broker("server-2")) as hub, asyncio.TaskGroup() as tasks:
        await attached(hub)
        adoption = tasks.create_task(hub.adopt("server-1"))
        taken = await take(hub, 30)
        assert not adoption.done()  # nothing is acknowledged yet
        for message in taken:
            message.ack()
        assert await adoption
        assert [message.payload for message in taken] == [b"%d" % n for n in range(30)]
        # From now on all is for the one that is there.
        for number in range(10):
            node.publish(REPORT, b"%d" % number, packet_id=number + 1)
        assert len(await take(hub, 10)) == 10
    async with open_client_hub(mosquitto.broker("server-1")) as back:
        await attached(back)
        assert back.queued_count == 0


async def test_a_server_that_comes_back_has_its_session(
    mosquitto: Mosquitto, connect: Connect
) -> None:
    node = await connect(mosquitto, NODE)
    async with open_client_hub(mosquitto.broker("server-1")) as gone:
        await attached(gone)
    node.publish(REPORT, b"1", packet_id=1)
    await node.acked(1)
    async with open_client_hub(mosquitto.broker("server-2")) as hub, asyncio.TaskGroup() as tasks:
        await attached(hub)
        adoption = tasks.create_task(hub.adopt("server-1"))
        (message,) = await take(hub, 1)
        async with open_client_hub(mosquitto.broker("server-1")) as back:
            assert not await adoption
            message.ack()  # too late: it is not on that connection any more
            assert [again.payload for again in await take(back, 1)] == [b"1"]


async def test_without_a_broker_nothing_is_adopted(mosquitto: Mosquitto) -> None:
    async with open_client_hub(mosquitto.broker("server-2")) as hub, asyncio.TaskGroup() as tasks:
        await attached(hub)
        adoption = tasks.create_task(hub.adopt("server-1"))
        await mosquitto.stop()
        assert not await adoption


async def test_an_adoption_that_is_broken_off_leaves_what_was_not_acked(
    mosquitto: Mosquitto, connect: Connect
) -> None:
    node = await connect(mosquitto, NODE)
    async with open_client_hub(mosquitto.broker("server-1")) as gone:
        await attached(gone)
    for number in range(3):
        node.publish(REPORT, b"%d" % number, packet_id=number + 1)
    await node.acked(3)
    async with open_client_hub(mosquitto.broker("server-2")) as hub, asyncio.TaskGroup() as tasks:
        adoption = tasks.create_task(hub.adopt("server-1"))
        (await take(hub, 3))[0].ack()
        adoption.cancel()
    async with open_client_hub(mosquitto.broker("server-1")) as back:
        assert [message.payload for message in await take(back, 2)] == [b"1", b"2"]


async def test_nodes_are_disconnected_however_many_at_once(
    mosquitto: Mosquitto, connect: Connect
) -> None:
    names = [f"default.gate-{number}" for number in range(5)]
    nodes = [await connect(mosquitto, name) for name in names]
    limits = ClientLimits(max_ending=2)
    async with open_client_hub(mosquitto.broker("server-1"), limits) as hub:
        for name in names:
            hub.disconnect(name)
        for node in nodes:
            assert await node.rest() == b""

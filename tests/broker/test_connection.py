"""What an admitted node may send, and how much of it."""

import asyncio

import pytest

from broker.embedded import EmbeddedHub, HubLimits, Refusal
from broker.fair_queue import MESSAGE_BYTES, TURN_BYTES
from broker.hub import Inbound
from broker.limits import RECEIVE_BYTES
from broker.topics import Channel, topic_for
from tests.broker.authority import HubAuthority
from tests.broker.conftest import Connect, OpenHub
from tests.broker.node import (
    DEADLINE,
    HubNode,
    packet,
    publish_packet,
    receive_all,
    string,
    until,
)

NODE = "default.gate-7"
OTHER = "default.gate-8"
REPORT = topic_for(NODE, Channel.REPORT)
DELTA = topic_for(NODE, Channel.DELTA)


async def test_a_will_is_never_published(hub: EmbeddedHub, connect: Connect) -> None:
    other = await connect(hub, OTHER, subscribe=True)
    for retain in (False, True):
        topic = topic_for(OTHER, Channel.DELTA)
        node = await connect(hub, NODE, will=(topic, b"forged"), will_retain=retain)
        await node.close()
        await until(lambda: not hub.is_connected(NODE))
        node = await connect(hub, NODE, will=(REPORT, b"{}"), will_retain=retain)
        await node.close()
        await until(lambda: not hub.is_connected(NODE))
    assert await other.is_alive()
    assert hub.queued_count == 0


async def test_a_session_does_not_outlive_its_connection(
    hub: EmbeddedHub, connect: Connect
) -> None:
    node = await connect(hub, NODE, clean=False, subscribe=True)
    await node.close()
    await until(lambda: not hub.is_connected(NODE))
    await connect(hub, NODE, clean=False)
    assert not hub.push(NODE, Channel.DELTA, b"{}")


@pytest.mark.parametrize(
    "topic",
    [
        topic_for(OTHER, Channel.REPORT),
        DELTA,
        "edge/v1/" + NODE + "/unknown",
        "edge/v1/+/report",
        "$SYS/broker/version",
        "#",
        "",
    ],
)
async def test_a_foreign_topic_ends_the_connection(
    hub: EmbeddedHub, connect: Connect, topic: str
) -> None:
    node = await connect(hub, NODE)
    node.publish(topic, b"{}", packet_id=1)
    assert await node.rest() == b""
    assert hub.counters[Refusal.TOPIC] == 1
    assert hub.queued_count == 0


async def test_qos_2_ends_the_connection(hub: EmbeddedHub, connect: Connect) -> None:
    node = await connect(hub, NODE)
    node.publish(REPORT, b"{}", packet_id=1, qos=2)
    assert await node.rest() == b""
    assert hub.counters[Refusal.QOS_2] == 1


async def test_only_the_own_two_topics_are_granted(hub: EmbeddedHub, connect: Connect) -> None:
    node = await connect(hub, NODE)
    await connect(hub, OTHER)
    foreign = ["#", "edge/v1/#", f"edge/v1/{NODE}/+", "edge/v1/+/delta", "$SYS/#", REPORT, ""]
    foreign += [topic_for(OTHER, Channel.DELTA), f"$share/group/{DELTA}"]
    node.subscribe(*foreign, packet_id=515)
    assert await node.read() == (0x90, b"\x02\x03" + b"\x80" * len(foreign))
    for qos, granted in ((0, 0), (1, 1), (2, 1)):
        node.subscribe(DELTA, qos=qos)
        assert await node.read() == (0x90, bytes((0, 1, granted)))
    assert not hub.push(NODE, Channel.DESIRE_RESPONSE, b"{}")
    assert hub.push(NODE, Channel.DELTA, b"{}")


async def test_unsubscribing_stops_pushes(hub: EmbeddedHub, connect: Connect) -> None:
    node = await connect(hub, NODE, subscribe=True)
    node.send(packet(0xA2, b"\x00\x05" + string(DELTA) + string("other")))
    assert await node.read() == (0xB0, b"\x00\x05")
    assert not hub.push(NODE, Channel.DELTA, b"{}")
    assert hub.push(NODE, Channel.DESIRE_RESPONSE, b"{}")


async def test_what_follows_connect_at_once_is_taken_in_order(
    hub: EmbeddedHub, authority: HubAuthority
) -> None:
    node = await HubNode.open(hub.port, authority.client_context(NODE))
    node.connect(NODE)
    node.subscribe(DELTA)
    node.publish(REPORT, b"{}", packet_id=1)
    (message,) = await hub.receive(1)
    message.ack()
    assert hub.push(NODE, Channel.DELTA, b"{}")
    assert await node.connack() == 0
    assert await node.read() == (0x90, b"\x00\x01\x01")
    assert await node.acked(1) == [1]
    assert await node.read() == (0x30, string(DELTA) + b"{}")
    await node.close()


@pytest.mark.parametrize(("name", "level"), [("MQTT", 5), ("MQTT", 3), ("MQIsdp", 3)])
async def test_another_version_of_mqtt_is_refused(
    hub: EmbeddedHub, authority: HubAuthority, name: str, level: int
) -> None:
    node = await HubNode.open(hub.port, authority.client_context(NODE))
    node.connect(NODE, name=name, level=level)
    assert await node.connack() == 1
    await node.close()


async def test_a_node_with_too_much_unacknowledged_is_not_read(
    open_hub: OpenHub, connect: Connect
) -> None:
    async with open_hub(limits=HubLimits(max_unacked=4)) as hub:
        node = await connect(hub, NODE)
        other = await connect(hub, OTHER)
        for number in range(50):
            node.publish(REPORT, b"%d" % number, packet_id=number + 1)
        node.send(b"\xc0\x00")
        held = await receive_all(hub, 4, ack=False)
        other.publish(topic_for(OTHER, Channel.REPORT), b"other", packet_id=1)
        (message,) = await hub.receive(10)
        assert message.payload == b"other"
        for message in held:
            message.ack()
        rest = await receive_all(hub, 46)
        assert [int(m.payload) for m in (*held, *rest)] == list(range(50))
        answers = [await node.read() for _ in range(51)]
        assert answers.count((0xD0, b"")) == 1
        acked = [int.from_bytes(body) for first, body in answers if first == 0x40]
        assert acked == list(range(1, 51))


async def test_a_full_queue_slows_nodes_and_drops_nothing(
    open_hub: OpenHub, connect: Connect
) -> None:
    async with open_hub(limits=HubLimits(max_queued=10)) as hub:
        names = [f"default.n{number}" for number in range(5)]
        nodes = [await connect(hub, name) for name in names]
        for name, node in zip(names, nodes, strict=True):
            for number in range(40):
                topic = topic_for(name, Channel.REPORT)
                node.publish(topic, b"%d" % number, packet_id=number + 1)
        await until(lambda: hub.queued_count >= 10)
        received: list[Inbound] = []
        while len(received) < 200:
            assert hub.queued_count <= 10 + len(nodes)
            received += await receive_all(hub, 1)
        for name in names:
            payloads = [int(m.payload) for m in received if m.node_id == name]
            assert payloads == list(range(40))


async def test_the_queue_is_bounded_in_bytes_too(open_hub: OpenHub, connect: Connect) -> None:
    async with open_hub(limits=HubLimits(max_queued_bytes=100_000)) as hub:
        node = await connect(hub, NODE)
        for number in range(20):
            node.publish(REPORT, b"x" * 60_000, packet_id=number + 1)
        await until(lambda: hub.queued_count == 2)
        assert len(await receive_all(hub, 20)) == 20


async def test_a_reader_that_does_not_read_is_closed(open_hub: OpenHub, connect: Connect) -> None:
    async with open_hub(limits=HubLimits(max_buffered_bytes=100_000)) as hub:
        node = await connect(hub, NODE, subscribe=True)
        node.writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(DEADLINE):
            while hub.push(NODE, Channel.DELTA, b"x" * 50_000):  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert not hub.is_connected(NODE)
        assert hub.counters[Refusal.SLOW_READER] == 1


async def test_pings_of_a_reader_that_does_not_read_are_bounded(
    open_hub: OpenHub, connect: Connect
) -> None:
    limits = HubLimits(max_buffered_bytes=1_000, node_messages_per_second=0)
    async with open_hub(limits=limits) as hub:
        node = await connect(hub, NODE)
        node.writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(DEADLINE):
            while hub.is_connected(NODE):
                node.send(b"\xc0\x00" * 5_000)
                await asyncio.sleep(0)
        assert hub.counters[Refusal.SLOW_READER] == 1


async def test_what_was_read_of_a_node_that_breaks_off_comes_out(
    open_hub: OpenHub, connect: Connect
) -> None:
    async with open_hub(limits=HubLimits(node_messages_per_second=1)) as hub:
        node = await connect(hub, NODE)
        node.send(b"".join(publish_packet(REPORT, b"%d" % n, packet_id=n + 1) for n in range(20)))
        first = await receive_all(hub, 10, ack=False)  # then it is over its budget
        node.reset()
        rest = await receive_all(hub, 10, ack=False)
        assert [int(message.payload) for message in (*first, *rest)] == list(range(20))
        await until(lambda: not hub.is_connected(NODE))


async def test_a_node_that_comes_back_has_no_more_room_than_before(
    open_hub: OpenHub, connect: Connect
) -> None:
    async with open_hub(limits=HubLimits(max_unacked=4)) as hub:
        flood = b"".join(publish_packet(REPORT, b"%d" % n, packet_id=n + 1) for n in range(20))
        for _ in range(5):
            node = await connect(hub, NODE)
            node.send(flood)
            node.send(b"\xc0\x00")
            await until(lambda: hub.queued_count == 4)
            node.reset()
            await until(lambda: not hub.is_connected(NODE))
        assert hub.queued_count == 4
        held = await receive_all(hub, 4)
        node = await connect(hub, NODE)
        node.send(flood)
        assert len(await receive_all(hub, 20)) == 20
        assert [int(message.payload) for message in held] == [0, 1, 2, 3]


async def test_nothing_is_read_while_the_queue_is_full(open_hub: OpenHub, connect: Connect) -> None:
    async with open_hub(limits=HubLimits(max_queued_bytes=200_000)) as hub:
        for number in range(20):
            name = f"default.n{number}"
            node = await connect(hub, name)
            for packet_id in range(1, 5):
                node.publish(topic_for(name, Channel.REPORT), b"x" * 50_000, packet_id=packet_id)
        await until(lambda: hub.queued_count == 4)
        received = 0
        while received < 80:
            assert hub.unstored_bytes < 260_000
            assert hub.unparsed_bytes <= 20 * 2 * RECEIVE_BYTES
            received += len(await receive_all(hub, 1))


async def test_packets_that_never_end_are_bounded_in_all(
    open_hub: OpenHub, connect: Connect
) -> None:
    async with open_hub(limits=HubLimits(max_unparsed_bytes=100_000)) as hub:
        nodes = []
        for number in range(10):
            name = f"default.n{number}"
            nodes.append(await connect(hub, name))
            whole = publish_packet(topic_for(name, Channel.REPORT), b"x" * 20_000, packet_id=1)
            nodes[-1].send(whole[:-1])
            await until(
                lambda: (
                    hub.unparsed_bytes >= 20_000 * min(len(nodes), 4)
                    and hub.unparsed_bytes <= 100_000
                )
            )
        await until(lambda: hub.counters[Refusal.SLOW_WRITER] >= 5)
        assert await nodes[0].rest() == b""  # the oldest went
        nodes[-1].send(b"x")
        (message,) = await receive_all(hub, 1)
        assert message.node_id == "default.n9"


async def test_budgets_hold_a_node_and_lose_nothing(open_hub: OpenHub, connect: Connect) -> None:
    loop = asyncio.get_running_loop()
    async with open_hub(limits=HubLimits(node_messages_per_second=50)) as hub:
        node, other = await connect(hub, NODE), await connect(hub, OTHER)
        began = loop.time()
        for number in range(510):
            node.publish(REPORT, b"%d" % number, packet_id=number + 1)
        other.publish(topic_for(OTHER, Channel.REPORT), b"other", packet_id=1)
        taken = await receive_all(hub, 511)
        assert loop.time() - began >= 9 / 50
        numbers = [int(m.payload) for m in taken if m.node_id == NODE]
        assert numbers == list(range(510))


@pytest.mark.parametrize(
    ("flood", "counted"),
    [
        (packet(0xC0, b""), 1),
        (packet(0x82, b"\0\1" + (string("a") + b"\1") * 1000), 63),
        (packet(0xA2, b"\0\1" + string("a") * 1000), 47),
    ],
)
async def test_packets_without_content_count_as_messages(
    open_hub: OpenHub, connect: Connect, flood: bytes, counted: int
) -> None:
    loop = asyncio.get_running_loop()
    async with open_hub(limits=HubLimits(node_messages_per_second=100)) as hub:
        node = await connect(hub, NODE)
        began = loop.time()
        node.send(flood * (1100 // counted + 2))
        answers = 0
        while answers < 1100 // counted + 2:
            await node.read()
            answers += 1
        assert loop.time() - began >= 0.5


async def test_a_flood_that_is_gone_costs_nothing_more(open_hub: OpenHub, connect: Connect) -> None:
    async with open_hub(limits=HubLimits(node_messages_per_second=1)) as hub:
        node = await connect(hub, NODE)
        node.send(packet(0x82, b"\0\1" + (string("a") + b"\1") * 1000) * 20)
        await until(lambda: hub.unparsed_bytes > 0)
        node.reset()
        await until(lambda: not hub.is_connected(NODE))
        assert hub.counters[Refusal.SUBSCRIPTION] == 1000


async def test_a_node_over_its_bytes_is_held_too(open_hub: OpenHub, connect: Connect) -> None:
    loop = asyncio.get_running_loop()
    async with open_hub(limits=HubLimits(node_bytes_per_second=250_000)) as hub:
        node = await connect(hub, NODE)
        began = loop.time()
        for number in range(3):
            node.publish(REPORT, b"x" * 520_000, packet_id=number + 1)
        assert len(await receive_all(hub, 3)) == 3
        assert loop.time() - began >= 0.15


async def test_nodes_are_taken_in_turns(open_hub: OpenHub, connect: Connect) -> None:
    async with open_hub() as hub:
        flooding, other = await connect(hub, NODE), await connect(hub, OTHER)
        for number in range(60):
            flooding.publish(REPORT, b"%d" % number, packet_id=number + 1)
        await until(lambda: hub.queued_count == 60)
        other.publish(topic_for(OTHER, Channel.REPORT), b"other", packet_id=1)
        await until(lambda: hub.queued_count == 61)
        taken = [message.node_id for message in await hub.receive(61)]
        assert taken.index(OTHER) <= TURN_BYTES // MESSAGE_BYTES


async def test_nodes_that_do_not_read_are_bounded_together(
    open_hub: OpenHub, connect: Connect
) -> None:
    limits = HubLimits(max_buffered_bytes=600_000, max_buffered_total_bytes=1_000_000)
    async with open_hub(limits=limits) as hub:
        names = [f"default.n{number}" for number in range(4)]
        for name in names:
            node = await connect(hub, name, subscribe=True)
            node.writer.transport.pause_reading()  # type: ignore[attr-defined]
        # What the system takes by itself does not wait here.
        for name in (name for _ in range(100) for name in names):
            if hub.counters[Refusal.SLOW_READER]:
                break
            hub.push(name, Channel.DELTA, b"x" * 300_000)
            await asyncio.sleep(0)
            assert hub.waiting_bytes <= 1_000_000
        assert hub.counters[Refusal.SLOW_READER]
        reader = await connect(hub, OTHER, subscribe=True)
        assert hub.push(OTHER, Channel.DELTA, b"y" * 500_000)
        assert (await reader.read())[1].endswith(b"y")

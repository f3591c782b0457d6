"""What the embedded hub refuses and survives; D1 to D7 are defects found in amqtt 0.12.1."""

import asyncio
import gc
import logging
import socket
import ssl
from dataclasses import replace
from datetime import timedelta

import pytest

from broker.embedded import EmbeddedHub, HubLimits, Refusal, open_embedded_hub
from broker.errors import HubClosed
from broker.hub import Inbound
from broker.topics import Channel, topic_for
from tests.broker.authority import Authority
from tests.broker.conftest import Connect, OpenHub, let_in
from tests.broker.node import DEADLINE, Node, connect_packet, packet, publish_packet, string, until

NODE = "default.gate-7"
OTHER = "default.gate-8"
REPORT = topic_for(NODE, Channel.REPORT)
DELTA = topic_for(NODE, Channel.DELTA)
SOON = timedelta(milliseconds=200)


async def receive_all(hub: EmbeddedHub, count: int, *, ack: bool = True) -> list[Inbound]:
    received: list[Inbound] = []
    async with asyncio.timeout(DEADLINE):
        while len(received) < count:
            messages = await hub.receive(100)
            received += messages
            for message in messages if ack else ():
                message.ack()
    return received


# Identity


async def test_d1_a_certificate_opens_only_its_own_session(
    hub: EmbeddedHub, authority: Authority, connect: Connect
) -> None:
    victim = await connect(hub, NODE, clean=False, subscribe=True)
    await victim.close()
    await until(lambda: not hub.is_connected(NODE))
    thief = await Node.open(hub.port, authority.client_context(OTHER))
    thief.connect(NODE, clean=False)
    assert await thief.connack() == 2
    assert await thief.rest() == b""
    assert hub.counters[Refusal.IDENTITY] == 1
    await thief.close()


async def test_d2_who_is_refused_does_not_touch_the_connected_node(
    hub: EmbeddedHub, authority: Authority, connect: Connect
) -> None:
    victim = await connect(hub, NODE, subscribe=True)
    for clean in (True, False):
        thief = await Node.open(hub.port, authority.client_context(OTHER))
        thief.connect(NODE, clean=clean, login=("admin", "wrong"))
        assert await thief.connack() == 2
        await thief.close()
    assert hub.push(NODE, Channel.DELTA, b"{}")
    assert await victim.read() == (0x30, string(DELTA) + b"{}")
    assert await victim.is_alive()


async def test_d2_who_the_gate_refuses_does_not_touch_the_connected_node(
    open_hub: OpenHub, authority: Authority, connect: Connect
) -> None:
    answers = [True, False]

    async def gate(node_id: str, serial: int) -> bool:
        return answers.pop(0)

    async with open_hub(gate=gate) as hub:
        victim = await connect(hub, NODE, subscribe=True)
        revoked = await Node.open(hub.port, authority.client_context(NODE))
        revoked.connect(NODE)
        assert await revoked.connack() == 5
        assert await revoked.rest() == b""
        assert await victim.is_alive()
        assert hub.push(NODE, Channel.DELTA, b"{}")
        assert hub.counters[Refusal.GATE] == 1
        await revoked.close()


@pytest.mark.parametrize("client_id", ["", OTHER, NODE + "x", NODE.upper(), b"\xff", "#"])
async def test_a_client_id_other_than_the_common_name_is_refused(
    hub: EmbeddedHub, authority: Authority, client_id: str | bytes
) -> None:
    node = await Node.open(hub.port, authority.client_context(NODE))
    node.connect(client_id)
    assert await node.connack() == 2
    assert await node.rest() == b""
    await node.close()


@pytest.mark.parametrize("names", [[], [NODE, OTHER], ["a/b"], ["#"]], ids=repr)
async def test_a_certificate_has_to_have_one_name_fit_for_a_topic(
    hub: EmbeddedHub, authority: Authority, names: list[str]
) -> None:
    context = authority.client_context(None)
    context.load_cert_chain(authority.issue(f"odd {len(names)} {hash(str(names))}", names))
    for client_id in ["", *names]:
        node = await Node.open(hub.port, context)
        node.connect(client_id)
        assert await node.connack() == 2
        await node.close()
    assert hub.connection_count == 0


async def test_the_gate_is_asked_with_name_and_serial_number(
    open_hub: OpenHub, authority: Authority, connect: Connect
) -> None:
    asked: list[tuple[str, int]] = []

    async def gate(node_id: str, serial: int) -> bool:
        asked.append((node_id, serial))
        return True

    async with open_hub(gate=gate) as hub:
        await connect(hub, NODE)
    assert asked == [(NODE, authority.serials[NODE])]


async def test_a_gate_that_raises_lets_nobody_in(
    open_hub: OpenHub, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async def gate(node_id: str, serial: int) -> bool:
        raise LookupError

    async with open_hub(gate=gate) as hub:
        node = await Node.open(hub.port, authority.client_context(NODE))
        node.connect(NODE)
        assert await node.connack() == 5
        assert hub.counters[Refusal.GATE_FAILED] == 1
        assert "gate failed" in caplog.text
        await node.close()


async def test_a_gate_that_does_not_answer_is_not_waited_for(
    open_hub: OpenHub, authority: Authority
) -> None:
    async def gate(node_id: str, serial: int) -> bool:
        await asyncio.Event().wait()
        return True

    async with open_hub(gate=gate, limits=HubLimits(gate_timeout=SOON)) as hub:
        node = await Node.open(hub.port, authority.client_context(NODE))
        node.connect(NODE)
        assert await node.connack() == 3
        await node.close()


async def test_disconnect_while_the_gate_is_asked_is_not_missed(
    open_hub: OpenHub, authority: Authority
) -> None:
    read, go_on = asyncio.Event(), asyncio.Event()

    async def gate(node_id: str, serial: int) -> bool:
        read.set()  # what it read says: welcome
        await go_on.wait()
        return True

    async with open_hub(gate=gate) as hub:
        node = await Node.open(hub.port, authority.client_context(NODE))
        node.connect(NODE)
        async with asyncio.timeout(DEADLINE):
            await read.wait()
        hub.disconnect(NODE)  # revoked after that
        go_on.set()
        assert await node.rest() == b""
        assert not hub.is_connected(NODE)
        await node.close()


async def test_d7_a_second_connection_ends_the_first(hub: EmbeddedHub, connect: Connect) -> None:
    first = await connect(hub, NODE, subscribe=True)
    first.publish(REPORT, b"first", packet_id=1)
    (message,) = await hub.receive(1)
    second = await connect(hub, NODE, subscribe=True)
    message.ack()
    assert await first.rest() == b""
    assert hub.push(NODE, Channel.DELTA, b"{}")
    assert await second.read() == (0x30, string(DELTA) + b"{}")
    assert hub.connection_count == 1
    assert hub.counters[Refusal.REPLACED] == 1


async def test_of_two_connections_the_newer_one_stays_whoever_the_gate_answers_first(
    open_hub: OpenHub, authority: Authority
) -> None:
    gates: list[asyncio.Future[bool]] = []

    async def gate(node_id: str, serial: int) -> bool:
        gates.append(asyncio.get_running_loop().create_future())
        return await gates[-1]

    async with open_hub(gate=gate) as hub:
        nodes = []
        for count in (1, 2):
            nodes.append(await Node.open(hub.port, authority.client_context(NODE)))
            nodes[-1].connect(NODE)
            await until(lambda count=count: len(gates) == count)  # type: ignore[misc]
        gates[1].set_result(True)
        assert await nodes[1].connack() == 0
        gates[0].set_result(True)
        assert await nodes[0].rest() == b""
        assert await nodes[1].is_alive()
        for node in nodes:
            await node.close()


# TLS


async def refused_by_tls(hub: EmbeddedHub, context: ssl.SSLContext) -> None:
    # With TLS 1.3 the client learns of it with its first read.
    try:
        node = await Node.open(hub.port, context)
    except (ssl.SSLError, OSError):
        pass
    else:
        node.connect(NODE)
        assert await node.rest() == b""
        await node.close()
    await until(lambda: hub.counters[Refusal.TLS_FAILED] == 1)
    assert hub.connection_count == 0


async def test_a_certificate_of_a_foreign_authority_is_refused(
    hub: EmbeddedHub, authority: Authority, foreign_authority: Authority
) -> None:
    context = foreign_authority.client_context(NODE)
    context.load_verify_locations(authority.root_file)
    await refused_by_tls(hub, context)


async def test_an_expired_certificate_is_refused(hub: EmbeddedHub, authority: Authority) -> None:
    await refused_by_tls(hub, authority.expired_context())


async def test_no_certificate_is_refused(hub: EmbeddedHub, authority: Authority) -> None:
    await refused_by_tls(hub, authority.client_context(None))


async def test_a_certificate_of_a_server_is_refused(hub: EmbeddedHub, authority: Authority) -> None:
    context = authority.client_context(None)
    context.load_cert_chain(authority.issue("server", ["localhost"], is_server=True))
    await refused_by_tls(hub, context)


async def test_bytes_that_are_not_tls_are_refused(hub: EmbeddedHub) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    writer.write(connect_packet(NODE))
    async with asyncio.timeout(DEADLINE):
        assert b"\x20\x02" not in await reader.read()
    writer.close()
    await until(lambda: hub.counters[Refusal.TLS_FAILED] == 1)


async def test_a_context_that_asks_for_no_certificate_is_not_accepted(
    server_tls: ssl.SSLContext,
) -> None:
    server_tls.verify_mode = ssl.CERT_OPTIONAL
    with pytest.raises(ValueError, match="certificate"):
        async with open_embedded_hub(host="127.0.0.1", port=0, tls=server_tls, gate=let_in):
            pass


# Silence


async def test_a_connection_that_never_begins_tls_is_closed(
    open_hub: OpenHub, connect: Connect
) -> None:
    async with open_hub(limits=HubLimits(handshake_timeout=SOON, max_connecting=3)) as hub:
        silent = [await asyncio.open_connection("127.0.0.1", hub.port) for _ in range(3)]
        for reader, _ in silent:
            async with asyncio.timeout(DEADLINE):
                assert await reader.read() == b""
        await connect(hub, NODE)
        for _, writer in silent:
            writer.close()


async def test_a_connection_without_connect_is_closed(
    open_hub: OpenHub, authority: Authority
) -> None:
    async with open_hub(limits=HubLimits(connect_timeout=SOON)) as hub:
        for beginning in (b"", connect_packet(NODE)[:-1]):
            node = await Node.open(hub.port, authority.client_context(NODE))
            node.send(beginning)
            assert await node.rest() == b""
            await node.close()
        assert hub.counters[Refusal.CONNECT_TIMEOUT] == 2


async def test_d6_a_node_silent_for_one_and_a_half_keep_alives_is_closed(
    hub: EmbeddedHub, connect: Connect
) -> None:
    loop = asyncio.get_running_loop()
    node = await connect(hub, NODE, keep_alive=1)
    began = loop.time()
    assert await node.rest() == b""
    assert loop.time() - began >= 1.4
    assert not hub.is_connected(NODE)
    assert hub.counters[Refusal.SILENT] == 1


async def test_d6_a_node_that_pings_stays(hub: EmbeddedHub, connect: Connect) -> None:
    node = await connect(hub, NODE, keep_alive=1)
    await connect(hub, OTHER, keep_alive=1)
    while hub.is_connected(OTHER):
        assert await node.is_alive()
    assert await node.is_alive()


async def test_a_silent_node_without_keep_alive_is_closed(
    open_hub: OpenHub, connect: Connect
) -> None:
    async with open_hub(limits=HubLimits(max_silence=SOON)) as hub:
        for keep_alive in (0, 65_535):
            node = await connect(hub, NODE, keep_alive=keep_alive)
            assert await node.rest() == b""
        assert hub.counters[Refusal.SILENT] == 2


async def test_a_connection_too_many_is_closed_at_once(open_hub: OpenHub, connect: Connect) -> None:
    async with open_hub(limits=HubLimits(max_connections=1)) as hub:
        node = await connect(hub, NODE)
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        async with asyncio.timeout(DEADLINE):
            assert await reader.read() == b""
        writer.close()
        assert hub.counters[Refusal.TOO_MANY_CONNECTIONS] == 1
        assert await node.is_alive()
        await node.close()
        await until(lambda: not hub.is_connected(NODE))
        await connect(hub, OTHER)


# Messages


async def test_d3_a_burst_before_disconnect_comes_out_whole(
    hub: EmbeddedHub, connect: Connect
) -> None:
    node = await connect(hub, NODE)
    for number in range(500):
        node.publish(REPORT, b"%d" % number + b"x" * 400, packet_id=number + 1)
    node.send(b"\xe0\x00")
    received = await receive_all(hub, 500)
    assert [int(message.payload.split(b"x")[0]) for message in received] == list(range(500))


async def test_d3_a_burst_before_the_connection_breaks_comes_out_whole(
    hub: EmbeddedHub, connect: Connect
) -> None:
    for _ in range(20):
        node = await connect(hub, NODE)
        for number in range(50):
            node.publish(REPORT, b"%d" % number, packet_id=number + 1)
        await node.writer.drain()
        node.writer.close()
        received = await receive_all(hub, 50, ack=False)
        assert [message.payload for message in received] == [b"%d" % n for n in range(50)]


async def test_d5_nothing_is_retained(
    hub: EmbeddedHub, authority: Authority, connect: Connect
) -> None:
    publisher = await connect(hub, NODE)
    publisher.publish(REPORT, b"{}", packet_id=1, retain=True)
    assert await publisher.rest() == b""
    assert hub.counters[Refusal.RETAINED] == 1
    assert hub.queued_count == 0
    await connect(hub, OTHER, subscribe=True)
    newcomer = await connect(hub, NODE, clean=False)
    newcomer.subscribe(REPORT, DELTA)
    assert await newcomer.read() == (0x90, b"\x00\x01\x80\x01")
    assert await newcomer.is_alive()


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
    hub: EmbeddedHub, authority: Authority
) -> None:
    node = await Node.open(hub.port, authority.client_context(NODE))
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
    hub: EmbeddedHub, authority: Authority, name: str, level: int
) -> None:
    node = await Node.open(hub.port, authority.client_context(NODE))
    node.connect(NODE, name=name, level=level)
    assert await node.connack() == 1
    await node.close()


# Broken packets

GARBAGE = {
    "endless length": b"\x30\xff\xff\xff\xff\x01",
    "reserved type 0": b"\x00\x00",
    "reserved type 15": b"\xf0\x00",
    "subscribe with wrong flags": b"\x80\x02\x00\x01",
    "subscribe without topics": b"\x82\x02\x00\x01",
    "subscribe cut off": b"\x82\x04\x00\x01\x00\x09",
    "subscribe without qos": packet(0x82, b"\x00\x01" + string(DELTA)),
    "subscribe at qos 3": packet(0x82, b"\x00\x01" + string(DELTA) + b"\x03"),
    "subscribe of one byte": b"\x82\x01\x00",
    "unsubscribe without topics": b"\xa2\x02\x00\x01",
    "empty publish": b"\x32\x00",
    "publish shorter than its topic": b"\x32\x03\x00\x09x",
    "publish without packet id": packet(0x32, string(REPORT)),
    "publish with packet id 0": packet(0x32, string(REPORT) + b"\x00\x00"),
    "publish at qos 3": packet(0x36, string(REPORT) + b"\x00\x01"),
    "topic that is not utf-8": packet(0x32, string(b"\xff\xfe") + b"\x00\x01"),
    "second connect": connect_packet(NODE),
    "connack": b"\x20\x02\x00\x00",
    "puback": b"\x40\x02\x00\x01",
    "pubrel": b"\x62\x02\x00\x01",
    "pingresp": b"\xd0\x00",
    "text": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_a_broken_packet_ends_its_connection_alone(
    hub: EmbeddedHub, connect: Connect, garbage: bytes
) -> None:
    other = await connect(hub, OTHER)
    node = await connect(hub, NODE)
    node.send(garbage)
    assert await node.rest() == b""
    assert hub.counters[Refusal.MALFORMED] + hub.counters[Refusal.OVERSIZE] == 1
    assert await other.is_alive()


@pytest.mark.parametrize(
    "garbage",
    [*GARBAGE.values(), packet(0x10, b""), packet(0x10, string("MQTT") + b"\x04"), b"\xe0\x00"],
    ids=repr,
)
async def test_a_broken_first_packet_ends_its_connection_alone(
    hub: EmbeddedHub, authority: Authority, garbage: bytes
) -> None:
    if garbage == GARBAGE["second connect"]:
        garbage = connect_packet(NODE, name="MQTX")
    node = await Node.open(hub.port, authority.client_context(NODE))
    node.send(garbage)
    assert await node.rest() == b""
    assert hub.counters[Refusal.MALFORMED] + hub.counters[Refusal.NO_CONNECT] == 1
    assert hub.counters[Refusal.INTERNAL_ERROR] == 0
    await node.close()


async def test_packets_may_come_in_any_pieces(hub: EmbeddedHub, connect: Connect) -> None:
    node = await connect(hub, NODE)
    stream = b"".join(
        publish_packet(REPORT, b"%d" % number * 50, packet_id=number + 1) for number in range(5)
    )
    for position in range(0, len(stream), 7):
        node.send(stream[position : position + 7])
        await node.writer.drain()
        await asyncio.sleep(0)
    received = await receive_all(hub, 5)
    assert [message.payload for message in received] == [b"%d" % n * 50 for n in range(5)]


async def test_a_large_packet_comes_out_whole(hub: EmbeddedHub, connect: Connect) -> None:
    node = await connect(hub, NODE)
    payload = bytes(range(256)) * 4000
    node.publish(REPORT, payload, packet_id=1)
    (message,) = await hub.receive(1)
    assert message.payload == payload


async def test_an_oversize_packet_is_refused_by_its_header(
    hub: EmbeddedHub, connect: Connect
) -> None:
    node = await connect(hub, NODE)
    node.send(b"\x32\xff\xff\xff\x7f")  # announces 256 MiB and sends nothing of it
    assert await node.rest() == b""
    assert hub.counters[Refusal.OVERSIZE] == 1


@pytest.mark.parametrize("first_byte", [0x10, 0x82, 0xA2, 0xC0, 0xE0])
async def test_an_oversize_control_packet_is_refused_by_its_header(
    hub: EmbeddedHub, authority: Authority, connect: Connect, first_byte: int
) -> None:
    if first_byte == 0x10:
        node = await Node.open(hub.port, authority.client_context(NODE))
    else:
        node = await connect(hub, NODE)
    node.send(bytes((first_byte,)) + b"\x80\x80\x02")  # 32 KiB
    assert await node.rest() == b""
    assert hub.counters[Refusal.OVERSIZE] == 1
    await node.close()


# Too much


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
    async with open_hub(limits=HubLimits(max_buffered_bytes=1_000)) as hub:
        node = await connect(hub, NODE)
        node.writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(DEADLINE):
            while hub.is_connected(NODE):
                node.send(b"\xc0\x00" * 5_000)
                await asyncio.sleep(0)
        assert hub.counters[Refusal.SLOW_READER] == 1


# Opening and closing


async def test_a_taken_port_is_an_error(open_hub: OpenHub) -> None:
    async with open_hub() as hub:
        with pytest.raises(OSError, match="in use"):
            async with open_hub(port=hub.port):
                pass


async def test_an_error_in_the_block_comes_out_as_it_is(open_hub: OpenHub) -> None:
    with pytest.raises(LookupError):
        async with open_hub():
            raise LookupError


async def test_closing_ends_every_connection_and_task(
    open_hub: OpenHub, authority: Authority, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    before = asyncio.all_tasks()
    async with open_hub(limits=replace(HubLimits(), close_timeout=SOON)) as hub:
        node = await connect(hub, NODE, subscribe=True)
        deaf = await connect(hub, OTHER, subscribe=True)
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        assert hub.push(OTHER, Channel.DELTA, b"x" * 4_000_000)
        no_tls = socket.create_connection(("127.0.0.1", hub.port))
        no_connect = await Node.open(hub.port, authority.client_context(NODE))
        node.publish(REPORT, b"{}", packet_id=1)
        await until(lambda: hub.queued_count == 1)
    assert asyncio.all_tasks() == before
    assert await node.rest() == b""
    assert await no_connect.rest() == b""
    no_tls.close()
    await no_connect.close()
    (message,) = await hub.receive(1)
    message.ack()
    with pytest.raises(HubClosed):
        await hub.receive(1)
    gc.collect()
    assert caplog.text == ""

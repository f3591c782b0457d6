"""Broken, split and oversize packets."""

import asyncio

import pytest

from broker.embedded import EmbeddedHub, Refusal
from broker.topics import Channel, topic_for
from tests.broker.authority import HubAuthority
from tests.broker.conftest import Connect
from tests.broker.node import (
    HubNode,
    connect_packet,
    packet,
    publish_packet,
    receive_all,
    string,
)

NODE = "default.gate-7"
OTHER = "default.gate-8"
REPORT = topic_for(NODE, Channel.REPORT)
DELTA = topic_for(NODE, Channel.DELTA)


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
    hub: EmbeddedHub, authority: HubAuthority, garbage: bytes
) -> None:
    if garbage == GARBAGE["second connect"]:
        garbage = connect_packet(NODE, name="MQTX")
    node = await HubNode.open(hub.port, authority.client_context(NODE))
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
    hub: EmbeddedHub, authority: HubAuthority, connect: Connect, first_byte: int
) -> None:
    if first_byte == 0x10:
        node = await HubNode.open(hub.port, authority.client_context(NODE))
    else:
        node = await connect(hub, NODE)
    node.send(bytes((first_byte,)) + b"\x80\x80\x02")  # 32 KiB
    assert await node.rest() == b""
    assert hub.counters[Refusal.OVERSIZE] == 1
    await node.close()


async def test_nothing_but_connect_is_waited_for_before_connect(
    hub: EmbeddedHub, authority: HubAuthority
) -> None:
    node = await HubNode.open(hub.port, authority.client_context(NODE))
    node.send(b"\x32\xff\xff\x03")  # announces a PUBLISH of 64 KiB and sends nothing of it
    assert await node.rest() == b""
    assert hub.counters == {Refusal.NO_CONNECT: 1}
    await node.close()

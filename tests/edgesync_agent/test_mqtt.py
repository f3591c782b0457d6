"""The agent's packets, beside those of two other implementations."""

import asyncio
import struct
from typing import Any

import pytest
from amqtt.mqtt.connack import ConnackPacket
from amqtt.mqtt.connect import ConnectPacket
from amqtt.mqtt.packet import MQTTFixedHeader
from amqtt.mqtt.puback import PubackPacket
from amqtt.mqtt.publish import PublishPacket
from amqtt.mqtt.subscribe import SubscribePacket
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edgesync_agent.errors import HubConnectionLost
from edgesync_agent.mqtt import (
    DISCONNECT,
    PINGREQ,
    Splitter,
    connect_packet,
    packet,
    puback_packet,
    publish_packet,
    read_publish,
    subscribe_packet,
)

numbers = st.integers(1, 0xFFFF)
topics = st.text(st.characters(codec="utf-8", exclude_characters="\0+#"), min_size=1, max_size=200)
payloads = st.binary(max_size=400)


class Bytes:
    """What amqtt reads from."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def read(self, n: int = -1) -> bytes:
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def feed_eof(self) -> None:
        self.data = b""


def amqtt_reads(kind: Any, data: bytes) -> Any:
    async def read() -> Any:
        stream: Any = Bytes(data)
        header = await MQTTFixedHeader.from_stream(stream)
        assert header is not None
        found = await kind.from_stream(stream, fixed_header=header)
        assert not stream.data
        return found

    return asyncio.run(read())


@given(st.text("abc.-7", min_size=1, max_size=64), st.integers(0, 0xFFFF))
def test_connect_has_the_client_id_and_a_clean_session(client_id: str, keep_alive: int) -> None:
    read = amqtt_reads(ConnectPacket, connect_packet(client_id, keep_alive))
    assert read.client_id == client_id
    assert read.keep_alive == keep_alive
    assert read.clean_session_flag
    assert read.proto_level == 4
    assert [read.username_flag, read.password_flag, read.will_flag] == [False] * 3


@given(numbers, st.lists(topics, min_size=1, max_size=3), st.sampled_from([0, 1]))
def test_subscribe_asks_for_every_topic(number: int, wanted: list[str], qos: int) -> None:
    read = amqtt_reads(SubscribePacket, subscribe_packet(number, wanted, qos))
    assert read.variable_header.packet_id == number
    assert read.payload.topics == [(topic, qos) for topic in wanted]


@given(numbers, topics, st.binary(max_size=70_000))
def test_publish_carries_its_payload_at_qos_1(number: int, topic: str, payload: bytes) -> None:
    read = amqtt_reads(PublishPacket, publish_packet(number, topic, payload))
    assert (read.topic_name, read.data, read.qos) == (topic, payload, 1)
    assert read.packet_id == number
    assert [read.retain_flag, read.dup_flag] == [False] * 2


@given(numbers)
def test_puback_acknowledges_its_number(number: int) -> None:
    assert amqtt_reads(PubackPacket, puback_packet(number)).packet_id == number


@given(topics, payloads, numbers, st.sampled_from([0, 1]))
def test_what_amqtt_publishes_is_read_as_it_was_meant(
    topic: str, payload: bytes, number: int, qos: int
) -> None:
    written = PublishPacket.build(
        topic, payload, number if qos else None, dup_flag=False, qos=qos, retain=False
    )
    ((first, body),) = Splitter().feed(written.to_bytes())
    assert read_publish(first, body) == (number if qos else None, topic, payload)


def test_the_return_codes_of_amqtt_are_distinguished() -> None:
    ((first, body),) = Splitter().feed(ConnackPacket.build(0, 5).to_bytes())
    assert (first, body[1]) == (0x20, 5)


@given(st.integers(0, 268_435_455))
def test_a_length_is_written_as_paho_writes_it(length: int) -> None:
    class PacketBody(bytes):
        def __len__(self) -> int:
            return length

    expected = bytearray()
    Client(CallbackAPIVersion.VERSION2)._pack_remaining_length(expected, length)
    assert packet(0x30, PacketBody())[1:] == bytes(expected)


def test_the_packets_without_a_body_are_two_bytes() -> None:
    assert (PINGREQ, DISCONNECT) == (b"\xc0\x00", b"\xe0\x00")


@given(st.lists(st.tuples(topics, payloads), max_size=5), st.data())
def test_a_stream_falls_into_its_packets_wherever_it_is_cut(
    messages: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(publish_packet(7, topic, payload) for topic, payload in messages)
    splitter, found = Splitter(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += splitter.feed(stream[:size])
        stream = stream[size:]
    assert [read_publish(*one)[1:] for one in found] == messages
    assert not splitter.buffer


@pytest.mark.parametrize("data", [b"\x30\xff\xff\xff\xff", b"\x30\xff\xff\xff\x7f"])
def test_a_length_that_cannot_be_ends_the_connection(data: bytes) -> None:
    with pytest.raises(HubConnectionLost):
        Splitter().feed(data)


@given(st.integers(0x30, 0x3D), st.binary(max_size=40))
def test_a_broken_publish_is_lost_and_nothing_worse(first: int, body: bytes) -> None:
    try:
        number, topic, payload = read_publish(first, body)
    except HubConnectionLost:
        return
    again = struct.pack("!H", len(topic.encode())) + topic.encode()
    again += b"" if number is None else struct.pack("!H", number)
    assert again + payload == body

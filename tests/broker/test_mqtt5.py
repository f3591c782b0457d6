"""The packets of a server and a broker: as the standard writes them, in any pieces, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from broker.errors import MalformedPacket
from broker.mqtt5 import (
    MAX_RECEIVE_MAXIMUM,
    Acknowledgement,
    Connack,
    Disconnect,
    Packet,
    PacketReader,
    Pingresp,
    PublishPacket,
    acknowledged_publish_bytes,
    connect_bytes,
    disconnect_bytes,
    publish_bytes,
    subscribe_bytes,
    unsubscribe_bytes,
)
from broker.wire import MAX_REMAINING_LENGTH

LONGEST = 1000

WRITTEN = {
    "10 1c 0004 4d515454 05 00 000f 0d 11 00015180 21 03e8 27 00100400 0002 7331": connect_bytes(
        "s1",
        keep_alive=15,
        session_expiry=86_400,
        receive_maximum=1_000,
        max_packet_bytes=0x100400,
    ),
    "10 1c 0004 4d515454 05 02 000f 0d 11 00000000 21 0001 27 00000100 0002 7331": connect_bytes(
        "s1",
        keep_alive=15,
        session_expiry=0,
        receive_maximum=1,
        max_packet_bytes=256,
        clean_start=True,
    ),
    "82 0b 0007 00 0001 61 01 0001 62 01": subscribe_bytes(7, ["a", "b"]),
    "a2 09 0007 00 0001 61 0001 62": unsubscribe_bytes(7, ["a", "b"]),
    "30 06 0001 61 00 7b7d": publish_bytes("a", b"{}"),
    "32 0d 0001 61 ffff 05 02 0000001e 7b7d": acknowledged_publish_bytes("a", 0xFFFF, b"{}", 30),
    "30 8401 0001 61 00" + "78" * 128: publish_bytes("a", b"x" * 128),
    "e0 00": disconnect_bytes(),
    "e0 07 00 05 11 00000000": disconnect_bytes(session_expiry=0),
    "e0 01 81": disconnect_bytes(0x81),
}

READ = {
    "20 09 00 00 06 22 000a 21 0014": Connack(0, receive_maximum=20),
    "20 0b 01 00 08 21 03e8 27 00100400": Connack(
        0, receive_maximum=1_000, max_packet_bytes=0x100400
    ),
    "20 06 00 00 03 13 000a": Connack(0, keep_alive=10),
    "20 03 00 87 00": Connack(0x87),
    # assigned client id, reason, user property, wildcard subscriptions
    "20 15 00 00 12 12 0002 7331 1f 0001 78 26 0001 6b 0001 76 28 00": Connack(0),
    "30 06 0001 61 00 7b7d": PublishPacket(b"a", 0, b"{}"),
    "32 08 0001 61 0007 00 7b7d": PublishPacket(b"a", 7, b"{}"),
    "3a 0d 0001 61 0007 05 02 0000001e 7b7d": PublishPacket(b"a", 7, b"{}"),
    "32 06 0001 61 0007 00": PublishPacket(b"a", 7, b""),
    "40 02 0007": Acknowledgement(7, 0),
    "40 03 0007 10": Acknowledgement(7, 0x10),
    "40 04 0007 97 00": Acknowledgement(7, 0x97),
    "90 05 0007 00 01 87": Acknowledgement(7, 0x87),
    "b0 05 0007 00 00 11": Acknowledgement(7, 0x11),
    "d0 00": Pingresp(),
    "e0 00": Disconnect(0),
    "e0 01 8e": Disconnect(0x8E),
    "e0 02 8b 00": Disconnect(0x8B),
}

REFUSED = {
    "10 00": "CONNECT is of clients",
    "50 02 0007": "PUBREC is of QoS 2",
    "f0 00": "AUTH was not asked for",
    "34 08 0001 61 0007 00 7b7d": "QoS 2",
    "36 08 0001 61 0007 00 7b7d": "QoS 3",
    "32 08 0001 61 0000 00 7b7d": "packet id 0",
    "30 00": "no topic",
    "30 02 0001": "topic longer than the packet",
    "30 03 0001 61": "no properties",
    "30 04 0001 61 05": "properties longer than the packet",
    "30 05 0001 61 ffff": "length of properties does not end",
    "20 01 00": "no reason",
    "20 03 00 00 02": "properties that do not end",
    "20 05 00 00 02 21 00": "a number that does not end",
    "20 05 00 00 02 7f 00": "unknown property",
    "20 06 00 00 03 21 0000": "receive maximum 0",
    "20 04 00 00 00 00": "more than its properties",
    "40 01 00": "half a packet id",
    "90 03 0007 05": "properties that do not end",
    "d0 01 00": "PINGRESP with a body",
    "30 ff ff ff ff 7f": "remaining length of five bytes",
    "30 ff 7f": "longer than was asked for",
}


def packets_of(reader: PacketReader) -> list[Packet]:
    found: list[Packet] = []
    while (packet := reader.next_packet()) is not None:
        found.append(packet)
    return found


def read(data: bytes) -> list[Packet]:
    reader = PacketReader(LONGEST)
    reader.feed(data)
    return packets_of(reader)


@pytest.mark.parametrize("expected", WRITTEN)
def test_what_is_written(expected: str) -> None:
    assert WRITTEN[expected].hex() == expected.replace(" ", "")


@pytest.mark.parametrize("data", READ)
def test_what_is_read(data: str) -> None:
    assert read(bytes.fromhex(data)) == [READ[data]]


@pytest.mark.parametrize("data", REFUSED)
def test_what_no_broker_may_send_is_malformed(data: str) -> None:
    with pytest.raises(MalformedPacket):
        read(bytes.fromhex(data))


def test_acknowledgements_without_a_reason_are_failures() -> None:
    assert read(bytes.fromhex("9003000700")) == [Acknowledgement(7, 0x80)]


def test_a_payload_that_fits_no_packet_is_not_written() -> None:
    class Endless(bytes):
        def __len__(self) -> int:
            return MAX_REMAINING_LENGTH

    with pytest.raises(ValueError, match="do not fit"):
        publish_bytes("a", Endless())


@given(
    st.integers(0, 0xFFFF),
    st.integers(1, MAX_RECEIVE_MAXIMUM),
    st.integers(1, 0xFFF_FFFF),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
)
def test_connack_properties_of_paho_are_read(
    keep_alive: int, maximum: int, longest: int, text: str
) -> None:
    properties = Properties(PacketTypes.CONNACK)  # type: ignore[no-untyped-call]
    properties.ServerKeepAlive = keep_alive
    properties.ReceiveMaximum = maximum
    properties.MaximumPacketSize = longest
    properties.ReasonString = text
    properties.UserProperty = [(text, text), ("k", "v")]
    properties.TopicAliasMaximum = 10
    properties.RetainAvailable = 0
    body = b"\x00\x00" + properties.pack()  # type: ignore[no-untyped-call]
    data = b"\x20" + (
        bytes((len(body),)) if len(body) < 128 else bytes((len(body) % 128 + 128, len(body) // 128))
    )
    assert read(data + body) == [Connack(0, maximum, keep_alive, longest)]


streams = st.lists(st.sampled_from([bytes.fromhex(each) for each in READ]), max_size=12)


@given(streams, st.lists(st.integers(0, 300), max_size=20))
def test_packets_are_the_same_in_any_pieces(stream: list[bytes], cuts: list[int]) -> None:
    data = b"".join(stream)
    ends = [*sorted(cut for cut in cuts if cut < len(data)), len(data)]
    reader = PacketReader(LONGEST)
    found: list[Packet] = []
    for start, end in zip([0, *ends], ends, strict=False):
        reader.feed(data[start:end])
        found += packets_of(reader)
    assert found == read(data)
    assert len(found) == len(stream)
    assert not reader.held_bytes


@given(streams, st.integers(0, 12))
def test_packets_that_are_not_taken_wait(stream: list[bytes], count: int) -> None:
    reader = PacketReader(LONGEST)
    reader.feed(b"".join(stream))
    taken = [reader.next_packet() for _ in stream[:count]]
    assert None not in taken
    assert reader.held_bytes == sum(map(len, stream[count:]))
    reader.feed(b"".join(stream))
    assert len(packets_of(reader)) == len(stream[count:]) + len(stream)


@given(st.lists(st.binary(max_size=64), max_size=20))
def test_arbitrary_bytes_are_packets_or_malformed(chunks: list[bytes]) -> None:
    reader = PacketReader(LONGEST)
    taken = 0
    try:
        for chunk in chunks:
            reader.feed(chunk)
            for packet in packets_of(reader):
                taken += 2
                if isinstance(packet, PublishPacket):
                    taken += len(packet.topic) + len(packet.payload)
            assert reader.held_bytes < LONGEST
    except MalformedPacket as error:
        assert error.reason  # noqa: PT017  # either outcome is fine
    assert taken + reader.held_bytes <= sum(map(len, chunks))


@given(st.sampled_from([bytes.fromhex(each) for each in READ]), st.data())
def test_a_changed_packet_is_a_packet_or_malformed(packet: bytes, data: st.DataObject) -> None:
    changed = bytearray(packet)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(changed))
    except MalformedPacket as error:
        assert error.reason  # noqa: PT017  # either outcome is fine


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.binary(max_size=600),
    st.integers(1, 0xFFFF),
    st.integers(1, 2**32 - 1),
)
def test_what_is_published_is_read_again(
    topic: str, payload: bytes, packet_id: int, expiry: int
) -> None:
    data = publish_bytes(topic, payload)
    data += acknowledged_publish_bytes(topic, packet_id, payload, expiry)
    encoded = topic.encode()
    assert read(data) == [
        PublishPacket(encoded, 0, payload),
        PublishPacket(encoded, packet_id, payload),
    ]

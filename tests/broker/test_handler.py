"""Packets of nodes beside amqtt's, which writes and reads them independently."""

import pytest
from amqtt.mqtt.connack import ConnackPacket
from amqtt.mqtt.connect import ConnectPacket, ConnectPayload, ConnectVariableHeader
from amqtt.mqtt.pingreq import PingReqPacket
from amqtt.mqtt.pingresp import PingRespPacket
from amqtt.mqtt.suback import SubackPacket
from amqtt.mqtt.subscribe import SubscribePacket
from amqtt.mqtt.unsuback import UnsubackPacket
from amqtt.mqtt.unsubscribe import UnsubscribePacket
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import MalformedPacket
from broker.handler import (
    ACCEPTED,
    DENIED,
    UNAVAILABLE,
    WRONG_IDENTITY,
    WRONG_VERSION,
    ConnectRequest,
    NodeHandler,
    WrongVersion,
    connack,
    read_connect,
)
from broker.limits import Refusal
from broker.topics import Channel, topic_for
from broker.wire import frame_at

NODE = "default.gate-7"
OWN = topic_for(NODE, Channel.DELTA)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
names = texts.filter(bool)
packet_ids = st.integers(1, 0xFFFF)


class RecordingPeer:
    """A connection that records what the handler does with it."""

    def __init__(self) -> None:
        self.sent = b""
        self.topics: list[str] = []
        self.refused: list[Refusal] = []

    def send(self, data: bytes) -> bool:
        self.sent += data
        return True

    def subscribe(self, topic: str) -> None:
        self.topics.append(topic)

    def unsubscribe(self, topic: str) -> None:
        self.topics.remove(topic)

    def count(self, reason: Refusal) -> None:
        self.refused.append(reason)


def body_of(packet: bytes) -> bytes:
    frame = frame_at(packet, 0)
    assert frame is not None
    return packet[slice(*frame)]


@given(
    names,
    st.integers(0, 0xFFFF),
    st.none() | st.tuples(names, st.binary(min_size=1, max_size=20)),
    st.none() | st.tuples(names, names),
)
def test_a_connect_of_amqtt_is_read(
    client_id: str, keep_alive: int, will: tuple[str, bytes] | None, user: tuple[str, str] | None
) -> None:
    header = ConnectVariableHeader(connect_flags=0x02, keep_alive=keep_alive)
    payload = ConnectPayload(client_id=client_id)
    if will is not None:
        header.will_flag = True
        payload.will_topic, payload.will_message = will
    if user is not None:
        header.username_flag = header.password_flag = True
        payload.username, payload.password = user
    packet = ConnectPacket(variable_header=header, payload=payload).to_bytes()
    assert read_connect(body_of(packet)) == ConnectRequest(client_id, keep_alive)


@given(st.binary(max_size=30) | st.binary(max_size=20).map(lambda rest: b"\x00\x04MQTT\x04" + rest))
def test_arbitrary_bytes_are_a_connect_or_refused(body: bytes) -> None:
    try:
        asked = read_connect(body)
        assert len(asked.client_id.encode()) <= len(body)
    except MalformedPacket as error:
        assert error.reason  # noqa: PT017  # either outcome is fine
    except WrongVersion:
        assert body[6:7] != b"\x04"


@pytest.mark.parametrize("level", [b"\x00\x06MQIsdp\x03", b"\x00\x04MQTT\x05", b"\x00\x04MQTT\x03"])
def test_another_version_is_named_as_such(level: bytes) -> None:
    with pytest.raises(WrongVersion):
        read_connect(level + b"\x02\x00\x3c")


@pytest.mark.parametrize("code", [ACCEPTED, WRONG_VERSION, WRONG_IDENTITY, UNAVAILABLE, DENIED])
def test_a_connack_is_what_amqtt_writes(code: int) -> None:
    assert connack(code) == ConnackPacket.build(0, code).to_bytes()


@given(packet_ids, st.lists(st.tuples(names | st.just(OWN), st.integers(0, 2)), min_size=1))
def test_a_subscribe_of_amqtt_is_answered_as_amqtt_would(
    packet_id: int, asked: list[tuple[str, int]]
) -> None:
    peer = RecordingPeer()
    NodeHandler(NODE, peer).take(0x82, body_of(SubscribePacket.build(asked, packet_id).to_bytes()))
    codes = [min(qos, 1) if topic == OWN else 0x80 for topic, qos in asked]
    assert peer.sent == SubackPacket.build(packet_id, codes).to_bytes()
    assert peer.topics == [topic for topic, _ in asked if topic == OWN]
    assert peer.refused == [Refusal.SUBSCRIPTION] * codes.count(0x80)


@given(packet_ids)
def test_an_unsubscribe_of_amqtt_is_answered_as_amqtt_would(packet_id: int) -> None:
    peer = RecordingPeer()
    peer.topics = [OWN]
    packet = UnsubscribePacket.build([OWN], packet_id).to_bytes()
    NodeHandler(NODE, peer).take(0xA2, body_of(packet))
    assert peer.sent == UnsubackPacket.build(packet_id).to_bytes()
    assert peer.topics == []


def test_a_ping_of_amqtt_is_answered_as_amqtt_would() -> None:
    peer = RecordingPeer()
    NodeHandler(NODE, peer).take(PingReqPacket().to_bytes()[0], b"")
    assert peer.sent == PingRespPacket.build().to_bytes()


@given(st.sampled_from([0x10, 0x82, 0xA2, 0xE0]), st.binary(max_size=40))
def test_arbitrary_bytes_are_answered_or_malformed(first_byte: int, body: bytes) -> None:
    peer = RecordingPeer()
    try:
        NodeHandler(NODE, peer).take(first_byte, body)
        assert peer.sent[2:4] == body[:2] != b"\x00\x00"
    except MalformedPacket as error:
        assert error.reason  # noqa: PT017  # either outcome is fine

import pytest
from amqtt.adapters import BufferReader
from amqtt.mqtt.puback import PubackPacket
from amqtt.mqtt.publish import PublishPacket
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import MalformedPacket
from broker.handler import run_now
from broker.wire import (
    MAX_REMAINING_LENGTH,
    encoded_topic,
    frame_at,
    puback_bytes,
    publish_bytes,
    read_publish,
)

topics = st.text(st.characters(exclude_characters="+#", exclude_categories=["Cs"]), min_size=1)


@given(topics, st.binary(max_size=300) | st.just(b"x" * 20_000) | st.just(b"x" * 3_000_000))
def test_a_publish_is_what_amqtt_writes_and_reads(topic: str, payload: bytes) -> None:
    written = publish_bytes(encoded_topic(topic), payload)
    packet = PublishPacket.build(topic, payload, None, dup_flag=False, qos=0, retain=False)
    assert written == packet.to_bytes()
    read = run_now(PublishPacket.from_stream(BufferReader(written)))
    assert (read.topic_name, read.data) == (topic, payload)


@given(st.integers(1, 0xFFFF))
def test_a_puback_is_what_amqtt_writes(packet_id: int) -> None:
    assert puback_bytes(packet_id) == PubackPacket.build(packet_id).to_bytes()


@given(topics, st.binary(), st.integers(1, 0xFFFF), st.sampled_from([0, 1]), st.binary())
def test_a_publish_of_amqtt_is_read(
    topic: str, payload: bytes, packet_id: int, qos: int, around: bytes
) -> None:
    given_id = packet_id if qos else None
    packet = PublishPacket.build(topic, payload, given_id, dup_flag=False, qos=qos, retain=False)
    data = around + packet.to_bytes() + around
    frame = frame_at(data, len(around))
    assert frame is not None
    assert frame[1] == len(data) - len(around)
    expected = (topic.encode(), packet_id if qos else 0, payload)
    assert read_publish(data, *frame, qos=qos) == expected


@given(st.binary(max_size=8), st.integers(0, 2), st.sampled_from([0, 1]))
def test_arbitrary_bytes_are_a_frame_or_malformed(data: bytes, start: int, qos: int) -> None:
    try:
        frame = frame_at(data, start)
        if frame is not None and frame[1] <= len(data):
            topic, _, payload = read_publish(data, *frame, qos=qos)
            assert len(topic) + len(payload) <= frame[1] - frame[0]
    except MalformedPacket as error:
        assert error.reason  # noqa: PT017  # either outcome is fine


def test_a_length_not_yet_whole_is_waited_for() -> None:
    for data in (b"", b"\x30", b"\x30\x80", b"\x30\xff\xff", b"\x30\xff\xff\xff"):
        assert frame_at(data, 0) is None
    assert frame_at(b"\x30\xff\xff\xff\x7f", 0) == (5, 5 + MAX_REMAINING_LENGTH)


def test_a_length_of_five_bytes_is_malformed() -> None:
    with pytest.raises(MalformedPacket):
        frame_at(b"\x30\xff\xff\xff\x80", 0)


def test_a_payload_too_long_for_mqtt_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        publish_bytes(b"", bytes(MAX_REMAINING_LENGTH + 1))

"""The few bytes of MQTT 3.1.1 that travel often: packet lengths, PUBLISH, PUBACK.

Section numbers are those of the OASIS standard. Everything rare (CONNECT, SUBSCRIBE, ...) is read
and written by amqtt's packet classes.
"""

from broker.errors import MalformedPacket

PUBLISH = 3

CONNECT_BYTE = 0x10
SUBSCRIBE_BYTE = 0x82
UNSUBSCRIBE_BYTE = 0xA2
PINGREQ_BYTE = 0xC0
DISCONNECT_BYTE = 0xE0

MAX_CONTROL_BYTES = {
    CONNECT_BYTE: 16_384,  # room for a will and a password, which are not used
    SUBSCRIBE_BYTE: 4_096,  # a node has two topics to subscribe to
    UNSUBSCRIBE_BYTE: 4_096,
    PINGREQ_BYTE: 0,
    DISCONNECT_BYTE: 0,
}
"""Longest body by first byte, of every packet but PUBLISH that a client may send here."""

MAX_REMAINING_LENGTH = 268_435_455  # 2.2.3: four bytes of seven bits


def frame_at(data: bytes, start: int) -> tuple[int, int] | None:
    """Where the body of the packet at *start* begins and ends; None if its length is not all there.

    The end may lie behind the end of *data*.
    """
    length = shift = 0
    for position in range(start + 1, min(start + 5, len(data))):
        byte = data[position]
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return position + 1, position + 1 + length
        shift += 7
    if len(data) >= start + 5:
        raise MalformedPacket("remaining length of more than four bytes (2.2.3)")
    return None


def read_publish(data: bytes, body: int, end: int, *, qos: int) -> tuple[bytes, int, bytes]:
    """Topic, packet id (0 at QoS 0) and payload of the PUBLISH in data[body:end] (3.3)."""
    topic_at = body + 2
    topic_end = topic_at + int.from_bytes(data[body:topic_at])
    payload_at = topic_end + 2 if qos else topic_end
    if payload_at > end or topic_at > end:
        raise MalformedPacket("PUBLISH is shorter than its topic")
    packet_id = int.from_bytes(data[topic_end:payload_at])
    if qos and not packet_id:
        raise MalformedPacket("packet id 0 (2.3.1)")
    return data[topic_at:topic_end], packet_id, data[payload_at:end]


def encoded_topic(topic: str) -> bytes:
    """Write *topic* with its length before it, as PUBLISH carries it (1.5.3)."""
    encoded = topic.encode()
    return len(encoded).to_bytes(2) + encoded


def publish_bytes(topic: bytes, payload: bytes) -> bytes:
    """Write a QoS 0 PUBLISH; *topic* is what `encoded_topic` gave."""
    length = len(topic) + len(payload)
    if length < 128:
        return b"".join((b"\x30", length.to_bytes(1), topic, payload))
    if length > MAX_REMAINING_LENGTH:
        raise ValueError(f"a payload of {len(payload)} bytes does not fit an MQTT packet")
    header = bytearray((0x30,))
    while length:
        length, low = length >> 7, length & 0x7F
        header.append(low | 0x80 if length else low)
    return b"".join((header, topic, payload))


def puback_bytes(packet_id: int) -> bytes:
    """Write a PUBACK."""
    return b"\x40\x02" + packet_id.to_bytes(2)

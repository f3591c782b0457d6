"""The packets of MQTT 5.0 that a server exchanges with a broker; bytes only, no I/O.

Functions write what a server sends; `PacketReader` reads what a broker sends. Section numbers are
those of the OASIS standard. `broker.wire` has the packets of nodes, MQTT 3.1.1; PUBACK is the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from broker.errors import MalformedPacket
from broker.topics import TOPICS_KEPT
from broker.wire import MAX_REMAINING_LENGTH, encoded_topic, frame_at

PINGREQ = b"\xc0\x00"

FAILURE = 0x80
"""Reason codes from here on are failures (2.4)."""

NO_SUBSCRIBER = 0x10
"""The topic has no subscribers (3.4.2.1)."""

MALFORMED_PACKET = 0x81
SESSION_TAKEN_OVER = 0x8E
"""Reasons of a DISCONNECT (3.14.2.1)."""

MAX_RECEIVE_MAXIMUM = 0xFFFF
"""The receive maximum of a peer that names none (3.2.2.3.3)."""

_SESSION_EXPIRY = 0x11
_SERVER_KEEP_ALIVE = 0x13
_RECEIVE_MAXIMUM = 0x21
_MAXIMUM_PACKET_SIZE = 0x27

_FIXED_SIZES: Mapping[int, int] = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), 1),
    **dict.fromkeys((_SERVER_KEEP_ALIVE, _RECEIVE_MAXIMUM, 0x22, 0x23), 2),
    **dict.fromkeys((0x02, _SESSION_EXPIRY, 0x18, _MAXIMUM_PACKET_SIZE), 4),
}
"""Bytes of properties that are numbers, by identifier (2.2.2.2)."""

_TEXTS: Mapping[int, int] = {
    **dict.fromkeys((0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F), 1),
    0x26: 2,  # a user property is a pair
}
"""How many texts or binary values a property consists of, by identifier."""

_SUBSCRIPTION_IDENTIFIER = 0x0B


@dataclass(frozen=True, slots=True)
class Connack:
    """The broker's answer to CONNECT (3.2)."""

    reason: int
    receive_maximum: int = MAX_RECEIVE_MAXIMUM
    """Messages of QoS 1 that the broker takes before it has acknowledged one."""
    keep_alive: int | None = None
    """Seconds that replace those of CONNECT."""
    max_packet_bytes: int = MAX_REMAINING_LENGTH + 5
    """Longest packet that the broker takes."""


class PublishPacket(msgspec.Struct, gc=False):
    """A message (3.3); *packet_id* is 0 at QoS 0."""

    topic: bytes
    packet_id: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A PUBACK, SUBACK or UNSUBACK (3.4, 3.9, 3.11); of several reasons the highest."""

    packet_id: int
    reason: int


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The broker ends the connection (3.14)."""

    reason: int


@dataclass(frozen=True, slots=True)
class Pingresp:
    """The broker is there (3.13)."""


Packet = Connack | PublishPacket | Acknowledgement | Disconnect | Pingresp


def connect_bytes(
    client_id: str,
    *,
    keep_alive: int,
    session_expiry: int,
    receive_maximum: int,
    max_packet_bytes: int,
    clean_start: bool = False,
) -> bytes:
    """Write a CONNECT (3.1); *keep_alive* and *session_expiry* are in seconds."""
    properties = b"".join(
        (
            _SESSION_EXPIRY.to_bytes(1) + session_expiry.to_bytes(4),
            _RECEIVE_MAXIMUM.to_bytes(1) + receive_maximum.to_bytes(2),
            _MAXIMUM_PACKET_SIZE.to_bytes(1) + max_packet_bytes.to_bytes(4),
        )
    )
    flags = b"\x02" if clean_start else b"\x00"
    head = b"\x00\x04MQTT\x05" + flags + keep_alive.to_bytes(2)
    return _packet(0x10, head, _variable(len(properties)), properties, encoded_topic(client_id))


def subscribe_bytes(packet_id: int, filters: Iterable[str]) -> bytes:
    """Write a SUBSCRIBE at QoS 1 (3.8)."""
    asked = b"".join(encoded_topic(each) + b"\x01" for each in filters)
    return _packet(0x82, packet_id.to_bytes(2), b"\x00", asked)


def unsubscribe_bytes(packet_id: int, filters: Iterable[str]) -> bytes:
    """Write an UNSUBSCRIBE (3.10)."""
    return _packet(0xA2, packet_id.to_bytes(2), b"\x00", *map(encoded_topic, filters))


def publish_bytes(topic: str, payload: bytes) -> bytes:
    """Write a PUBLISH at QoS 0 (3.3)."""
    return _packet(0x30, _publish_head(topic), payload)


@lru_cache(maxsize=TOPICS_KEPT)
def _publish_head(topic: str) -> bytes:
    """Topic and no properties, of a PUBLISH at QoS 0."""
    return encoded_topic(topic) + b"\x00"


def acknowledged_publish_bytes(topic: str, packet_id: int, payload: bytes, expiry: int) -> bytes:
    """Write a PUBLISH at QoS 1 that the broker delivers within *expiry* seconds (3.3.2.3.3)."""
    properties = b"\x05\x02" + expiry.to_bytes(4)
    return _packet(0x32, encoded_topic(topic), packet_id.to_bytes(2), properties, payload)


def disconnect_bytes(reason: int = 0, *, session_expiry: int | None = None) -> bytes:
    """Write a DISCONNECT (3.14); *session_expiry*, in seconds, replaces that of CONNECT."""
    if session_expiry is not None:
        properties = _SESSION_EXPIRY.to_bytes(1) + session_expiry.to_bytes(4)
        return _packet(0xE0, reason.to_bytes(1), _variable(len(properties)), properties)
    return _packet(0xE0, reason.to_bytes(1)) if reason else b"\xe0\x00"


class PacketReader:
    """Splits what a broker sends into packets.

    It holds what was fed and not taken: no packet is longer than *max_packet_bytes*.
    """

    def __init__(self, max_packet_bytes: int) -> None:
        self._max_packet_bytes = max_packet_bytes
        # Bytes not taken yet: those of `_parts` one after the other, from `_at` on.
        self._parts: list[bytes] = []
        self._at = 0
        self._size = 0
        # How many of them the next packet takes at least.
        self._needed = 2

    @property
    def held_bytes(self) -> int:
        """Bytes that were fed and are not taken."""
        return self._size - self._at

    def feed(self, data: bytes) -> None:
        """Append what was received."""
        self._parts.append(data)
        self._size += len(data)

    def next_packet(self) -> Packet | None:
        """Take the next packet; None until more is fed. MalformedPacket: close the connection."""
        if self._size - self._at < self._needed:
            return None
        if len(self._parts) > 1:
            self._join()
        data, start = self._parts[0], self._at
        frame = frame_at(data, start)
        if frame is None:
            self._needed = self._size - start + 1
            return None
        body, end = frame
        if end - start > self._max_packet_bytes:
            raise MalformedPacket(f"a packet of more than {self._max_packet_bytes} bytes")
        if end > self._size:
            self._needed = end - start
            return None
        self._at, self._needed = end, 2
        if end == self._size:
            self._parts.clear()
            self._at = self._size = 0
        first = data[start]
        if first & 0xF0 == 0x30:
            return _publish(data, first, body, end)
        return _control(first, data[body:end])

    def _join(self) -> None:
        rest = self._parts[0][self._at :]
        self._parts = [b"".join((rest, *self._parts[1:]))]
        self._at, self._size = 0, len(self._parts[0])


def _packet(first: int, *parts: bytes) -> bytes:
    length = sum(map(len, parts))
    return b"".join((first.to_bytes(1), _variable(length), *parts))


def _variable(number: int) -> bytes:
    """Write a variable byte integer (1.5.5)."""
    if number < 128:
        return number.to_bytes(1)
    if number > MAX_REMAINING_LENGTH:
        raise ValueError(f"{number} bytes do not fit an MQTT packet")
    written = bytearray()
    while number:
        number, low = number >> 7, number & 0x7F
        written.append(low | 0x80 if number else low)
    return bytes(written)


def _read_variable(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Read the variable byte integer at *start*; also where it ends."""
    number = shift = 0
    for position in range(start, min(start + 4, end)):
        byte = data[position]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position + 1
        shift += 7
    raise MalformedPacket("a variable byte integer that does not end (1.5.5)")


def _publish(data: bytes, first: int, body: int, end: int) -> PublishPacket:
    qos = first >> 1 & 3
    if qos > 1:
        raise MalformedPacket("a PUBLISH at a QoS that was not asked for")
    topic_at = body + 2
    topic_end = topic_at + int.from_bytes(data[body:topic_at])
    properties_at = topic_end + 2 if qos else topic_end
    if properties_at >= end:
        raise MalformedPacket("PUBLISH is shorter than its topic")
    packet_id = int.from_bytes(data[topic_end:properties_at])
    if qos and not packet_id:
        raise MalformedPacket("packet id 0 (2.2.1)")
    length, payload_at = data[properties_at], properties_at + 1
    if length >= 0x80:
        length, payload_at = _read_variable(data, properties_at, end)
    payload_at += length
    if payload_at > end:
        raise MalformedPacket("PUBLISH is shorter than its properties")
    return PublishPacket(data[topic_at:topic_end], packet_id, data[payload_at:end])


def _control(first: int, body: bytes) -> Packet:
    match first:
        case 0x20:
            return _connack(body)
        case 0x40 if len(body) >= 2:
            return Acknowledgement(int.from_bytes(body[:2]), body[2] if len(body) > 2 else 0)
        case 0x90 | 0xB0 if len(body) >= 2:
            _, reasons_at = _read_properties(body, 2)
            return Acknowledgement(
                int.from_bytes(body[:2]), max(body[reasons_at:], default=FAILURE)
            )
        case 0xD0 if not body:
            return Pingresp()
        case 0xE0:
            return Disconnect(body[0] if body else 0)
        case _:
            pass
    raise MalformedPacket(f"a packet that begins with {first:#04x} and has {len(body)} bytes")


def _connack(body: bytes) -> Connack:
    if len(body) < 2:
        raise MalformedPacket("CONNACK without a reason")
    properties, end = _read_properties(body, 2)
    if end != len(body):
        raise MalformedPacket("CONNACK is longer than its properties")
    maximum = properties.get(_RECEIVE_MAXIMUM, MAX_RECEIVE_MAXIMUM)
    longest = properties.get(_MAXIMUM_PACKET_SIZE, MAX_REMAINING_LENGTH + 5)
    if not maximum or not longest:
        raise MalformedPacket("CONNACK with a maximum of 0 (3.2.2.3)")
    return Connack(body[1], maximum, properties.get(_SERVER_KEEP_ALIVE), longest)


def _read_properties(body: bytes, start: int) -> tuple[Mapping[int, int], int]:
    """Those of the properties at *start* that are numbers; also where all of them end (2.2.2)."""
    length, at = _read_variable(body, start, len(body))
    end = at + length
    if end > len(body):
        raise MalformedPacket("properties that do not end")
    numbers: dict[int, int] = {}
    while at < end:
        identifier = body[at]
        at += 1
        if size := _FIXED_SIZES.get(identifier):
            numbers[identifier] = int.from_bytes(body[at : at + size])
            at += size
        elif identifier == _SUBSCRIPTION_IDENTIFIER:
            _, at = _read_variable(body, at, end)
        elif count := _TEXTS.get(identifier):
            for _ in range(count):
                at += 2 + int.from_bytes(body[at : at + 2])
        else:
            raise MalformedPacket(f"property {identifier:#04x} (2.2.2.2)")
    if at != end:
        raise MalformedPacket("a property that does not end")
    return numbers, end

"""The packets of MQTT 3.1.1 that a node sends rarely: CONNECT, SUBSCRIBE, UNSUBSCRIBE, PINGREQ.

Section numbers are those of the OASIS standard. `broker.wire` has the packets that travel often.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from broker.access import may_subscribe
from broker.errors import MalformedPacket
from broker.limits import Refusal
from broker.wire import PINGREQ_BYTE, SUBSCRIBE_BYTE, UNSUBSCRIBE_BYTE, packet_bytes

ACCEPTED = 0
WRONG_VERSION = 1
WRONG_IDENTITY = 2
UNAVAILABLE = 3
DENIED = 5
"""Codes of a CONNACK (3.2.2.3)."""

_PROTOCOL = "MQTT"
_PROTOCOL_OF_3_1 = "MQIsdp"
_PROTOCOL_LEVEL = 4
_RESERVED = 0x01
_WILL = 0x04
_PASSWORD = 0x40
_USER_NAME = 0x80
_REFUSED_SUBSCRIPTION = 0x80
_PINGRESP = b"\xd0\x00"


class WrongVersion(Exception):
    """A CONNECT of another version of MQTT."""


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """What a CONNECT asks for; will, user name and password are not used."""

    client_id: str
    keep_alive: int
    """Seconds; 0 for none."""


class Peer(Protocol):
    """The connection, as the handler sees it."""

    def send(self, data: bytes) -> bool:
        """Write bytes."""
        ...

    def subscribe(self, topic: str) -> None:
        """Let pushes to *topic* through."""
        ...

    def unsubscribe(self, topic: str) -> None:
        """Stop pushes to *topic*."""
        ...

    def count(self, reason: Refusal) -> None:
        """Count something refused."""
        ...


def read_connect(body: bytes) -> ConnectRequest:
    """Read the CONNECT with *body* (3.1); MalformedPacket, or WrongVersion."""
    reader = _FieldReader(body)
    name = reader.text()
    if name not in {_PROTOCOL, _PROTOCOL_OF_3_1}:
        raise MalformedPacket("not a CONNECT")
    level, flags, keep_alive = reader.number(1), reader.number(1), reader.number(2)
    if (name, level) != (_PROTOCOL, _PROTOCOL_LEVEL):
        raise WrongVersion
    if flags & _RESERVED:
        raise MalformedPacket("reserved flag of CONNECT set (3.1.2.3)")
    client_id = reader.field().decode(errors="replace")  # which no certificate names
    for flag in (_WILL, _WILL, _USER_NAME, _PASSWORD):  # a will has a topic and a message
        if flags & flag:
            reader.field()
    if reader.is_left:
        raise MalformedPacket("CONNECT is longer than its fields")
    return ConnectRequest(client_id, keep_alive)


def connack(code: int) -> bytes:
    """Write a CONNACK without a session (3.2)."""
    return packet_bytes(0x20, b"\x00", code.to_bytes(1))


class NodeHandler:
    """Answers the packets of the node *node_id* on its connection *peer*."""

    def __init__(self, node_id: str, peer: Peer) -> None:
        self._node_id = node_id
        self._peer = peer

    def take(self, first_byte: int, body: bytes) -> None:
        """Answer one packet; MalformedPacket when it cannot be read, or is not expected."""
        if first_byte == PINGREQ_BYTE:
            self._peer.send(_PINGRESP)
        elif first_byte == SUBSCRIBE_BYTE:
            self._subscribe(_FieldReader(body))
        elif first_byte == UNSUBSCRIBE_BYTE:
            self._unsubscribe(_FieldReader(body))
        else:
            raise MalformedPacket(f"a packet that begins with {first_byte:#04x} here (3.1.0-2)")

    def _subscribe(self, reader: "_FieldReader") -> None:
        """Grant the node's own topics, named exactly; 0x80 for all others (3.8)."""
        packet_id = reader.packet_id()
        asked = [(topic, reader.number(1)) for topic in reader.texts()]
        if not asked:
            raise MalformedPacket("SUBSCRIBE without a topic (3.8.3-3)")
        if any(qos > 2 for _, qos in asked):
            raise MalformedPacket("QoS of a subscription above 2 (3.8.3-4)")
        codes = bytes(self._grant(topic, qos) for topic, qos in asked)
        self._peer.send(packet_bytes(0x90, packet_id, codes))

    def _unsubscribe(self, reader: "_FieldReader") -> None:
        """Stop pushes to the topics named (3.10)."""
        packet_id = reader.packet_id()
        topics = list(reader.texts())
        if not topics:
            raise MalformedPacket("UNSUBSCRIBE without a topic (3.10.3-2)")
        for topic in topics:
            self._peer.unsubscribe(topic)
        self._peer.send(packet_bytes(0xB0, packet_id))

    def _grant(self, topic: str, qos: int) -> int:
        if not may_subscribe(self._node_id, topic):
            self._peer.count(Refusal.SUBSCRIPTION)
            return _REFUSED_SUBSCRIPTION
        self._peer.subscribe(topic)
        return min(qos, 1)  # pushes are QoS 0; granting 0 makes some clients give up


class _FieldReader:
    """Reads the fields of a body one after the other; MalformedPacket where it is too short."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def is_left(self) -> bool:
        return self._at < len(self._body)

    def number(self, size: int) -> int:
        return int.from_bytes(self._take(size))

    def field(self) -> bytes:
        """Read a text or binary value with its length before it (1.5.3)."""
        return self._take(self.number(2))

    def text(self) -> str:
        try:
            return self.field().decode()
        except UnicodeDecodeError as error:
            raise MalformedPacket("a text that is not UTF-8 (1.5.3)") from error

    def texts(self) -> Iterator[str]:
        """Read texts until nothing is left; the caller reads what is between them."""
        while self.is_left:
            yield self.text()

    def packet_id(self) -> bytes:
        packet_id = self._take(2)
        if packet_id == b"\x00\x00":
            raise MalformedPacket("packet id 0 (2.3.1)")
        return packet_id

    def _take(self, size: int) -> bytes:
        taken = self._body[self._at : self._at + size]
        if len(taken) < size:
            raise MalformedPacket("a packet is shorter than its fields")
        self._at += size
        return taken

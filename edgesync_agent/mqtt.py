"""MQTT 3.1.1: the packets a node needs."""

from __future__ import annotations

import struct

from edgesync_agent.errors import HubConnectionLost

PACKET_LIMIT = 64 * 1024 * 1024


def packet(first: int, body: bytes) -> bytes:
    """A control packet: its first byte, the length of its body, the body."""
    length, digits = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (128 if length else 0))
        if not length:
            return bytes([first]) + bytes(digits) + body


def text(value: str) -> bytes:
    """A string as MQTT writes it."""
    data = value.encode()
    return struct.pack("!H", len(data)) + data


def connect_packet(client_id: str, keep_alive: int) -> bytes:
    """CONNECT with a clean session."""
    return packet(0x10, text("MQTT") + struct.pack("!BBH", 4, 2, keep_alive) + text(client_id))


def subscribe_packet(number: int, topics: list[str], qos: int) -> bytes:
    """SUBSCRIBE to *topics*."""
    wanted = b"".join(text(topic) + bytes([qos]) for topic in topics)
    return packet(0x82, struct.pack("!H", number) + wanted)


def publish_packet(number: int, topic: str, payload: bytes) -> bytes:
    """PUBLISH at QoS 1."""
    return packet(0x32, text(topic) + struct.pack("!H", number) + payload)


def puback_packet(number: int) -> bytes:
    """PUBACK."""
    return packet(0x40, struct.pack("!H", number))


PINGREQ = packet(0xC0, b"")
DISCONNECT = packet(0xE0, b"")


def read_publish(first: int, body: bytes) -> tuple[int | None, str, bytes]:
    """Packet number (None at QoS 0), topic and payload of a PUBLISH."""
    try:
        (length,) = struct.unpack_from("!H", body)
        topic, rest = struct.unpack_from(f"{length}s", body, 2)[0].decode(), body[2 + length :]
        if not first & 0x06:
            return None, topic, rest
        (number,) = struct.unpack_from("!H", rest)
    except (struct.error, UnicodeDecodeError) as error:
        raise HubConnectionLost("the server sent a packet that cannot be read") from error
    return number, topic, rest[2:]


class Splitter:
    """Cuts a stream of bytes into control packets."""

    def __init__(self) -> None:
        self.buffer = bytearray()  # what is not yet a whole packet

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """First byte and body of the packets *data* completes; HubConnectionLost if malformed."""
        self.buffer += data
        packets: list[tuple[int, bytes]] = []
        while True:
            found = self._whole()
            if found is None:
                return packets
            start, length = found
            packets.append((self.buffer[0], bytes(self.buffer[start : start + length])))
            del self.buffer[: start + length]

    def _whole(self) -> tuple[int, int] | None:
        """Where the body of the first packet begins and how long it is, if all of it is here."""
        length = 0
        for place in range(1, min(len(self.buffer), 5)):
            length |= (self.buffer[place] & 127) << 7 * (place - 1)
            if not self.buffer[place] & 128:
                if length > PACKET_LIMIT:
                    raise HubConnectionLost("the server sent a packet that is too long")
                whole = len(self.buffer) - place - 1 >= length
                return (place + 1, length) if whole else None
        if len(self.buffer) >= 5:
            raise HubConnectionLost("the server sent a packet without a length")
        return None

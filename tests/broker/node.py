"""A node that speaks raw MQTT 3.1.1 and sends what a test asks for, valid or not."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Self

from broker.embedded import EmbeddedHub
from broker.hub import Inbound
from broker.topics import TO_NODE, topic_for
from tests.deadlines import SLOWNESS, UNIT

DEADLINE = 10 * UNIT


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return len(data).to_bytes(2) + data


def packet(first_byte: int, body: bytes) -> bytes:
    length, header = len(body), bytearray((first_byte,))
    while True:
        length, low = length >> 7, length & 0x7F
        header.append(low | (0x80 if length else 0))
        if not length:
            return bytes(header) + body


def connect_packet(
    client_id: str | bytes,
    *,
    keep_alive: int = 60,
    clean: bool = True,
    will: tuple[str, bytes] | None = None,
    will_retain: bool = False,
    login: tuple[str, str] | None = None,
    name: str = "MQTT",
    level: int = 4,
) -> bytes:
    flags = 0x02 if clean else 0
    tail = b""
    if will:
        flags |= 0x24 if will_retain else 0x04
        tail += string(will[0]) + string(will[1])
    if login:
        flags |= 0xC0
        tail += string(login[0]) + string(login[1])
    head = string(name) + bytes((level, flags)) + keep_alive.to_bytes(2)
    return packet(0x10, head + string(client_id) + tail)


def publish_packet(
    topic: str | bytes, payload: bytes, *, packet_id: int = 0, qos: int = 1, retain: bool = False
) -> bytes:
    body = string(topic) + (packet_id.to_bytes(2) if qos else b"") + payload
    return packet(0x30 | qos << 1 | retain, body)


class HubNode:
    """One connection. Everything that waits has a deadline."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int, context: ssl.SSLContext) -> Self:
        async with asyncio.timeout(DEADLINE):
            return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def connect(self, client_id: str | bytes, **settings: object) -> None:
        self.send(connect_packet(client_id, **settings))  # type: ignore[arg-type]

    def publish(self, topic: str | bytes, payload: bytes, **settings: object) -> None:
        self.send(publish_packet(topic, payload, **settings))  # type: ignore[arg-type]

    def subscribe(self, *filters: str, packet_id: int = 1, qos: int = 1) -> None:
        body = b"".join(string(text) + bytes((qos,)) for text in filters)
        self.send(packet(0x82, packet_id.to_bytes(2) + body))

    async def subscribe_all(self, node_id: str) -> None:
        self.subscribe(*(topic_for(node_id, channel) for channel in TO_NODE))
        assert await self.read() == (0x90, b"\x00\x01" + b"\x01" * len(TO_NODE))

    async def read(self) -> tuple[int, bytes]:
        """First byte and body of the next packet."""
        async with asyncio.timeout(DEADLINE):
            first = (await self.reader.readexactly(1))[0]
            length = shift = 0
            while True:
                byte = (await self.reader.readexactly(1))[0]
                length |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
            return first, await self.reader.readexactly(length)

    async def connack(self) -> int:
        first, body = await self.read()
        assert (first, body[0]) == (0x20, 0)
        return body[1]

    async def acked(self, count: int) -> list[int]:
        """Packet ids of the next *count* packets, which have to be PUBACKs."""
        ids = []
        for _ in range(count):
            first, body = await self.read()
            assert first == 0x40
            ids.append(int.from_bytes(body))
        return ids

    async def is_alive(self) -> bool:
        """Return whether a ping is answered next."""
        self.send(b"\xc0\x00")
        try:
            return await self.read() == (0xD0, b"")
        except (OSError, asyncio.IncompleteReadError):
            return False

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        async with asyncio.timeout(DEADLINE):
            received = b""
            try:
                while data := await self.reader.read(65536):
                    received += data
            except OSError:
                pass
            return received

    def reset(self) -> None:
        """Break the TCP connection so that the server gets an error rather than an end."""
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.transport.abort()
        try:
            async with asyncio.timeout(DEADLINE):
                await self.writer.wait_closed()
        except OSError:
            pass


async def receive_all(hub: EmbeddedHub, count: int, *, ack: bool = True) -> list[Inbound]:
    received: list[Inbound] = []
    async with asyncio.timeout(DEADLINE):
        while len(received) < count:
            messages = await hub.receive(100)
            received += messages
            for message in messages if ack else ():
                message.ack()
    return received


async def until(condition: Callable[[], bool]) -> None:
    """Wait until *condition* holds."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110  # what is waited for lies in the hub
            await asyncio.sleep(0.005 * SLOWNESS)

"""What goes back to a node: bytes, gathered and bounded, and acknowledgements."""

import asyncio
from typing import Protocol


class Outlet:
    """Gathers what is written in one turn of the event loop into one TLS record and system call."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes  # may wait, here and in the transport
        self._parts: list[bytes] = []
        self._bytes = 0  # in the parts
        self._transport: asyncio.Transport | None = None  # while it may be written to

    def open(self, transport: asyncio.Transport) -> None:
        """Write to *transport* from now on."""
        self._transport = transport

    def put(self, data: bytes) -> bool:
        """Take *data*; False, and nothing taken, when too much is still to be read by the peer."""
        if self._transport is None:
            return False
        if self._bytes + self._transport.get_write_buffer_size() > self._max_bytes:
            return False
        if not self._parts:
            asyncio.get_running_loop().call_soon(self.flush)
        self._parts.append(data)
        self._bytes += len(data)
        return True

    def flush(self) -> None:
        """Hand what was gathered to the transport."""
        if self._parts and self._transport is not None:
            data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts.clear()
            self._bytes = 0
            self._transport.write(data)

    def close(self) -> None:
        """Drop what was gathered and take nothing more."""
        self._parts.clear()
        self._transport = None


class Acknowledged(Protocol):
    """The connection a message came on."""

    def acknowledge(self, packet_id: int) -> None:
        """Send the PUBACK."""
        ...


class Ack:
    """The `ack` of one Inbound; only its first call counts."""

    __slots__ = ("_connection", "_packet_id")

    def __init__(self, connection: Acknowledged, packet_id: int) -> None:
        self._connection: Acknowledged | None = connection
        self._packet_id = packet_id

    def __call__(self) -> None:  # noqa: D102  # Inbound says it
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.acknowledge(self._packet_id)

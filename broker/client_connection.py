"""One connection of a server to a broker, on the event loop, from CONNECT to its end.

The packets that come in one read are handled together, and what is sent in one turn of the loop is
one write: with a thread and a system call for each message a report took 3.6 times the CPU
(docs/decisions/0030-an-mqtt-5-client-on-the-event-loop.md).
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from broker import mqtt5
from broker.errors import BrokerRefused, MalformedPacket
from broker.limits import ClientLimits
from broker.wire import puback_bytes

logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 15.0
_LEAVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """Where the broker is, and who this server is to it."""

    host: str
    port: int
    client_id: str
    """Stable, and of no other server: the broker keeps a session for it."""
    tls: ssl.SSLContext | None
    """None: plain TCP, for tests and sidecars."""
    socket: Path | None = None
    """A socket of this machine to use instead of host and port, without TLS."""

    @property
    def place(self) -> str:
        """Host and port, or the socket, for people."""
        return str(self.socket) if self.socket is not None else f"{self.host}:{self.port}"


Deliver = Callable[["ClientConnection", mqtt5.PublishPacket], bool]
"""Takes a message, or returns False: then it is offered again after `ClientConnection.resume`."""


async def connect(
    broker: BrokerAddress,
    client_id: str,
    limits: ClientLimits,
    *,
    deliver: Deliver,
    on_full: Callable[[], None] = lambda: None,
    clean_start: bool = False,
) -> "ClientConnection":
    """Connect as *client_id*; its session is resumed, unless *clean_start*.

    *on_full* is called for each message that is not sent because the broker does not read.
    OSError where the broker cannot be reached or does not answer in time, BrokerRefused where it
    refuses the client.
    """
    session_expiry = 0 if clean_start else int(limits.session_expiry.total_seconds())
    greeting = mqtt5.connect_bytes(
        client_id,
        keep_alive=int(limits.keep_alive.total_seconds()),
        session_expiry=session_expiry,
        receive_maximum=limits.max_unacked,
        max_packet_bytes=limits.max_packet_bytes,
        clean_start=clean_start,
    )
    connection = ClientConnection(greeting, limits, deliver, on_full)
    async with asyncio.timeout(_CONNECT_SECONDS):
        try:
            await _open(broker, connection)
            reason = await connection.answered
        except BaseException:
            # Cancelled, uvloop closes the socket alone: TLS would go on to write there.
            connection.abort()
            raise
    if reason is None:
        raise ConnectionResetError("the broker has ended the connection")
    if reason >= mqtt5.FAILURE:
        connection.abort()
        raise BrokerRefused(reason)
    return connection


async def _open(broker: BrokerAddress, connection: "ClientConnection") -> None:
    loop = asyncio.get_running_loop()
    if broker.socket is not None:
        await loop.create_unix_connection(lambda: connection, str(broker.socket))
        return
    await loop.create_connection(
        lambda: connection,
        broker.host,
        broker.port,
        ssl=broker.tls,
        server_hostname=broker.host if broker.tls else None,
    )


class ClientConnection(asyncio.Protocol):
    """One connection, made by `connect`; once ended it is of no more use.

    Every method is to be called on its event loop.
    """

    def __init__(
        self,
        greeting: bytes,
        limits: ClientLimits,
        deliver: Deliver,
        on_full: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._greeting = greeting
        self._limits = limits
        self._deliver = deliver
        self._on_full = on_full
        self._reader = mqtt5.PacketReader(limits.max_packet_bytes)
        self._transport: asyncio.Transport | None = None
        # Reason of the CONNACK; None if the connection ended before it.
        self.answered: asyncio.Future[int | None] = self._loop.create_future()
        # Done when the connection has ended; the broker's reason, if it gave one.
        self.ended: asyncio.Future[int | None] = self._loop.create_future()
        self._end_reason: int | None = None
        # Messages received, and the packet ids of those that are not acknowledged.
        self.received_count = 0
        self._unacked: set[int] = set()
        # The message that `deliver` did not take; until it does, nothing is read.
        self._held: mqtt5.PublishPacket | None = None
        # What is written with the next turn of the loop, or once the broker reads again.
        self._unwritten: list[bytes] = []
        self.unwritten_bytes = 0
        self._is_flushing = False
        self._is_paused = False
        # What the broker has not acknowledged, by packet id; None when the connection ends.
        self._requests: dict[int, asyncio.Future[int | None]] = {}
        self._last_packet_id = 0
        # How many messages of QoS 1 the broker takes now (4.9), and its longest packet.
        self._quota = asyncio.Semaphore(0)
        self._max_packet_bytes = 0
        # Seconds without a packet of the client after which the broker ends the connection.
        self._keep_alive = limits.keep_alive.total_seconds()
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def unacked_count(self) -> int:
        """Messages of QoS 1 that came on this connection and are not acknowledged."""
        return len(self._unacked)

    @property
    def is_open(self) -> bool:
        """Whether something can be sent."""
        return self._transport is not None

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send a message at QoS 0; False where it is too long for the broker, or for its queue."""
        data = mqtt5.publish_bytes(topic, payload)
        if not self._may_send(data):
            return False
        self._write(data)
        return True

    async def publish_acknowledged(self, topic: str, payload: bytes, expiry: int) -> int | None:
        """Send a message at QoS 1; the reason code of its PUBACK.

        None if the connection ends first: it may have been sent. A message for which there is no
        room fails as if the broker had refused it.
        """
        await self._quota.acquire()
        packet_id = self._next_packet_id()
        data = mqtt5.acknowledged_publish_bytes(topic, packet_id, payload, expiry)
        if not self._may_send(data):
            self._quota.release()
            return mqtt5.FAILURE
        answer = self._request(packet_id, data)
        answer.add_done_callback(lambda _: self._quota.release())
        return await asyncio.shield(answer)

    async def subscribe(self, filters: list[str]) -> int | None:
        """Subscribe at QoS 1; the highest reason code, None if the connection ends first."""
        packet_id = self._next_packet_id()
        return await self._request(packet_id, mqtt5.subscribe_bytes(packet_id, filters))

    async def unsubscribe(self, filters: list[str]) -> int | None:
        """End subscriptions; the highest reason code, None if the connection ends first."""
        packet_id = self._next_packet_id()
        return await self._request(packet_id, mqtt5.unsubscribe_bytes(packet_id, filters))

    def acknowledge(self, packet_id: int) -> None:
        """Send a PUBACK, once for each message, if the connection is still there."""
        if packet_id in self._unacked and self._transport is not None:
            self._unacked.remove(packet_id)
            self._write(puback_bytes(packet_id))

    def resume(self) -> None:
        """Offer the message that was not taken again, then go on reading."""
        held, self._held = self._held, None
        if held is None or self._transport is None:
            return
        self._offer(held)
        self._read_on()
        if self._held is None:
            self._heard = self._loop.time()
            self._transport.resume_reading()

    async def leave(self, *, for_good: bool = False) -> None:
        """End the connection; the broker keeps the session, unless *for_good*."""
        if self._transport is not None:
            self._unwritten.append(mqtt5.disconnect_bytes(session_expiry=0 if for_good else None))
            self._is_paused = False
            self._flush()
            self._transport.close()
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await asyncio.shield(self.ended)
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        self._transport = cast("asyncio.Transport", transport)
        self._write(self._greeting)
        self._ping_later()

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self._heard = self._loop.time()
        if self._transport is not None and not self._transport.is_closing():
            self._reader.feed(data)
            self._read_on()

    def pause_writing(self) -> None:  # noqa: D102
        self._is_paused = True

    def resume_writing(self) -> None:  # noqa: D102
        self._is_paused = False
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._transport, self._held = None, None
        self._unwritten.clear()
        if self._timer is not None:
            self._timer.cancel()
        for waiting in (self.answered, *self._requests.values()):
            if not waiting.done():
                waiting.set_result(None)
        if not self.ended.done():
            self.ended.set_result(self._end_reason)

    # -- reading --------------------------------------------------------------------------------

    def _read_on(self) -> None:
        try:
            while self._held is None and (packet := self._reader.next_packet()) is not None:
                self._handle(packet)
        except MalformedPacket as error:
            logger.error("closing the connection to the broker: %s", error.reason)  # noqa: TRY400
            self._refuse(mqtt5.MALFORMED_PACKET)

    def _handle(self, packet: mqtt5.Packet) -> None:
        match packet:
            case mqtt5.PublishPacket():
                self.received_count += 1
                if packet.packet_id:
                    # Mosquitto 2.0 exceeds the receive maximum after its restart; the queue is
                    # bounded in any case.
                    self._unacked.add(packet.packet_id)
                self._offer(packet)
            case mqtt5.Acknowledgement(packet_id, reason):
                answer = self._requests.pop(packet_id, None)
                if answer is not None and not answer.done():
                    answer.set_result(reason)
            case mqtt5.Connack():
                self._accept(packet)
            case mqtt5.Disconnect(reason):
                self._end_reason = reason
                self.abort()
            case mqtt5.Pingresp():
                pass

    def _accept(self, connack: mqtt5.Connack) -> None:
        self._quota = asyncio.Semaphore(min(connack.receive_maximum, self._limits.max_unacked))
        self._max_packet_bytes = connack.max_packet_bytes
        if connack.keep_alive:
            self._keep_alive = min(self._keep_alive, connack.keep_alive)
            self._ping_later()
        if not self.answered.done():
            self.answered.set_result(connack.reason)

    def _offer(self, message: mqtt5.PublishPacket) -> None:
        try:
            is_taken = self._deliver(self, message)
        except Exception:
            # It is this message's failure. The broker forgets it, else it came again for ever.
            logger.exception("a message on %s failed", message.topic[:200].decode(errors="replace"))
            self.acknowledge(message.packet_id)
            return
        if not is_taken and self._transport is not None:
            self._held = message
            self._transport.pause_reading()

    # -- writing --------------------------------------------------------------------------------

    def _may_send(self, data: bytes) -> bool:
        if self._transport is None or len(data) > self._max_packet_bytes:
            return False
        is_within = self.unwritten_bytes + len(data) <= self._limits.max_unwritten_bytes
        if not is_within and self.unwritten_bytes:
            self._on_full()
            return False
        return True

    def _write(self, data: bytes) -> None:
        if self._transport is None:
            return
        self._unwritten.append(data)
        self.unwritten_bytes += len(data)
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        if self._unwritten and self._transport is not None and not self._is_paused:
            data = b"".join(self._unwritten)
            self._unwritten.clear()
            self.unwritten_bytes = 0
            self._transport.write(data)

    def _refuse(self, reason: int) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(mqtt5.disconnect_bytes(reason))
            self._transport.close()

    def _request(self, packet_id: int, data: bytes) -> "asyncio.Future[int | None]":
        answer = self._requests[packet_id] = self._loop.create_future()
        if self._transport is None:
            answer.set_result(None)
        self._write(data)
        return answer

    def _next_packet_id(self) -> int:
        while True:
            self._last_packet_id = self._last_packet_id % 0xFFFF + 1
            if self._last_packet_id not in self._requests:
                return self._last_packet_id

    def _keep(self) -> None:
        """Send a ping, and end the connection where the broker is silent for too long (3.1.2.10).

        While nothing is read its answers are not seen.
        """
        silence = self._loop.time() - self._heard
        if silence > 1.5 * self._keep_alive and self._held is None:
            logger.warning("the broker has not answered for %.0f s", silence)
            self.abort()
            return
        self._write(mqtt5.PINGREQ)
        self._ping_later()

    def _ping_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._keep_alive / 2, self._keep)

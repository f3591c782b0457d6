"""One TCP connection of a node: bytes in, bytes out, and every limit on both."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol, cast

from broker.access import may_publish
from broker.deadlines import Deadlines
from broker.errors import MalformedPacket
from broker.hub import Inbound
from broker.inbox import Ack, HubInbox
from broker.limits import CONTROL_BYTES, READ_AHEAD_BYTES, HubLimits, Refusal
from broker.read_buffers import ReadBuffers
from broker.topics import Channel, parse_topic
from broker.wire import (
    CONNECT_BYTE,
    DISCONNECT_BYTE,
    MAX_CONTROL_BYTES,
    PUBLISH,
    encoded_topic,
    frame_at,
    puback_bytes,
    publish_bytes,
    read_publish,
)
from broker.write_buffer import WriteBudget, WriteBuffer

logger = logging.getLogger(__name__)


class ControlHandler(Protocol):
    """Takes the packets that come rarely."""

    def take(self, first_byte: int, body: bytes) -> None:
        """Answer one packet; MalformedPacket when it cannot be read."""
        ...


class NodeConnection(asyncio.Protocol):
    """Reads packets, takes PUBLISH itself and leaves the rest to its handler.

    Not read means: the transport is paused, so TCP slows the node down.
    """

    def __init__(
        self,
        number: int,
        *,
        inbox: HubInbox,
        buffers: ReadBuffers,
        write_budget: WriteBudget,
        limits: HubLimits,
        counters: Counter[str],
        on_close: Callable[["NodeConnection"], None],
    ) -> None:
        self.number = number  # counts up: of two connections the newer one has the higher number
        self.node_id = ""  # set when admitted
        self.claimed_id = ""  # by its certificate; set before the gate is asked
        self.is_closed = False
        loop = asyncio.get_running_loop()
        self.connect: asyncio.Future[bytes | None] = (
            loop.create_future()
        )  # its body; None: no CONNECT
        self.lost: asyncio.Future[None] = loop.create_future()  # done when the socket is gone
        self._loop = loop
        self._inbox = inbox
        self._buffers = buffers
        self._limits = limits
        self._counters = counters
        self._on_close = on_close
        self._transport: asyncio.Transport | None = None
        self._handler: ControlHandler | None = None  # set by `open`
        self._buffer = bytearray()  # packets not looked at yet, the last one perhaps not whole
        self._wanted = 0  # with fewer bytes in the buffer there is no use in looking
        self._is_held = False  # not read, and the buffer not looked at
        self._timer: asyncio.TimerHandle | None = None  # set while its node is over its budget
        self._channels: dict[bytes, Channel] = {}  # topics found allowed, as on the wire
        self._subscriptions: dict[Channel, bytes] = {}  # the topic as `publish_bytes` wants it
        self._write_buffer = WriteBuffer(
            limits.max_buffered_bytes, write_budget, self._give_up_writing
        )
        self._deadlines: Deadlines | None = None  # set by `open`

    # What the listener and the hub call

    @property
    def transport(self) -> asyncio.Transport:
        """The transport, once the TLS handshake is done."""
        if self._transport is None:
            raise RuntimeError("not connected yet")
        return self._transport

    @property
    def is_connected(self) -> bool:
        """Return whether there is a transport whose end has not come."""
        return self._transport is not None and not self.lost.done()

    @property
    def unread_bytes(self) -> int:
        """Bytes that wait for the node to read them."""
        return self._write_buffer.waiting_bytes

    def open(
        self,
        handler: ControlHandler,
        keep_alive_seconds: int,
        *,
        certificate_left: Callable[[], float],
    ) -> None:
        """Let packets in; what came behind the CONNECT is read now.

        It ends when none of the seconds that *certificate_left* counts are left.
        """
        self._handler = handler
        longest = self._limits.max_silence.total_seconds()
        wanted = keep_alive_seconds * 1.5  # 3.1.2.10
        seconds = min(wanted, longest) if wanted else longest
        self._deadlines = Deadlines(
            seconds,
            lambda: self.refuse(Refusal.SILENT),
            left=certificate_left,
            on_end=lambda: self.refuse(Refusal.CERTIFICATE_ENDED),
        )
        self.proceed()

    def subscribe(self, topic: str) -> None:
        """Let `push` write to *topic*, which access has allowed."""
        self._subscriptions[parse_topic(topic)[1]] = encoded_topic(topic)

    def unsubscribe(self, topic: str) -> None:
        """Undo `subscribe`; any other *topic* is ignored."""
        encoded = encoded_topic(topic)
        for channel, subscribed in list(self._subscriptions.items()):
            if subscribed == encoded:
                del self._subscriptions[channel]

    def push(self, channel: Channel, payload: bytes) -> bool:
        """Write a QoS 0 PUBLISH if the node is subscribed and reads what it is sent."""
        topic = self._subscriptions.get(channel)
        if topic is None or self.is_closed:
            return False
        return self.send(publish_bytes(topic, payload))

    def send(self, data: bytes) -> bool:
        """Write *data* at the end of this turn of the loop, together with all else."""
        if self.is_closed:
            return False
        if self._write_buffer.put(data):
            return True
        self._give_up_writing()
        return False

    def count(self, reason: Refusal) -> None:
        """Count something that does not end the connection."""
        self._counters[reason] += 1

    def refuse(self, reason: Refusal) -> None:
        """Count *reason* and close, after what was sent."""
        if not self.is_closed:
            self._counters[reason] += 1
            self.close()

    def close(self) -> None:
        """Write what was sent and close; idempotent."""
        if not self.is_closed:
            self._write_buffer.flush()
            self._end()
            if self._transport is not None:
                if self._is_held:
                    # asyncio never closes a paused TLS transport whose peer has ended before.
                    self._transport.resume_reading()
                self._transport.close()

    def abort(self) -> None:
        """Close without writing anything more; idempotent."""
        self._end()
        if self._transport is not None:
            self._transport.abort()

    def evict(self) -> None:
        """Close: the bytes in its buffer have to make room for those of others."""
        if not self.is_closed:
            self._counters[Refusal.SLOW_WRITER] += 1
        self.abort()

    def proceed(self) -> None:
        """Read on, beginning with what is in the buffer; where its node sent too much: later."""
        if self.is_closed:
            return
        self._timer = None
        if wait := self._inbox.budgets.wait(self.node_id):
            self._wait(wait)
            return
        self._is_held = False
        if self._deadlines is not None:
            self._deadlines.resume()
        data = bytes(self._buffer)
        self._buffer.clear()
        self._read_packets(data)
        if not self._is_held and not self.is_closed:
            self.transport.resume_reading()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; the TLS handshake is done."""
        self._transport = cast(asyncio.Transport, transport)
        cast(Any, transport).set_read_buffer_limits(high=READ_AHEAD_BYTES)
        self._write_buffer.open(self._transport)
        if self.is_closed:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read packets, or keep the bytes until they are wanted."""
        if self.is_closed:
            return
        if self._deadlines is not None:
            self._deadlines.heard()
        if self._buffer or self._is_held:
            self._buffer += data
            if self._is_held or len(self._buffer) < self._wanted:
                self._buffers.set_size(self, len(self._buffer))
                return
            data = bytes(self._buffer)
            self._buffer.clear()
        self._read_packets(data)

    def pause_writing(self) -> None:
        """Keep what is written: the transport is full."""
        self._write_buffer.pause()

    def resume_writing(self) -> None:
        """Write on."""
        self._write_buffer.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """End; whole messages that had already been read are still taken, if there is room."""
        if not self.is_closed and self._handler is not None:
            self._is_held = False
            self._read_packets(bytes(self._buffer), to_the_end=True)
        self._end()
        if not self.lost.done():
            self.lost.set_result(None)

    # Reading

    def _read_packets(self, data: bytes, *, to_the_end: bool = False) -> None:
        start = 0
        self._wanted = 0
        try:
            while start < len(data) and not self.is_closed:
                if self._is_held and not to_the_end:
                    break
                frame = frame_at(data, start)
                if frame is None:
                    break
                body, end = frame
                if not self._is_allowed(data[start], end - body):
                    break
                if data[start] >> 4 == PUBLISH and not self._inbox.may_read(self.node_id):
                    self._park()
                    break
                if end > len(data):
                    self._wanted = end - start
                    break
                self._take_packet(data, start, body, end)
                start = end
        except MalformedPacket as error:
            logger.debug("%s sent a malformed packet: %s", self.node_id, error.reason)
            self.refuse(Refusal.MALFORMED)
        except Exception:
            logger.exception("a packet of %s failed", self.node_id)
            self.refuse(Refusal.INTERNAL_ERROR)
        if not self.is_closed:
            self._buffer += data[start:]
            self._buffers.set_size(self, len(self._buffer))

    def _is_allowed(self, first_byte: int, length: int) -> bool:
        # Decided from the header alone: a body that will not be used is never waited for.
        if self._handler is None and first_byte != CONNECT_BYTE:
            self.refuse(Refusal.NO_CONNECT)
            return False
        if first_byte >> 4 == PUBLISH:
            longest = self._limits.max_packet_bytes
        elif first_byte in MAX_CONTROL_BYTES:
            longest = MAX_CONTROL_BYTES[first_byte]
        else:
            raise MalformedPacket(f"no client sends a packet that begins with {first_byte:#04x}")
        if length > longest:
            self.refuse(Refusal.OVERSIZE)
            return False
        return True

    def _take_packet(self, data: bytes, start: int, body: int, end: int) -> None:
        first_byte = data[start]
        if first_byte >> 4 == PUBLISH:
            self._take_publish(data, first_byte, body, end)
        elif self._handler is None:
            self._hold()
            if not self.connect.done():
                self.connect.set_result(data[body:end])
        elif first_byte == DISCONNECT_BYTE:
            self.close()
        elif not self.transport.is_closing():  # else no answer arrives
            self._handler.take(first_byte, data[body:end])
            self._charge(0, count=1 + (end - body) // CONTROL_BYTES)

    def _take_publish(self, data: bytes, first_byte: int, body: int, end: int) -> None:
        qos = (first_byte >> 1) & 3
        if qos == 3:
            raise MalformedPacket("QoS 3 (3.3.1.2)")
        if qos == 2:
            self.refuse(Refusal.QOS_2)
            return
        if first_byte & 1:
            self.refuse(Refusal.RETAINED)
            return
        topic, packet_id, payload = read_publish(data, body, end, qos=qos)
        channel = self._channels.get(topic) or self._channel_of(topic)
        if channel is None:
            self.refuse(Refusal.TOPIC)
            return
        node_id, size = self.node_id, len(payload)
        ack = Ack(self._inbox, self, node_id, packet_id, size)
        is_room = self._inbox.put(Inbound(node_id, channel, payload, ack))
        if not self._charge(size) and not is_room:
            self._park()

    def _charge(self, size: int, *, count: int = 1) -> bool:
        """Count what was taken; return whether its node is over its budget and is not read."""
        wait = self._inbox.budgets.charge(self.node_id, size, count=count)
        if wait:
            self._hold()
            self._wait(wait)
        return bool(wait)

    def _channel_of(self, topic: bytes) -> Channel | None:
        try:
            text = topic.decode()
        except UnicodeDecodeError as error:
            raise MalformedPacket("topic is not UTF-8 (1.5.3)") from error
        if not may_publish(self.node_id, text):
            return None
        channel = self._channels[topic] = parse_topic(text)[1]
        return channel

    def _hold(self) -> None:
        if not self._is_held and not self.is_closed and not self.transport.is_closing():
            self._is_held = True
            if self._deadlines is not None:
                self._deadlines.pause()
            self.transport.pause_reading()

    def _park(self) -> None:
        self._hold()
        if not self.is_closed:
            self._inbox.park(self)

    def _wait(self, seconds: float) -> None:
        """Read on in so many *seconds*: the node sends faster than its budget allows."""
        if not self.is_closed and self._timer is None:
            self._timer = self._loop.call_later(seconds, self.proceed)

    def acknowledge(self, packet_id: int) -> None:
        """Send the PUBACK of a message that is stored; *packet_id* 0 has none."""
        if packet_id and not self.is_closed:
            self.send(puback_bytes(packet_id))

    # Ending

    def _give_up_writing(self) -> None:
        if not self.is_closed:
            self._counters[Refusal.SLOW_READER] += 1
        self.abort()

    def _end(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        if self._deadlines is not None:
            self._deadlines.stop()
        if not self.connect.done():
            self.connect.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
        self._buffer.clear()
        self._buffers.set_size(self, 0)
        self._write_buffer.close()
        self._subscriptions.clear()
        self._inbox.leave(self)
        self._on_close(self)

"""The hub on an MQTT 5 broker that stands by itself: Mosquitto, EMQX, or another.

Servers share the messages of all nodes by shared subscriptions (MQTT 5.0, 4.8.2), each with a
persistent session under its own client id: what a server has not acknowledged when it dies waits
for it. The network thread of paho-mqtt brings messages in; all else happens on the event loop.
"""

import asyncio
import logging
import socket
import ssl
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from broker.errors import HubClosed, MalformedTopic
from broker.hub import Inbound
from broker.topics import FROM_NODE, Channel, parse_topic, shared_filter, topic_for

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where the broker is, and who this server is to it."""

    host: str
    port: int
    client_id: str
    """Stable, and of no other server: the broker keeps a session for it."""
    tls: ssl.SSLContext | None
    """None: plain TCP, for tests and sidecars."""
    username: str | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Bounds of what is on its way between broker and server."""

    max_unacked: int = 1_000
    """Messages of QoS 1 that are not acknowledged yet: receive maximum (MQTT 5.0, 3.1.2.11.3)."""
    max_queued: int = 8_192
    """Messages waiting for `receive`; then nothing is read from the broker."""
    max_unwritten: int = 10_000
    """Pushes that wait for the broker to read them; further ones are not made."""
    max_packet_bytes: int = 1024 * 1024 + 1024
    """Longest packet taken from the broker (MQTT 5.0, 3.1.2.11.4)."""
    session_expiry: timedelta = timedelta(days=1)
    """How long the broker keeps what came while this server was away."""
    keep_alive: timedelta = timedelta(seconds=15)
    reconnect_least: timedelta = timedelta(seconds=1)
    reconnect_most: timedelta = timedelta(seconds=30)


class ClientHub:
    """`broker.hub.Hub` for nodes that connect to a broker; made by `open_client_hub`.

    The broker says who a node is, and acknowledges to it. An `ack` here lets the broker forget the
    message; one that is not acked comes again when the connection does.
    """

    def __init__(self, broker: Broker, limits: ClientLimits) -> None:
        self._broker = broker
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Inbound] = deque()
        self._room = threading.Semaphore(limits.max_queued)
        self._changed = asyncio.Event()
        self._unwritten: deque[MQTTMessageInfo] = deque()
        # Counts connections; an ack of an earlier one could hit another message now.
        self._connection = 0
        self._connection_lock = threading.Lock()
        self._is_attached = False
        self._is_closed = False
        self._client = self._new_client(broker.client_id)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_socket_close = self._on_socket_close
        self._client.on_message = self._on_message

    @property
    def is_attached(self) -> bool:
        """Say whether the broker is there and has taken the subscriptions."""
        return self._is_attached

    @property
    def queued_count(self) -> int:
        """How many messages wait for `receive`."""
        return len(self._queue)

    async def receive(self, limit: int) -> Sequence[Inbound]:
        """Wait for at least one message, then take up to *limit*, in the order of each node.

        HubClosed when the hub is closed and all that it held has been taken.
        """
        while not self._queue:
            if self._is_closed:
                raise HubClosed
            self._changed.clear()
            if not self._queue:
                await self._changed.wait()
        taken = [self._queue.popleft() for _ in range(min(limit, len(self._queue)))]
        self._room.release(len(taken))
        return taken

    def push(self, node_id: str, channel: Channel, payload: bytes) -> bool:
        """Give a message to the broker, QoS 0; say whether it is on its way there.

        The broker drops it when the node is not connected.
        """
        unwritten = self._unwritten
        while unwritten and (unwritten[0].rc != 0 or unwritten[0].is_published()):
            unwritten.popleft()
        if not self._is_attached or len(unwritten) >= self._limits.max_unwritten:
            return False
        info = self._client.publish(topic_for(node_id, channel), payload, qos=0)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return False
        unwritten.append(info)
        return True

    def is_connected(self, node_id: str) -> bool:
        """Say whether a push can be tried: only the broker knows which nodes are there."""
        return self._is_attached

    def disconnect(self, node_id: str) -> None:
        """End the node's connection by taking its client id over, then leave (MQTT 5.0, 3.1.4-3).

        The broker's own revocation list keeps it from coming back.
        """
        if self._is_closed:
            return
        thread = threading.Thread(target=self._take_over, args=(node_id,), daemon=True)
        thread.start()

    def _take_over(self, node_id: str) -> None:
        client = self._new_client(node_id)
        client.on_connect = lambda client, *_: client.disconnect()
        try:
            client.connect(self._broker.host, self._broker.port, clean_start=True)
            client.loop_forever()
        except OSError as error:
            logger.warning("cannot end the connection of %s: %s", node_id, error)

    def attach(self) -> None:
        """Begin to connect, again and again until `detach`."""
        limits = self._limits
        wanted = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        wanted.SessionExpiryInterval = int(limits.session_expiry.total_seconds())
        wanted.ReceiveMaximum = limits.max_unacked
        wanted.MaximumPacketSize = limits.max_packet_bytes
        self._client.reconnect_delay_set(
            max(1, int(limits.reconnect_least.total_seconds())),
            int(limits.reconnect_most.total_seconds()),
        )
        self._client.connect_async(
            self._broker.host,
            self._broker.port,
            keepalive=int(limits.keep_alive.total_seconds()),
            clean_start=False,
            properties=wanted,
        )
        self._client.loop_start()

    def detach(self) -> None:
        """Leave the broker, which keeps the session; blocks until the network thread has ended."""
        self._is_closed = True
        self._changed.set()
        self._room.release(self._limits.max_queued)  # whoever waits for room goes on and ends
        self._client.disconnect()
        self._client.loop_stop()

    def _new_client(self, client_id: str) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
        )
        if self._broker.tls is not None:
            client.tls_set_context(self._broker.tls)
        if self._broker.username is not None:
            client.username_pw_set(self._broker.username, self._broker.password)
        client.on_socket_open = _without_delay
        return client

    # All below runs on the network thread.
    def _on_connect(
        self, client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        if reason.is_failure:
            logger.error("the broker refuses this server: %s", reason)
            return
        filters = [(shared_filter(channel), 1) for channel in sorted(FROM_NODE)]
        client.subscribe(filters)
        self._is_attached = True
        logger.info("connected to the broker at %s:%s", self._broker.host, self._broker.port)

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        logger.warning("cannot reach the broker at %s:%s", self._broker.host, self._broker.port)

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        self._is_attached = False
        if not self._is_closed:
            logger.warning("the connection to the broker has ended: %s", reason)

    def _on_socket_close(self, _client: Client, _data: Any, _socket: Any) -> None:
        self._is_attached = False
        with self._connection_lock:
            self._connection += 1

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        ack = self._ack_of(message)
        try:
            node_id, channel = parse_topic(message.topic)
        except (MalformedTopic, UnicodeDecodeError):
            ack()  # another's topic under ours; nobody here can do anything with it
            return
        self._room.acquire()
        if self._is_closed:
            return
        self._queue.append(Inbound(node_id, channel, bytes(message.payload), ack))
        if not self._changed.is_set():
            self._loop.call_soon_threadsafe(self._changed.set)

    def _ack_of(self, message: MQTTMessage) -> Callable[[], None]:
        if message.qos == 0:
            return _nothing
        return _Ack(self, self._connection, message.mid).send

    def acknowledge(self, connection: int, mid: int) -> None:
        """Send a PUBACK, if the connection the message came on is still there."""
        with self._connection_lock:
            if connection == self._connection:
                self._client.ack(mid, 1)


class _Ack:
    """The `ack` of one Inbound; only its first call counts."""

    __slots__ = ("_connection", "_hub", "_mid")

    def __init__(self, hub: ClientHub, connection: int, mid: int) -> None:
        self._hub: ClientHub | None = hub
        self._connection = connection
        self._mid = mid

    def send(self) -> None:
        hub, self._hub = self._hub, None
        if hub is not None:
            hub.acknowledge(self._connection, self._mid)


def _nothing() -> None:
    """Acknowledge a message of QoS 0."""


def _without_delay(_client: Client, _data: Any, connection: Any) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@asynccontextmanager
async def open_client_hub(
    broker: Broker, limits: ClientLimits | None = None
) -> AsyncIterator[ClientHub]:
    """Stay connected to *broker* until the block is left; it need not be there yet."""
    hub = ClientHub(broker, limits or ClientLimits())
    hub.attach()
    try:
        yield hub
    finally:
        await asyncio.to_thread(hub.detach)

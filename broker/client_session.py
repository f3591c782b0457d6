"""One session with a broker: its connection, its messages, and acknowledgements that find back.

The network thread of paho-mqtt calls what begins with `_on_`; all else is for the event loop.
"""

import logging
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

logger = logging.getLogger(__name__)
_PAHO = logging.getLogger(f"{__name__}.paho")
_PAHO.setLevel(logging.ERROR)

TAKEN_OVER = 0x8E
"""Session taken over: another client has the same id (MQTT 5.0, 3.14.2.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where the broker is, and who this server is to it."""

    host: str
    port: int
    client_id: str
    """Stable, and of no other server: the broker keeps a session for it."""
    tls: ssl.SSLContext | None
    """None: plain TCP, for tests and sidecars."""

    @property
    def place(self) -> str:
        """Host and port, for people."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Bounds of what is on its way between broker and server."""

    max_unacked: int = 1_000
    """Messages of QoS 1 that are not acknowledged yet: receive maximum (MQTT 5.0, 3.1.2.11.3)."""
    max_queued: int = 8_192
    """Messages waiting for `receive`; then nothing is read from the broker."""
    max_queued_bytes: int = 64 * 1024 * 1024
    """Bytes of messages that are not acked; then nothing is read from the broker."""
    max_unwritten: int = 10_000
    """Pushes that wait for the broker to read them; further ones are not made."""
    max_packet_bytes: int = 1024 * 1024 + 1024
    """Longest packet taken from the broker (MQTT 5.0, 3.1.2.11.4)."""
    session_expiry: timedelta = timedelta(days=1)
    """How long the broker keeps what came while this server was away."""
    keep_alive: timedelta = timedelta(seconds=15)
    reconnect_least: timedelta = timedelta(seconds=1)
    reconnect_most: timedelta = timedelta(seconds=30)


class Session:
    """Owns a connection under *client_id* that comes back by itself.

    Each message goes to *deliver*, on the network thread, with the number of the connection it came
    on. *on_attached* is called there after each connect;
    *on_detached* when a connection ends, with the reason, or when there was none to end: None.
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        limits: ClientLimits,
        *,
        deliver: Callable[["Session", MQTTMessage, int], None],
        on_attached: Callable[["Session"], None],
        on_detached: Callable[["Session", int | None], None],
    ) -> None:
        self._broker = broker
        self._limits = limits
        self._deliver = deliver
        self._on_attached = on_attached
        self._on_detached = on_detached
        # Counts connections; an ack of an earlier one could hit another message now.
        self._connection = 0
        # Messages of this connection that are not acknowledged yet.
        self._unacked = 0
        self._lock = threading.Lock()
        self.client = new_client(broker, client_id)
        self.client.on_connect = self._on_connect
        self.client.on_connect_fail = self._on_connect_fail
        self.client.on_disconnect = self._on_disconnect
        self.client.on_socket_close = self._on_socket_close
        self.client.on_message = self._on_message

    @property
    def unacked_count(self) -> int:
        """Messages of QoS 1 that came on this connection and are not acknowledged."""
        return self._unacked

    def start(self) -> None:
        """Begin to connect, again and again until `stop`."""
        limits = self._limits
        wanted = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        wanted.SessionExpiryInterval = int(limits.session_expiry.total_seconds())
        wanted.ReceiveMaximum = limits.max_unacked
        wanted.MaximumPacketSize = limits.max_packet_bytes
        self.client.reconnect_delay_set(
            max(1, int(limits.reconnect_least.total_seconds())),
            int(limits.reconnect_most.total_seconds()),
        )
        self.client.connect_async(
            self._broker.host,
            self._broker.port,
            keepalive=int(limits.keep_alive.total_seconds()),
            clean_start=False,
            properties=wanted,
        )
        self.client.loop_start()

    def stop(self, *, for_good: bool = False) -> None:
        """Leave the broker; it keeps the session, unless *for_good*. Blocks until the end."""
        properties = None
        if for_good:
            properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 0
        self.client.disconnect(properties=properties)
        self.client.loop_stop()

    def acknowledge(self, connection: int, mid: int) -> None:
        """Send a PUBACK, if the connection the message came on is still there."""
        with self._lock:
            if connection == self._connection:
                self._unacked -= 1
                self.client.ack(mid, 1)

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _: Any) -> None:
        if reason.is_failure:
            logger.error("the broker refuses this server: %s", reason)
            self._on_detached(self, None)
            return
        self._on_attached(self)

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        logger.warning("cannot reach the broker at %s", self._broker.place)
        self._on_detached(self, None)

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        self._on_detached(self, reason.value)

    def _on_socket_close(self, _client: Client, _data: Any, _socket: Any) -> None:
        with self._lock:
            self._connection += 1
            self._unacked = 0

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        with self._lock:
            self._unacked += message.qos > 0
            connection = self._connection
        try:
            self._deliver(self, message, connection)
        except Exception:
            # It is this message's failure. The broker forgets it, else it came again for ever.
            logger.exception("a message on %s failed", message.topic[:200])
            if message.qos:
                self.acknowledge(connection, message.mid)


def new_client(broker: Broker, client_id: str) -> Client:
    """A client of *broker* with manual acknowledgement."""
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=MQTTProtocolVersion.MQTTv5,
        manual_ack=True,
    )
    if broker.tls is not None:
        client.tls_set_context(broker.tls)
    client.on_socket_open = _without_delay
    client.suppress_exceptions = True  # one in a callback would end the network thread
    client.enable_logger(_PAHO)
    return client


def _without_delay(_client: Client, _data: Any, connection: Any) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

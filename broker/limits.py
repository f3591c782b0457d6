"""Limits of a hub for one node, for all and for a broker, and the names of its refusals."""

from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum, StrEnum


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Bounds that keep one connection from harming the hub or another."""

    max_connections: int = 10_000
    """Open connections, admitted or not; one more is closed at once."""
    max_connecting: int = 1_024
    """Connections that have not been admitted yet; one more takes the place of a stalled one, or of
    one of the address that has the most, else it is not accepted until one of them is through."""
    max_connecting_per_address: int = 512
    """The same of one address (IPv6: of one /64); where none is stalled one more is closed."""
    handshakes_per_second: int = 600
    """TLS handshakes begun; the others wait. A turn of the event loop begins one at most, so that
    fewer begin where one core cannot carry as many: each takes 2 to 4 ms (measured)."""
    handshake_timeout: timedelta = timedelta(seconds=10)
    """From TCP accept to the end of the TLS handshake."""
    handshake_patience: timedelta = timedelta(seconds=2)
    """From the first answer of a TLS handshake; then it is stalled, and may have to make room."""
    connect_timeout: timedelta = timedelta(seconds=3)
    """From the end of the TLS handshake to a whole CONNECT."""
    gate_timeout: timedelta = timedelta(seconds=10)
    """For the gate's answer; then CONNACK reports the server as unavailable."""
    max_silence: timedelta = timedelta(minutes=10)
    """Longest silence of a connection, whatever keep alive it asked for (0 means none)."""
    max_packet_bytes: int = 1024 * 1024
    """Longest PUBLISH, without its fixed header."""
    node_messages_per_second: int = 50
    """Messages of one node, ten seconds' worth at once; beyond it the node is not read for a while.
    0: as many as it likes."""
    node_bytes_per_second: int = 256 * 1024
    """The same, in bytes of payload, four seconds' worth at once."""
    max_unacked: int = 64
    """Messages of one node the server has not acked; then it is not read until half are."""
    max_unacked_bytes: int = 4 * 1024 * 1024
    """The same, in bytes."""
    max_queued: int = 8_192
    """Messages waiting for `receive`; then no node is read until half of them are taken."""
    max_queued_bytes: int = 64 * 1024 * 1024
    """Bytes of messages that are not acked, whether their connections are there or not; then no
    node is read until half of them are."""
    max_unparsed_bytes: int = 32 * 1024 * 1024
    """Bytes read of packets that are not whole yet, or not taken, of all connections; with more,
    those that hold them longest are closed."""
    max_buffered_bytes: int = 12 * 1024 * 1024
    """Bytes waiting for a node to read them; with more, the connection is closed."""
    max_buffered_total_bytes: int = 256 * 1024 * 1024
    """The same of all nodes; with more, those that have not read for longest are closed."""
    close_timeout: timedelta = timedelta(seconds=2)
    """For a peer to answer the end of TLS; then the socket is closed under it."""


MAX_BROKERS = 16
"""Brokers of a server; each message for a node is given to all of them."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Bounds of what is on its way between a broker and a server."""

    max_unacked: int = 1_000
    """Messages of QoS 1 in one direction that are not acknowledged yet; of those from the broker it
    is the receive maximum (MQTT 5.0, 3.1.2.11.3)."""
    max_queued: int = 8_192
    """Messages waiting for `receive`; then nothing is read from the broker."""
    max_queued_bytes: int = 64 * 1024 * 1024
    """Bytes of messages that are not acked; then nothing is read from the broker."""
    max_unwritten_bytes: int = 64 * 1024 * 1024
    """Bytes that wait for the broker to read them; further messages to nodes are not sent."""
    max_packet_bytes: int = 1024 * 1024 + 1024
    """Longest packet taken from the broker (MQTT 5.0, 3.1.2.11.4)."""
    session_expiry: timedelta = timedelta(days=1)
    """How long the broker keeps what came while this server was away."""
    keep_alive: timedelta = timedelta(seconds=15)
    reconnect_least: timedelta = timedelta(seconds=1)
    reconnect_most: timedelta = timedelta(seconds=30)
    max_ending: int = 16
    """Connections of nodes that are being ended; further ones wait."""
    max_admitting: int = 256
    """Authorization requests of NATS that are being answered; further ones wait."""


class Refusal(StrEnum):
    """Why the hub closed or turned away a connection; the keys of its counters."""

    TOO_MANY_CONNECTIONS = "too_many_connections"
    TOO_MANY_FROM_ADDRESS = "too_many_from_address"
    CROWDED_OUT = "crowded_out"
    """It had sent nothing, or its handshake stalled, when another came and all slots were taken."""
    TLS_FAILED = "tls_failed"
    NO_CONNECT = "no_connect"
    """The first packet was not a CONNECT."""
    CONNECT_TIMEOUT = "connect_timeout"
    PROTOCOL_VERSION = "protocol_version"
    IDENTITY = "refused_identity"
    """The client id is not the common name of the certificate."""
    GATE = "refused_by_gate"
    GATE_FAILED = "gate_failed"
    """The gate raised or did not answer in time."""
    REPLACED = "replaced"
    """A newer connection of the same node came in."""
    DISCONNECTED = "disconnected"
    """The server asked for it."""
    SILENT = "silent"
    CERTIFICATE_ENDED = "certificate_ended"
    """The certificate that the node connected with ended while it was here."""
    SLOW_READER = "slow_reader"
    SLOW_WRITER = "slow_writer"
    """Bytes of its packets had to make room for those of others."""
    MALFORMED = "malformed"
    OVERSIZE = "oversize"
    RETAINED = "refused_retained"
    QOS_2 = "refused_qos_2"
    TOPIC = "refused_topic"
    SUBSCRIPTION = "refused_subscription"
    """Answered with 0x80; the connection stays."""
    INTERNAL_ERROR = "internal_error"
    """A defect of the hub; the log has the trace."""


class ConnackCode(IntEnum):
    """Return codes of a CONNACK (MQTT 3.1.1, 3.2.2.3)."""

    ACCEPTED = 0
    WRONG_VERSION = 1
    WRONG_IDENTITY = 2
    UNAVAILABLE = 3
    DENIED = 5


class ConnectionRefused(Exception):
    """A connection that does not become a node; *code* is that of the CONNACK, if there is one.

    *detail* has more of the reason, for the log.
    """

    def __init__(
        self, reason: Refusal, code: ConnackCode | None = None, *, detail: str = ""
    ) -> None:
        self.reason = reason
        self.code = code
        self.detail = detail
        super().__init__(reason)


RECEIVE_BYTES = 64 * 1024
"""Receive buffer of a connection in the kernel, doubled by Linux: bounds one read."""

READ_AHEAD_BYTES = 16 * 1024
"""Bytes that a connection which is not read may hold undecrypted, beside one read."""

CONTROL_BYTES = 64
"""A SUBSCRIBE or UNSUBSCRIBE counts as a message for each so many bytes: a topic costs as much."""

CONNECTION_BYTES = 72 * 1024
"""Bytes of an idle node's connection: its TLS session and its objects (docs/performance.md)."""

_IN_TRANSIT = 2 * RECEIVE_BYTES + READ_AHEAD_BYTES  # one read as it came, and decrypted
_WRITING = 4 * 32 * 1024  # windows of a write buffer: encrypted or not, here and in the transport


def hub_memory_ceiling(limits: HubLimits, connections: int) -> int:
    """Bytes that *connections* nodes can make the embedded hub hold, whatever they do.

    Added up from *limits*: what is read and not stored, what waits to be read by nodes, and what
    each connection takes by itself. One message and one read may be on top of each bound.
    """
    open_ones = min(connections, limits.max_connections) + limits.max_connecting
    each = CONNECTION_BYTES + _IN_TRANSIT + _WRITING
    together = (
        limits.max_queued_bytes
        + limits.max_unparsed_bytes
        + limits.max_buffered_total_bytes
        + 2 * limits.max_packet_bytes
        + 2 * RECEIVE_BYTES
    )
    return open_ones * each + together

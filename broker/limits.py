"""How much the embedded hub takes of one node and of all, and the names of what it refuses."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Bounds that keep one connection from harming the hub or another."""

    max_connections: int = 10_000
    """Open connections, admitted or not; one more is closed at once."""
    max_connecting: int = 1_024
    """Connections that have not been admitted yet; one more takes the place of one that has said
    nothing, else it is not accepted until one of them is through."""
    max_connecting_per_address: int = 512
    """The same of one address (IPv6: of one /64); where all have spoken one more is closed."""
    handshakes_per_second: int = 200
    """TLS handshakes begun; the others wait. Each connection costs the server up to 4 ms of CPU
    until its CONNACK (measured), and one core carries everything else as well."""
    handshake_timeout: timedelta = timedelta(seconds=10)
    """From TCP accept to the end of the TLS handshake."""
    connect_timeout: timedelta = timedelta(seconds=3)
    """From the end of the TLS handshake to a whole CONNECT."""
    gate_timeout: timedelta = timedelta(seconds=10)
    """For the gate's answer; then the node is told that the server is unavailable."""
    max_silence: timedelta = timedelta(minutes=10)
    """Longest silence of a connection, whatever keep alive it asked for (0 means none)."""
    max_packet_bytes: int = 1024 * 1024
    """Longest PUBLISH, without its fixed header."""
    max_unacked: int = 64
    """Messages of one connection the server has not acked; then it is not read until some are."""
    max_queued: int = 8_192
    """Messages waiting for `receive`; then nobody is read until half of them are taken."""
    max_queued_bytes: int = 64 * 1024 * 1024
    """The same, in bytes of payload."""
    max_buffered_bytes: int = 4 * 1024 * 1024
    """Bytes waiting for a node to read them; with more, the connection is closed."""
    close_timeout: timedelta = timedelta(seconds=2)
    """For a peer to answer the end of TLS; then the socket is closed under it."""


class Refusal(StrEnum):
    """Why the hub closed or turned away a connection; the keys of its counters."""

    TOO_MANY_CONNECTIONS = "too_many_connections"
    TOO_MANY_FROM_ADDRESS = "too_many_from_address"
    CROWDED_OUT = "crowded_out"
    """It had not said anything when another came and there was no room."""
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
    MALFORMED = "malformed"
    OVERSIZE = "oversize"
    RETAINED = "refused_retained"
    QOS_2 = "refused_qos_2"
    TOPIC = "refused_topic"
    SUBSCRIPTION = "refused_subscription"
    """Answered with 0x80; the connection stays."""
    INTERNAL_ERROR = "internal_error"
    """A defect of the hub; the log has the trace."""


class Refused(Exception):
    """A connection that does not become a node; *code* is that of the CONNACK, if there is one."""

    def __init__(self, reason: Refusal, code: int | None = None) -> None:
        self.reason = reason
        self.code = code
        super().__init__(reason)

"""Limits of the connections of one HTTP port, and their sum."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB

READ_BYTES = 256 * KIB
"""Most that the event loop hands over at a time."""

PIECE_BYTES = 64 * KIB
"""An answer is written in pieces of this size, each once the one before has nearly been read."""

CONNECTION_BYTES = 256 * KIB
"""Bytes of a connection beside what is counted as held: TLS with its buffer for reading (64 KiB),
objects, and an answer that is small enough not to be noticed as unread (a piece, twice over TLS).
"""

STALLED_BYTES = 4 * PIECE_BYTES
"""Bytes counted as held of one that does not read, or that is not read: buffers that cannot be
looked into are full."""

RESERVED_DESCRIPTORS = 128
"""Reserved for the database, files, the broker, callbacks and listening sockets."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds that keep the connections of one port from harming the server or each other."""

    connections: int = 1_024
    """Open sockets. One more takes the place of the oldest whose request is not complete, else of
    the one that has been idle longest; if there is neither it is closed."""
    per_address: int = 512
    """The same of one address (IPv6: of one /64), unless it is a proxy that is trusted."""
    handshakes_per_second: int = 500
    """TLS handshakes begun; the others wait, and addresses take turns. Each costs up to 2 ms of
    CPU, and one core carries everything else as well."""
    handshake_seconds: float = 10
    """From TCP accept to the end of the TLS handshake, or to the first byte without TLS."""
    head_bytes: int = 32 * KIB
    """Request line and headers; chunk sizes and trailers of a body count again as much."""
    head_fields: int = 100
    """Headers of a request: each costs more than its bytes."""
    head_seconds: float = 10
    """From the first byte of a request, or the handshake, to the end of its headers."""
    body_seconds: float = 30
    """From there to the end of the body, and a second more for each `body_rate` bytes of it."""
    body_rate: int = 8 * KIB
    answer_seconds: float = 20
    """In which a client takes nothing of an answer that waits for it, or, at the end of the
    connection, does not take all of it; then it is cut off."""
    idle_seconds: int = 30
    """Between an answer and the next request."""
    held_bytes: int = 64 * MIB
    """Requests that are not answered and answers that are not read. One that would hold more is
    refused, unless another has held some for `body_seconds`: then that one is cut off."""


BOUNDS = (
    "connections",
    "connections_per_address",
    "handshake_seconds",
    "head_bytes",
    "head_seconds",
    "body_seconds",
    "answer_seconds",
    "held_bytes",
)
"""The reasons of refusals, after the name of the port and `_`."""

PORTS = ("api", "activation", "sync")


def http_memory_ceiling(ports: Iterable[ConnectionLimits]) -> int:
    """Most bytes that the connections of all *ports* take together, whatever they send.

    What is held may be there twice, while a request is put together or an answer cut into pieces;
    and one connection may go beyond the limit with what was just read. What the program makes of a
    request while it carries it out is not in it.
    """
    return sum(
        limits.connections * CONNECTION_BYTES + 2 * (limits.held_bytes + READ_BYTES)
        for limits in ports
    )


def shares(wanted: Mapping[str, int], descriptors: int) -> Mapping[str, int]:
    """How many connections each may have so that all fit in *descriptors*, less the reserve.

    Who wants little gets it; the others share the rest alike, and get one at least.
    """
    left = max(descriptors - RESERVED_DESCRIPTORS, len(wanted))
    given: dict[str, int] = {}
    for name in sorted(wanted, key=lambda name: (wanted[name], name)):
        given[name] = max(min(wanted[name], left // (len(wanted) - len(given))), 1)
        left -= given[name]
    return given

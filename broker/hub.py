"""MQTT as a server uses it: messages of nodes in, pushes to nodes out.

Implemented by `broker.embedded`; one contract test (tests/broker/test_hub_contract.py) holds for
every implementation.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import msgspec
from cryptography import x509

from broker.limits import Refusal
from broker.topics import Channel


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """The certificate that a client proved to own in the handshake."""

    certificate: x509.Certificate
    address: str = ""
    """Where the client connects from."""


Gate = Callable[[str, ShownCertificate], Awaitable[bool]]
"""Asked with node id and certificate at each connect: may this node come in?"""


@dataclass(frozen=True, slots=True)
class RefusedConnection:
    """A connection that was not admitted: from where, as which node, and why."""

    reason: Refusal
    address: str
    node_id: str = ""
    """By its certificate; empty where that is not known, or no node's."""
    detail: str = ""


OnRefused = Callable[[RefusedConnection], Awaitable[None]]
"""Called after a connection was refused and closed; its slot is free already."""


class Inbound(msgspec.Struct, frozen=True, eq=False):
    """One message of a node, not yet acknowledged.

    Call `ack` once, after its changes are stored, on the hub's event loop: it sends
    the PUBACK of a QoS 1 publish, and nothing for QoS 0 or when the connection is gone. It never
    raises. Call it for every message: a node with many not acked is not read any more.
    """

    node_id: str
    channel: Channel
    payload: bytes
    ack: Callable[[], None]
    received: float = msgspec.field(default_factory=time.monotonic)
    """When it came, by `time.monotonic`."""


class Hub(Protocol):
    """The nodes, as the server sees them."""

    async def receive(self, limit: int) -> Sequence[Inbound]:
        """Wait for at least one message, then take up to *limit*, in the order of each node.

        What is not received stays bounded: nodes are slowed, nothing is dropped.
        """
        ...

    def push(self, node_id: str, channel: Channel, payload: bytes) -> bool:
        """Send to a node at once, QoS 0; whether it went to a live, subscribed connection."""
        ...

    async def send(
        self, node_id: str, channel: Channel, payload: bytes, lifetime: timedelta
    ) -> bool:
        """As `push`, but False means for certain that the node is not connected or not subscribed.

        True: it was sent, or may have been. It is not delivered later than *lifetime* from now.
        """
        ...

    @property
    def queued_count(self) -> int:
        """How many messages wait for `receive`."""
        ...

    @property
    def is_attached(self) -> bool:
        """Whether nodes can be reached at all; `is_connected` is about one."""
        ...

    def is_connected(self, node_id: str) -> bool:
        """Return whether the node has a live connection here."""
        ...

    def unread_bytes(self, node_id: str) -> int:
        """How many bytes wait for the node to read them, as far as this side knows."""
        ...

    def disconnect(self, node_id: str) -> None:
        """End the node's connection at once; nothing it sent and was not acked is acked later."""
        ...

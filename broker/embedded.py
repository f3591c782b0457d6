"""The hub in this process, on amqtt hardened (docs/decisions/0001-embedded-hub-on-amqtt.md).

From the socket inwards: `listener` (TCP, TLS, admission) with `handshakes` (their order and
number), `connection` (packets and limits) with `wire`, `read_buffers`, `write_buffer` and
`deadlines`, `handler` (the parts of amqtt), `inbox` (the queue of `receive`) with `fair_queue` and
`node_budgets`, `connection_registry` (open connections); `limits` has every limit and refusal.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from broker.connection_registry import ConnectionRegistry
from broker.hub import Gate, Inbound, OnRefused
from broker.inbox import HubInbox
from broker.limits import HubLimits, Refusal
from broker.listener import Listener, bind, log_refusal
from broker.read_buffers import ReadBuffers
from broker.task_group import BlockTaskGroup
from broker.topics import Channel
from broker.write_buffer import WriteBudget

__all__ = ["EmbeddedHub", "HubLimits", "Refusal", "open_embedded_hub"]


class EmbeddedHub:
    """`broker.hub.Hub` for nodes that connect to this process; made by `open_embedded_hub`.

    Every method is to be called on the event loop the hub was opened on.
    """

    def __init__(
        self,
        *,
        port: int,
        inbox: HubInbox,
        registry: ConnectionRegistry,
        counters: Counter[str],
        buffers: ReadBuffers,
        write_budget: WriteBudget,
    ) -> None:
        self.port = port  # the one listened on, also when any was asked for
        self.counters = counters  # what was refused, by the values of Refusal
        self._inbox = inbox
        self._registry = registry
        self._buffers = buffers
        self._write_budget = write_budget

    @property
    def is_attached(self) -> bool:
        """True: nodes come here."""
        return True

    @property
    def connection_count(self) -> int:
        """How many nodes are connected."""
        return len(self._registry)

    @property
    def queued_count(self) -> int:
        """How many messages wait for `receive`."""
        return len(self._inbox)

    @property
    def unstored_bytes(self) -> int:
        """Bytes of messages that are not acked."""
        return self._inbox.unstored_bytes

    @property
    def unparsed_bytes(self) -> int:
        """Bytes read of packets that are not whole, or not taken yet."""
        return self._buffers.used

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait for nodes to read them."""
        return self._write_budget.used

    async def receive(self, limit: int) -> Sequence[Inbound]:
        """Wait for at least one message, then take up to *limit*, in the order of each node.

        HubClosed when the hub is closed and all that it held has been taken.
        """
        return await self._inbox.take(limit)

    def push(self, node_id: str, channel: Channel, payload: bytes) -> bool:
        """Send to a node at once, QoS 0; whether it went to a live, subscribed connection."""
        connection = self._registry.get(node_id)
        return connection is not None and connection.push(channel, payload)

    async def send(
        self, node_id: str, channel: Channel, payload: bytes, lifetime: timedelta
    ) -> bool:
        """As `push`, which knows."""
        return self.push(node_id, channel, payload)

    def is_connected(self, node_id: str) -> bool:
        """Return whether the node has a live connection here."""
        return self._registry.get(node_id) is not None

    def unread_bytes(self, node_id: str) -> int:
        """How many bytes wait for the node to read them."""
        connection = self._registry.get(node_id)
        return connection.unread_bytes if connection is not None else 0

    def disconnect(self, node_id: str) -> None:
        """End the node's connection at once; nothing it sent and was not acked is acked later."""
        self._registry.close(node_id, Refusal.DISCONNECTED)


@asynccontextmanager
async def open_embedded_hub(
    *,
    host: str,
    port: int,
    tls: ssl.SSLContext,
    gate: Gate,
    clock: Callable[[], datetime],
    limits: HubLimits | None = None,
    on_refused: OnRefused = log_refusal,
) -> AsyncIterator[EmbeddedHub]:
    """Listen for nodes until the block is left; OSError when the port is taken.

    *tls* has to require a certificate of the client. Its session tickets should be off
    (`num_tickets = 0`, `OP_NO_TICKET`): a resumed session does not look at dates again.
    A connection ends with its certificate, by *clock*. *on_refused* hears of each that is not
    admitted because of what it is.
    """
    if tls.verify_mode is not ssl.CERT_REQUIRED:
        raise ValueError("the TLS context does not require a certificate of the node")
    limits = limits or HubLimits()
    inbox, registry, counters = HubInbox(limits), ConnectionRegistry(), Counter[str]()
    buffers = ReadBuffers(limits.max_unparsed_bytes)
    write_budget = WriteBudget(limits.max_buffered_total_bytes)
    listening = await bind(host, port)
    try:
        async with BlockTaskGroup() as group:
            listener = Listener(
                tls,
                gate=gate,
                clock=clock,
                limits=limits,
                inbox=inbox,
                registry=registry,
                counters=counters,
                buffers=buffers,
                write_budget=write_budget,
                group=group,
                on_refused=on_refused,
            )
            accepting = group.create_task(listener.accept_forever(listening), name="accept nodes")
            try:
                yield EmbeddedHub(
                    port=listening.getsockname()[1],
                    inbox=inbox,
                    registry=registry,
                    counters=counters,
                    buffers=buffers,
                    write_budget=write_budget,
                )
            finally:
                inbox.close()
                accepting.cancel()
                await asyncio.wait((accepting,))
                await listener.close()
    finally:
        listening.close()

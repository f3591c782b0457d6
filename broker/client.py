"""The hub on MQTT 5 brokers that stand by themselves: Mosquitto, EMQX, or others.

Where there are several they are independent: a node connects to any of them, servers to all.
Servers share the messages of all nodes by shared subscriptions (MQTT 5.0, 4.8.2), each with a
persistent session under its own client id: what a server has not acknowledged when it dies waits
for it, or for another server that adopts its session.

From the socket inwards: `client_connection` (one connection) with `mqtt5` (packets),
`broker_session` (one broker: connects again, sends, adopts), this module, `client_queue` (what
`receive` reads) with `fair_queue`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from broker import mqtt5
from broker.broker_session import BrokerSession
from broker.client_connection import BrokerAddress, ClientConnection
from broker.client_queue import ClientQueue
from broker.errors import MalformedTopic
from broker.hub import Inbound
from broker.limits import ClientLimits
from broker.task_group import BlockTaskGroup
from broker.topics import Channel, parse_topic, topic_for

__all__ = ["BrokerAddress", "ClientHub", "ClientLimits", "open_client_hub"]

logger = logging.getLogger(__name__)


class ClientHub:
    """`broker.hub.Hub` for nodes that connect to brokers; made by `open_client_hub`.

    The broker authenticates and acknowledges. An `ack` here lets the broker forget the
    message; one that is not acked comes again when the connection does. Every method is to be
    called on the event loop the hub was opened on.
    """

    def __init__(
        self, brokers: Sequence[BrokerAddress], limits: ClientLimits, group: asyncio.TaskGroup
    ) -> None:
        self._group = group
        self._queue = ClientQueue(max_count=limits.max_queued, max_bytes=limits.max_queued_bytes)
        self._sessions = [BrokerSession(broker, limits, self._deliver) for broker in brokers]
        self._is_closed = False
        # What ends connections of nodes, and how many of these tasks run at the same time.
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = asyncio.Semaphore(limits.max_ending)

    @property
    def is_attached(self) -> bool:
        """Return whether a broker is there and passes on the messages of nodes."""
        return self.attached_count > 0

    @property
    def attached_count(self) -> int:
        """How many brokers are there and pass on the messages of nodes."""
        return sum(session.attached.is_set() for session in self._sessions)

    @property
    def unsent_count(self) -> int:
        """How many messages to nodes were not sent, as the broker did not read."""
        return sum(session.unsent_count for session in self._sessions)

    @property
    def queued_count(self) -> int:
        """How many messages wait for `receive`."""
        return len(self._queue)

    @property
    def unstored_bytes(self) -> int:
        """Bytes of messages that are not acked."""
        return self._queue.unstored_bytes

    async def wait_attached(self) -> None:
        """Wait until `is_attached`."""
        waits = [self._group.create_task(session.attached.wait()) for session in self._sessions]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def receive(self, limit: int) -> Sequence[Inbound]:
        """Wait for at least one message, then take up to *limit*, in the order of each node.

        HubClosed when the hub is closed and all that it held has been taken.
        """
        return await self._queue.take(limit)

    def push(self, node_id: str, channel: Channel, payload: bytes) -> bool:
        """Give a message to the brokers, QoS 0; return whether it is on its way to one.

        A broker drops it when the node is not connected there.
        """
        topic = topic_for(node_id, channel)
        is_sent = False
        for session in self._sessions:
            is_sent |= session.publish(topic, payload)
        return is_sent

    async def send(
        self, node_id: str, channel: Channel, payload: bytes, lifetime: timedelta
    ) -> bool:
        """Give a message to the brokers, QoS 1; return whether one has a subscriber (MQTT 3.4.2).

        Where a broker does not answer it may have been sent.
        """
        topic = topic_for(node_id, channel)
        sends = [session.send(topic, payload, lifetime) for session in self._sessions]
        return any(await asyncio.gather(*sends))

    def is_connected(self, node_id: str) -> bool:
        """Return whether a push can be tried: only brokers know which nodes are there."""
        return self.is_attached

    def unread_bytes(self, node_id: str) -> int:
        """0: only the node's broker knows."""
        return 0

    def disconnect(self, node_id: str) -> None:
        """End the node's connection by taking its client id over, then leave (MQTT 5.0, 3.1.4-3).

        The broker's own revocation list keeps it from coming back.
        """
        if not self._is_closed:
            task = self._group.create_task(self._take_over(node_id), name=f"end {node_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def adopt(self, client_id: str) -> bool:
        """Receive what brokers keep for the server *client_id*, which is gone, and end that.

        They send it nothing more. Comes back once all is acknowledged: True. False if the server
        came back meanwhile, which then has its session, or if a broker is not there.
        """
        return all(await asyncio.gather(*(each.adopt(client_id) for each in self._sessions)))

    async def run(self) -> None:
        """Stay connected to all brokers until cancelled; they then keep the sessions."""
        async with asyncio.TaskGroup() as tasks:
            for session in self._sessions:
                tasks.create_task(session.run())

    def close(self) -> None:
        """Let `receive` give out what the hub holds and then raise HubClosed."""
        self._is_closed = True
        self._queue.close()
        for task in self._tasks:
            task.cancel()

    async def _take_over(self, node_id: str) -> None:
        async with self._ending:
            await asyncio.gather(*(session.take_over(node_id) for session in self._sessions))

    def _deliver(self, connection: ClientConnection, message: mqtt5.PublishPacket) -> bool:
        try:
            node_id, channel = parse_topic(message.topic.decode())
        except (MalformedTopic, UnicodeDecodeError):
            connection.acknowledge(message.packet_id)  # a topic under ours that is not of a node
            return True
        ack = _Ack(self._queue, connection, message)
        if self._queue.put(Inbound(node_id, channel, message.payload, ack)):
            return True
        self._queue.call_at_room(connection.resume)
        return False


class _Ack:
    """The `ack` of one Inbound; only its first call counts."""

    __slots__ = ("_connection", "_packet_id", "_queue", "_size")

    def __init__(
        self, queue: ClientQueue, connection: ClientConnection, message: mqtt5.PublishPacket
    ) -> None:
        self._queue = queue
        self._connection: ClientConnection | None = connection
        self._packet_id = message.packet_id
        self._size = len(message.payload)

    def __call__(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._queue.release(self._size)
            connection.acknowledge(self._packet_id)


@asynccontextmanager
async def open_client_hub(
    broker: BrokerAddress,
    limits: ClientLimits | None = None,
    *,
    others: Sequence[BrokerAddress] = (),
) -> AsyncIterator[ClientHub]:
    """Stay connected to *broker* and *others* until the block is left.

    None has to be there yet. They do not depend on each other: a node connects to any of them.
    """
    async with BlockTaskGroup() as group:
        hub = ClientHub([broker, *others], limits or ClientLimits(), group)
        running = group.create_task(hub.run(), name="sessions with brokers")
        try:
            yield hub
        finally:
            hub.close()
            running.cancel()
            await asyncio.wait((running,))

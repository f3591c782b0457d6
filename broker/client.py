"""The hub on an MQTT 5 broker that stands by itself: Mosquitto, EMQX, or another.

Servers share the messages of all nodes by shared subscriptions (MQTT 5.0, 4.8.2), each with a
persistent session under its own client id: what a server has not acknowledged when it dies waits
for it, or for another server that adopts its session.

From the socket inwards: `client_connection` (one connection) with `mqtt5` (packets), this module
(connects again, sends, adopts), `client_queue` (what `receive` reads) with `fair_queue`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from broker import mqtt5
from broker.client_connection import BrokerAddress, ClientConnection, connect
from broker.client_queue import ClientQueue
from broker.errors import BrokerRefused, MalformedTopic
from broker.hub import Inbound
from broker.limits import ClientLimits
from broker.task_group import BlockTaskGroup
from broker.topics import FROM_NODE, Channel, parse_topic, shared_filter, topic_for

__all__ = ["BrokerAddress", "ClientHub", "ClientLimits", "open_client_hub"]

logger = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
"""An adopted session from which nothing came for this long is empty."""

ANSWER_SECONDS = 5.0
"""Timeout for the broker to answer whether a node is subscribed."""

_LOOK_SECONDS = 0.1
_FILTERS = [shared_filter(channel) for channel in sorted(FROM_NODE)]


class ClientHub:
    """`broker.hub.Hub` for nodes that connect to a broker; made by `open_client_hub`.

    The broker authenticates and acknowledges. An `ack` here lets the broker forget the
    message; one that is not acked comes again when the connection does. Every method is to be
    called on the event loop the hub was opened on.
    """

    def __init__(
        self, broker: BrokerAddress, limits: ClientLimits, group: asyncio.TaskGroup
    ) -> None:
        self._broker = broker
        self._limits = limits
        self._group = group
        self._queue = ClientQueue(max_count=limits.max_queued, max_bytes=limits.max_queued_bytes)
        # The connection while there is one, and whether the broker took the subscriptions on it.
        self._connection: ClientConnection | None = None
        self._attached = asyncio.Event()
        self.unsent_count = 0  # messages to nodes that were not sent, as the broker did not read
        self._is_closed = False
        # What ends connections of nodes, and how many of these tasks run at the same time.
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = asyncio.Semaphore(limits.max_ending)

    @property
    def is_attached(self) -> bool:
        """Return whether the broker is there and passes on the messages of nodes."""
        return self._attached.is_set()

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
        await self._attached.wait()

    async def receive(self, limit: int) -> Sequence[Inbound]:
        """Wait for at least one message, then take up to *limit*, in the order of each node.

        HubClosed when the hub is closed and all that it held has been taken.
        """
        return await self._queue.take(limit)

    def push(self, node_id: str, channel: Channel, payload: bytes) -> bool:
        """Give a message to the broker, QoS 0; return whether it is on its way there.

        The broker drops it when the node is not connected.
        """
        connection = self._connection
        return connection is not None and connection.publish(topic_for(node_id, channel), payload)

    async def send(
        self, node_id: str, channel: Channel, payload: bytes, lifetime: timedelta
    ) -> bool:
        """Give a message to the broker, QoS 1; return whether it has a subscriber (MQTT 3.4.2).

        Where the broker does not answer it may have been sent.
        """
        connection, topic = self._connection, topic_for(node_id, channel)
        if connection is None:
            return False
        expiry = max(1, int(lifetime.total_seconds()))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reason = await connection.publish_acknowledged(topic, payload, expiry)
        except TimeoutError:
            return True
        if reason is None:
            return True
        if reason >= mqtt5.FAILURE:
            logger.warning("the broker refuses what is sent to a node: %#04x", reason)
        return reason < mqtt5.FAILURE and reason != mqtt5.NO_SUBSCRIBER

    def is_connected(self, node_id: str) -> bool:
        """Return whether a push can be tried: only the broker knows which nodes are there."""
        return self.is_attached

    def unread_bytes(self, node_id: str) -> int:
        """0: only the broker knows."""
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
        """Receive what the broker keeps for the server *client_id*, which is gone, and end that.

        The broker sends it nothing more. Comes back once all is acknowledged: True. False if the
        server came back meanwhile, which then has its session, or if the broker is not there.
        """
        try:
            adopted = await connect(self._broker, client_id, self._limits, deliver=self._deliver)
        except (OSError, BrokerRefused) as error:
            logger.warning("cannot take over the session of %s: %s", client_id, error)
            return False
        is_empty = False
        try:
            await adopted.unsubscribe(_FILTERS)
            is_empty = await _emptied(adopted)
        finally:
            await adopted.leave(for_good=is_empty)
        return is_empty

    async def run(self) -> None:
        """Connect, again and again until cancelled; the broker then keeps the session."""
        pause = least = self._limits.reconnect_least.total_seconds()
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await self._attend()
            if loop.time() - began > pause:
                pause = least
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._limits.reconnect_most.total_seconds())

    def close(self) -> None:
        """Let `receive` give out what the hub holds and then raise HubClosed."""
        self._is_closed = True
        self._queue.close()
        for task in self._tasks:
            task.cancel()

    async def _attend(self) -> None:
        """One connection, from its beginning to its end."""
        place, client_id = self._broker.place, self._broker.client_id
        try:
            connection = await connect(self._broker, client_id, self._limits, deliver=self._deliver)
        except OSError as error:
            logger.warning("cannot reach the broker at %s: %s", place, error)
            return
        except BrokerRefused as error:
            logger.error("%s", error)  # noqa: TRY400
            return
        try:
            self._connection = connection
            reason = await connection.subscribe(_FILTERS)
            if reason is not None and reason >= mqtt5.FAILURE:
                logger.error("the broker refuses the subscriptions of this server: %#04x", reason)
                return
            if reason is not None:
                self._attached.set()
                logger.info("connected to the broker at %s", place)
            reason = await asyncio.shield(connection.ended)
        finally:
            self._connection = None
            self._attached.clear()
            await connection.leave()
        if reason == mqtt5.SESSION_TAKEN_OVER:
            logger.error(
                "another server connects to the broker as %s; each needs a server_id of its own",
                client_id,
            )
        else:
            shown = "no reason given" if reason is None else f"{reason:#04x}"
            logger.warning("the connection to the broker has ended (%s)", shown)

    def _count_unsent(self) -> None:
        self.unsent_count += 1

    async def _take_over(self, node_id: str) -> None:
        async with self._ending:
            try:
                connection = await connect(
                    self._broker, node_id, self._limits, deliver=_drop, clean_start=True
                )
            except (OSError, BrokerRefused) as error:
                logger.warning("cannot end the connection of %s: %s", node_id, error)
                return
            await connection.leave()

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


async def _emptied(adopted: ClientConnection) -> bool:
    """Wait until nothing comes any more and all is acknowledged; False if it ends before."""
    quiet = 0.0
    while quiet < IDLE_SECONDS and adopted.is_open:
        before = adopted.received_count
        await asyncio.sleep(_LOOK_SECONDS)
        is_quiet = adopted.received_count == before and not adopted.unacked_count
        quiet = quiet + _LOOK_SECONDS if is_quiet else 0.0
    return adopted.is_open


def _drop(_connection: ClientConnection, _message: mqtt5.PublishPacket) -> bool:
    return True


@asynccontextmanager
async def open_client_hub(
    broker: BrokerAddress, limits: ClientLimits | None = None
) -> AsyncIterator[ClientHub]:
    """Stay connected to *broker* until the block is left; it need not be there yet."""
    async with BlockTaskGroup() as group:
        hub = ClientHub(broker, limits or ClientLimits(), group)
        running = group.create_task(hub.run(), name="the session with the broker")
        try:
            yield hub
        finally:
            hub.close()
            running.cancel()
            await asyncio.wait((running,))

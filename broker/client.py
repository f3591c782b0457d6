"""The hub on an MQTT 5 broker that stands by itself: Mosquitto, EMQX, or another.

Servers share the messages of all nodes by shared subscriptions (MQTT 5.0, 4.8.2), each with a
persistent session under its own client id: what a server has not acknowledged when it dies waits
for it, or for another server that adopts its session.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from broker.client_session import TAKEN_OVER, Broker, ClientLimits, Session, new_client
from broker.errors import MalformedTopic
from broker.hub import Inbound
from broker.shared_queue import SharedQueue
from broker.topics import FROM_NODE, Channel, parse_topic, shared_filter, topic_for

__all__ = ["Broker", "ClientHub", "ClientLimits", "open_client_hub"]

logger = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
"""An adopted session from which nothing came for this long is empty."""

ANSWER_SECONDS = 5.0
"""Timeout for the broker to answer whether a node is subscribed."""

NO_SUBSCRIBER = 0x10
"""The topic has no subscribers (MQTT 5.0, 3.4.2.1)."""

_LOOK_SECONDS = 0.1
_FILTERS = [shared_filter(channel) for channel in sorted(FROM_NODE)]


class ClientHub:
    """`broker.hub.Hub` for nodes that connect to a broker; made by `open_client_hub`.

    The broker authenticates and acknowledges. An `ack` here lets the broker forget the
    message; one that is not acked comes again when the connection does.
    """

    def __init__(self, broker: Broker, limits: ClientLimits) -> None:
        self._broker = broker
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._queue = SharedQueue(
            self._loop, max_count=limits.max_queued, max_bytes=limits.max_queued_bytes
        )
        self._unwritten: deque[MQTTMessageInfo] = deque()
        # How many messages are being sent, and the answers to them that are waited for.
        self._sending = 0
        self._answers: dict[int, asyncio.Future[bool]] = {}
        self._is_attached = False
        self._is_closed = False
        self._session = Session(
            broker,
            broker.client_id,
            limits,
            deliver=self._deliver,
            on_attached=self._on_attached,
            on_detached=self._on_detached,
        )
        self._session.client.on_publish = self._on_published

    @property
    def is_attached(self) -> bool:
        """Return whether the broker is there and was asked for the messages of nodes."""
        return self._is_attached

    @property
    def queued_count(self) -> int:
        """How many messages wait for `receive`."""
        return len(self._queue)

    @property
    def unstored_bytes(self) -> int:
        """Bytes of messages that are not acked."""
        return self._queue.unstored_bytes

    async def receive(self, limit: int) -> Sequence[Inbound]:
        """Wait for at least one message, then take up to *limit*, in the order of each node.

        HubClosed when the hub is closed and all that it held has been taken.
        """
        return await self._queue.take(limit)

    def push(self, node_id: str, channel: Channel, payload: bytes) -> bool:
        """Give a message to the broker, QoS 0; return whether it is on its way there.

        The broker drops it when the node is not connected.
        """
        unwritten = self._unwritten
        while unwritten and (unwritten[0].rc != 0 or unwritten[0].is_published()):
            unwritten.popleft()
        if not self._is_attached or len(unwritten) >= self._limits.max_unwritten:
            return False
        info = self._session.client.publish(topic_for(node_id, channel), payload, qos=0)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return False
        unwritten.append(info)
        return True

    async def send(
        self, node_id: str, channel: Channel, payload: bytes, lifetime: timedelta
    ) -> bool:
        """Give a message to the broker, QoS 1; return whether it has a subscriber (MQTT 3.4.2).

        Where the broker does not answer it may have been sent.
        """
        if not self._is_attached:
            return False
        wanted = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        wanted.MessageExpiryInterval = max(1, int(lifetime.total_seconds()))
        topic, answer = topic_for(node_id, channel), self._loop.create_future()
        self._sending += 1
        try:
            info = self._session.client.publish(topic, payload, qos=1, properties=wanted)
            self._answers[info.mid] = answer
            async with asyncio.timeout(ANSWER_SECONDS):
                is_heard: bool = await answer
        except TimeoutError:
            return True
        finally:
            self._sending -= 1
            self._answers = {mid: one for mid, one in self._answers.items() if one is not answer}
        return is_heard

    def is_connected(self, node_id: str) -> bool:
        """Return whether a push can be tried: only the broker knows which nodes are there."""
        return self._is_attached

    def disconnect(self, node_id: str) -> None:
        """End the node's connection by taking its client id over, then leave (MQTT 5.0, 3.1.4-3).

        The broker's own revocation list keeps it from coming back.
        """
        if self._is_closed:
            return
        thread = threading.Thread(target=self._take_over, args=(node_id,), daemon=True)
        thread.start()

    async def adopt(self, client_id: str) -> bool:
        """Receive what the broker keeps for the server *client_id*, which is gone, and end that.

        The broker sends it nothing more. Comes back once all is acknowledged: True. False if the
        server came back meanwhile, which then has its session, or if the broker is not there.
        """
        adoption = _Adoption(self._loop)
        session = Session(
            self._broker,
            client_id,
            self._limits,
            deliver=adoption.counted(self._deliver),
            on_attached=adoption.on_attached,
            on_detached=adoption.on_detached,
        )
        session.start()
        try:
            await adoption.ended.wait()
            quiet = 0.0
            while quiet < IDLE_SECONDS and not adoption.is_over:
                before = adoption.count
                await asyncio.sleep(_LOOK_SECONDS)
                is_quiet = adoption.count == before and not session.unacked_count
                quiet = quiet + _LOOK_SECONDS if is_quiet else 0.0
        finally:
            done = not adoption.is_over
            await asyncio.to_thread(session.stop, for_good=done)
        return done

    def attach(self) -> None:
        """Begin to connect, again and again until `detach`."""
        self._session.start()

    def detach(self) -> None:
        """Leave the broker, which keeps the session; blocks until the network thread has ended."""
        self._is_closed = True
        self._queue.close()
        self._session.stop()

    # on a thread of its own
    def _take_over(self, node_id: str) -> None:
        client = new_client(self._broker, node_id)
        client.on_connect = lambda client, *_: client.disconnect()
        try:
            client.connect(self._broker.host, self._broker.port, clean_start=True)
            client.loop_forever()
        except OSError as error:
            logger.warning("cannot end the connection of %s: %s", node_id, error)

    def _settle(self, mid: int, *, is_heard: bool) -> None:
        answer = self._answers.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(is_heard)

    # on the network thread
    def _on_published(
        self, _client: Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any
    ) -> None:
        if not self._sending:
            return  # a push, whose way ends here
        if reason.is_failure:
            logger.warning("the broker refuses what is sent to a node: %s", reason)
        is_heard = reason.value != NO_SUBSCRIBER and not reason.is_failure
        self._loop.call_soon_threadsafe(partial(self._settle, mid, is_heard=is_heard))

    def _on_attached(self, session: Session) -> None:
        session.client.subscribe([(each, 1) for each in _FILTERS])
        self._is_attached = True
        logger.info("connected to the broker at %s", self._broker.place)

    def _on_detached(self, _session: Session, reason: int | None) -> None:
        self._is_attached = False
        if reason == TAKEN_OVER:
            logger.error(
                "another server comes to the broker as %s; each needs a server_id of its own",
                self._broker.client_id,
            )
        elif reason is not None and not self._is_closed:
            logger.warning("the connection to the broker has ended (%s)", reason)

    def _deliver(self, session: Session, message: MQTTMessage, connection: int) -> None:
        payload = bytes(message.payload)
        ack = _Ack(session, connection, message.mid if message.qos else 0, self._queue, payload)
        try:
            node_id, channel = parse_topic(message.topic)
        except (MalformedTopic, UnicodeDecodeError):
            if message.qos:  # a topic under ours that is not of a node
                session.acknowledge(connection, message.mid)
            return
        self._queue.put(Inbound(node_id, channel, payload, ack.send))


class _Adoption:
    """How far the adoption of a session has come."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # Set when the broker has ended the subscriptions, or the connection.
        self.ended = asyncio.Event()
        self.is_over = False
        self.count = 0

    def counted(
        self, deliver: Callable[[Session, MQTTMessage, int], None]
    ) -> Callable[[Session, MQTTMessage, int], None]:
        def counting(session: Session, message: MQTTMessage, connection: int) -> None:
            self.count += 1
            deliver(session, message, connection)

        return counting

    def on_attached(self, session: Session) -> None:
        session.client.on_unsubscribe = lambda *_: self._tell()
        session.client.unsubscribe(_FILTERS)

    def on_detached(self, _session: Session, _reason: int | None) -> None:
        self.is_over = True
        self._tell()

    def _tell(self) -> None:
        self._loop.call_soon_threadsafe(self.ended.set)


class _Ack:
    """The `ack` of one Inbound, *mid* 0 at QoS 0; only its first call counts."""

    __slots__ = ("_connection", "_mid", "_queue", "_session", "_size")

    def __init__(
        self, session: Session, connection: int, mid: int, queue: SharedQueue, payload: bytes
    ) -> None:
        self._session: Session | None = session
        self._connection = connection
        self._mid = mid
        self._queue = queue
        self._size = len(payload)

    def send(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._queue.release(self._size)
            if self._mid:
                session.acknowledge(self._connection, self._mid)


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

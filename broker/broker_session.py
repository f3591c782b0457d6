"""One broker of a server: connected again and again, with one persistent session."""

import asyncio
import logging
from datetime import timedelta

from broker import mqtt5
from broker.client_connection import BrokerAddress, ClientConnection, Deliver, connect
from broker.errors import BrokerRefused
from broker.limits import ClientLimits
from broker.reconnecting import keep_connecting
from broker.topics import FROM_NODE, shared_filter

logger = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
"""An adopted session from which nothing came for this long is empty."""

ANSWER_SECONDS = 5.0
"""Timeout for the broker to answer whether a node is subscribed."""

_LOOK_SECONDS = 0.1
_FILTERS = [shared_filter(channel) for channel in sorted(FROM_NODE)]


class BrokerSession:
    """The session of this server at *broker*; *deliver* is called with what it passes on.

    Every method is to be called on the event loop that `run` runs on.
    """

    def __init__(self, broker: BrokerAddress, limits: ClientLimits, deliver: Deliver) -> None:
        self._broker = broker
        self._limits = limits
        self._deliver = deliver
        self._connection: ClientConnection | None = None
        # Whether the broker took the subscriptions on the connection of now.
        self.attached = asyncio.Event()
        self.unsent_count = 0  # messages to nodes that were not sent, as the broker did not read

    def publish(self, topic: str, payload: bytes) -> bool:
        """Give the broker a message, QoS 0; return whether it is on its way there."""
        connection = self._connection
        return connection is not None and connection.publish(topic, payload)

    async def send(self, topic: str, payload: bytes, lifetime: timedelta) -> bool:
        """Give the broker a message, QoS 1; return whether it has a subscriber (MQTT 3.4.2).

        Where the broker does not answer it may have been sent.
        """
        connection = self._connection
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

    async def adopt(self, client_id: str) -> bool:
        """Receive what the broker keeps for the server *client_id*, and end that session.

        False if the server came back meanwhile, or if the broker is not there.
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

    async def take_over(self, node_id: str) -> None:
        """End the connection of a node by taking its client id over (MQTT 5.0, 3.1.4-3)."""
        try:
            connection = await connect(
                self._broker, node_id, self._limits, deliver=_drop, clean_start=True
            )
        except (OSError, BrokerRefused) as error:
            logger.warning("cannot end the connection of %s: %s", node_id, error)
            return
        await connection.leave()

    async def run(self) -> None:
        """Connect, again and again until cancelled; the broker then keeps the session."""
        await keep_connecting(self._attend, self._limits)

    async def _attend(self) -> None:
        """One connection, from its beginning to its end."""
        place, client_id = self._broker.place, self._broker.client_id
        try:
            connection = await connect(
                self._broker,
                client_id,
                self._limits,
                deliver=self._deliver,
                on_full=self._count_unsent,
            )
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
                self.attached.set()
                logger.info("connected to the broker at %s", place)
            reason = await asyncio.shield(connection.ended)
        finally:
            self._connection = None
            self.attached.clear()
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

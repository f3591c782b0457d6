"""The parts of amqtt that the embedded hub uses: its packet classes and its handler, made strict.

amqtt's coroutines are run to their end at once: their bytes are all at hand and writing never
waits here, so nothing in them suspends. That spares a task per packet and keeps packets in order.
"""

import asyncio
import ssl
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from amqtt.adapters import BufferReader, ReaderAdapter, WriterAdapter
from amqtt.broker import BrokerContext
from amqtt.contexts import BaseContext, BrokerConfig
from amqtt.errors import AMQTTError, CodecError, MQTTError, NoDataError
from amqtt.mqtt import packet_class
from amqtt.mqtt.connack import ConnackPacket
from amqtt.mqtt.connect import ConnectPacket
from amqtt.mqtt.packet import CONNECT, MQTTFixedHeader
from amqtt.mqtt.pingreq import PingReqPacket
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.mqtt.subscribe import SubscribePacket
from amqtt.mqtt.unsubscribe import UnsubscribePacket
from amqtt.plugins.manager import PluginManager
from amqtt.session import Session

from broker.access import may_subscribe
from broker.errors import MalformedPacket, WrongVersion
from broker.limits import Refusal

Plugins = PluginManager[BrokerContext]

_PROTOCOL_NAMES = frozenset({"MQTT", "MQIsdp"})
_PROTOCOL_LEVEL = 4
_UNREADABLE = (AMQTTError, MQTTError, NoDataError, CodecError, ValueError)
_REFUSED_SUBSCRIPTION = 0x80

_T = TypeVar("_T")


class Peer(Protocol):
    """The connection, as the handler sees it."""

    def send(self, data: bytes) -> bool:
        """Write bytes."""
        ...

    def subscribe(self, topic: str) -> None:
        """Let pushes to *topic* through."""
        ...

    def unsubscribe(self, topic: str) -> None:
        """Stop pushes to *topic*."""
        ...

    def count(self, reason: Refusal) -> None:
        """Count something refused."""
        ...


def no_plugins() -> Plugins:
    """Make amqtt's plugin manager with nothing in it: no anonymous login, no $SYS, no logger."""
    context = BaseContext()
    context.config = BrokerConfig(plugins={})
    return PluginManager("broker.embedded", context)  # type: ignore[arg-type]


def connack(code: int) -> bytes:
    """Write a CONNACK without a session."""
    return ConnackPacket.build(0, code).to_bytes()


class NodeSession(Session):
    """A session that ends with its connection.

    amqtt's state machine (0.4 ms and 20 kB each, measured) is for sessions that outlive theirs.
    """

    def _init_states(self) -> None:
        pass


class NodeHandler(BrokerProtocolHandler):
    """amqtt's handler of one connection, without its session look-up, reader task and queues.

    Neither a will nor a user name gets past `init_from_connect`, and the session is clean.
    """

    def __init__(
        self,
        plugins_manager: Plugins,
        session: Session | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(plugins_manager, session, loop)
        self._peer: Peer | None = None  # set by `serve`

    @classmethod
    async def init_from_connect(
        cls,
        reader: ReaderAdapter,
        writer: WriterAdapter,
        plugins_manager: Plugins,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> tuple["NodeHandler", Session]:
        """Read a CONNECT; `WrongVersion` for another MQTT, amqtt's errors for no CONNECT at all.

        The client id of the session is empty when the node gave none.
        """
        header = MQTTFixedHeader(CONNECT)
        connect = await ConnectPacket.from_stream(reader, fixed_header=header)
        fields, payload = connect.variable_header, connect.payload
        if fields is None or payload is None or fields.proto_name not in _PROTOCOL_NAMES:
            raise MQTTError("not a CONNECT")
        if fields.proto_name != "MQTT" or fields.proto_level != _PROTOCOL_LEVEL:
            raise WrongVersion
        if fields.reserved_flag:
            raise MQTTError("reserved flag of CONNECT set (3.1.2.3)")
        session = NodeSession()
        session.client_id = "" if payload.client_id_is_random else payload.client_id
        session.clean_session = True
        session.keep_alive = fields.keep_alive
        return cls(plugins_manager, loop=loop), session

    def serve(self, peer: Peer, session: Session) -> None:
        """Answer the packets of *peer* from now on."""
        self._peer = peer
        self.attach(session, BufferReader(b""), PeerWriter(peer))

    def take(self, first_byte: int, body: bytes) -> None:
        """Answer one packet; MalformedPacket when amqtt cannot read it."""
        header = MQTTFixedHeader(first_byte >> 4, first_byte & 0x0F, len(body))
        try:
            packet = run_now(packet_class(header).from_stream(BufferReader(body), header))
        except _UNREADABLE as error:
            raise MalformedPacket(str(error)) from error
        match packet:
            case SubscribePacket():
                run_now(self.handle_subscribe(packet))
            case UnsubscribePacket():
                run_now(self.handle_unsubscribe(packet))
            case PingReqPacket():
                run_now(self.handle_pingreq(packet))
            case _:
                raise MalformedPacket(f"{type(packet).__name__} at this point (3.1.0-2)")

    async def handle_subscribe(self, subscribe: SubscribePacket) -> None:
        """Grant the node's own topics, named exactly; 0x80 for all others."""
        packet_id, payload, peer = subscribe.variable_header, subscribe.payload, self._peer
        if packet_id is None or payload is None or not payload.topics or peer is None:
            raise MalformedPacket("SUBSCRIBE without a topic (3.8.3-3)")
        codes = [self._grant(peer, topic, qos) for topic, qos in payload.topics]
        await self.mqtt_acknowledge_subscription(packet_id.packet_id, codes)

    async def handle_unsubscribe(self, unsubscribe: UnsubscribePacket) -> None:
        """Stop pushes to the topics named."""
        packet_id, payload, peer = unsubscribe.variable_header, unsubscribe.payload, self._peer
        if packet_id is None or payload is None or not payload.topics or peer is None:
            raise MalformedPacket("UNSUBSCRIBE without a topic (3.10.3-2)")
        for topic in payload.topics:
            peer.unsubscribe(topic)
        await self.mqtt_acknowledge_unsubscription(packet_id.packet_id)

    def _grant(self, peer: Peer, topic: str, qos: int) -> int:
        if qos > 2:
            raise MalformedPacket("QoS of a subscription above 2 (3.8.3-4)")
        client_id = self.session.client_id if self.session else None
        if not client_id or not may_subscribe(client_id, topic):
            peer.count(Refusal.SUBSCRIPTION)
            return _REFUSED_SUBSCRIPTION
        peer.subscribe(topic)
        return min(qos, 1)  # pushes are QoS 0; granting 0 makes some clients give up


class PeerWriter(WriterAdapter):
    """Lets amqtt write to the connection; closing is the connection's own business."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def write(self, data: bytes) -> None:
        """Write."""
        self._peer.send(bytes(data))

    async def drain(self) -> None:
        """Return: the connection bounds what waits to be read."""

    def get_peer_info(self) -> tuple[str, int] | None:
        """Do nothing; amqtt calls it."""
        return None

    def get_ssl_info(self) -> ssl.SSLObject | None:
        """Log nothing; identity was checked before."""
        return None

    async def close(self) -> None:
        """Do nothing."""


def read_connect(body: bytes, plugins: Plugins) -> tuple[NodeHandler, Session]:
    """Handler and session for the CONNECT with *body*; MalformedPacket, or WrongVersion."""
    no_writer = PeerWriter(_UnusedWriter())
    try:
        return run_now(NodeHandler.init_from_connect(BufferReader(body), no_writer, plugins))
    except WrongVersion:
        raise
    except _UNREADABLE as error:
        raise MalformedPacket(str(error)) from error


def run_now(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that never waits; RuntimeError if it does."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("amqtt waited where it never did")


class _UnusedWriter:
    def send(self, data: bytes) -> bool:
        return False

    def subscribe(self, topic: str) -> None: ...
    def unsubscribe(self, topic: str) -> None: ...
    def count(self, reason: Refusal) -> None: ...

"""The TLS listener: from a TCP connection to an admitted node."""

import asyncio
import functools
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from broker.connection import NodeConnection
from broker.connection_registry import ConnectionRegistry
from broker.errors import MalformedPacket, WrongVersion
from broker.handshakes import Handshake, HandshakeLimiter
from broker.hub import Gate, OnRefused, RefusedConnection, ShownCertificate
from broker.inbox import HubInbox
from broker.limits import RECEIVE_BYTES, ConnackCode, ConnectionRefused, HubLimits, Refusal
from broker.peer_certificate import PeerIdentity, peer_identity
from broker.read_buffers import ReadBuffers
from broker.write_buffer import WriteBudget

if TYPE_CHECKING:
    from broker.handler import Plugins

logger = logging.getLogger(__name__)

_BACKLOG = 1_024
_REPORTED = frozenset({Refusal.TLS_FAILED, Refusal.IDENTITY, Refusal.GATE})
_PAUSE_SECONDS = 0.5  # when the system has no file descriptor left for one more connection


class Listener:
    """Accepts connections and admits nodes; each admission is a task of *group*."""

    def __init__(
        self,
        tls: ssl.SSLContext,
        *,
        gate: Gate,
        clock: Callable[[], datetime],
        limits: HubLimits,
        inbox: HubInbox,
        registry: ConnectionRegistry,
        counters: Counter[str],
        buffers: ReadBuffers,
        write_budget: WriteBudget,
        group: asyncio.TaskGroup,
        on_refused: OnRefused,
    ) -> None:
        self._tls = tls
        self._gate = gate
        self._clock = clock
        self._limits = limits
        self._inbox = inbox
        self._registry = registry
        self._counters = counters
        self._group = group
        self._on_refused = on_refused
        self._buffers = buffers
        self._write_budget = write_budget
        self._connections: set[NodeConnection] = set()  # from TCP accept to the end
        self._handshakes = HandshakeLimiter(limits)
        self._admissions: set[asyncio.Task[None]] = set()
        self._accepted = 0

    @functools.cached_property
    def _plugins(self) -> "Plugins":
        from broker.handler import no_plugins  # loaded by `_let_in`

        return no_plugins()

    async def accept_forever(self, listening: socket.socket) -> None:
        """Accept from *listening* until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, peer = await loop.sock_accept(listening)
            except OSError as error:
                logger.warning("cannot accept connections for now: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            try:
                await self._handshakes.acquire_slot(peer)
                self._take_in(accepted, peer)
            except BaseException as error:
                accepted.close()
                if not isinstance(error, ConnectionRefused):
                    raise
                self._counters[error.reason] += 1

    async def close(self) -> None:
        """Close every connection and wait until the last is gone; `accept_forever` has ended."""
        for task in self._admissions:
            task.cancel()
        if self._admissions:
            await asyncio.wait(self._admissions)
        open_ones = list(self._connections)
        for connection in open_ones:
            connection.close()
        if not open_ones:
            return
        # asyncio may leave a TLS transport half closed whose peer went away meanwhile.
        lost = [connection.lost for connection in open_ones]
        await asyncio.wait(lost, timeout=self._limits.close_timeout.total_seconds())
        for connection in open_ones:
            if not connection.lost.done():
                connection.abort()
        await asyncio.wait(lost)

    def _take_in(self, accepted: socket.socket, peer: object) -> None:
        if len(self._connections) >= self._limits.max_connections:
            raise ConnectionRefused(Refusal.TOO_MANY_CONNECTIONS)
        handshake = self._handshakes.add(accepted, peer)
        self._accepted += 1
        task = self._group.create_task(
            self._admit(handshake, self._accepted), name=f"admit connection {self._accepted}"
        )
        handshake.task = task
        self._admissions.add(task)
        task.add_done_callback(self._admissions.discard)

    async def _admit(self, handshake: Handshake, number: int) -> None:
        connection = NodeConnection(
            number,
            inbox=self._inbox,
            buffers=self._buffers,
            write_budget=self._write_budget,
            limits=self._limits,
            counters=self._counters,
            on_close=self._registry.remove,
        )
        self._connections.add(connection)
        connection.lost.add_done_callback(lambda _: self._connections.discard(connection))
        refused: ConnectionRefused | None = None
        try:
            await self._secure(handshake, connection)
            await self._let_in(connection)
        except ConnectionRefused as refusal:
            refused = refusal
            self._turn_away(connection, refusal)
        except asyncio.CancelledError:
            if handshake.is_evicted:
                self._counters[Refusal.CROWDED_OUT] += 1
            connection.abort()
            raise
        except Exception:
            logger.exception("admitting connection %d failed", number)
            self._turn_away(connection, ConnectionRefused(Refusal.INTERNAL_ERROR))
        finally:
            self._handshakes.remove(handshake)
            if not connection.is_connected:
                self._connections.discard(connection)
        if refused is not None and refused.reason in _REPORTED and refused.detail:
            await self._report(handshake.address, connection.claimed_id, refused)

    async def _report(self, address: str, node_id: str, refused: ConnectionRefused) -> None:
        try:
            await self._on_refused(
                RefusedConnection(refused.reason, address, node_id, refused.detail)
            )
        except Exception:
            logger.exception("recording a refused connection failed")

    def _turn_away(self, connection: NodeConnection, refusal: ConnectionRefused) -> None:
        if refusal.code is not None:
            _answer(connection, refusal.code)
        connection.refuse(refusal.reason)

    async def _secure(self, handshake: Handshake, connection: NodeConnection) -> None:
        try:
            left = await self._handshakes.wait_for_turn(handshake)
        except BaseException:
            handshake.socket.close()
            raise
        try:  # both event loops set TCP_NODELAY
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                handshake.socket,
                ssl=self._tls,
                ssl_handshake_timeout=left,
                ssl_shutdown_timeout=self._limits.close_timeout.total_seconds(),
            )
        except OSError as error:  # ssl.SSLError and timeouts are such
            reason = getattr(error, "verify_message", "") or getattr(error, "reason", "")
            raise ConnectionRefused(Refusal.TLS_FAILED, detail=str(reason or "")) from error
        self._handshakes.secured(handshake)

    async def _let_in(self, connection: NodeConnection) -> None:
        body = await self._first_packet(connection)
        if body is None:
            return
        from broker.handler import read_connect  # loads amqtt, with the first node

        try:
            handler, session = read_connect(body, self._plugins)
        except WrongVersion as error:
            raise ConnectionRefused(Refusal.PROTOCOL_VERSION, ConnackCode.WRONG_VERSION) from error
        except MalformedPacket as error:
            raise ConnectionRefused(Refusal.MALFORMED) from error
        identity = _identity(connection, session.client_id or "")
        node_id, ends = identity.node_id, identity.ends
        peer = connection.transport.get_extra_info("peername") or ("",)
        # Known before the gate reads: a `disconnect` that follows a change finds it in any case.
        self._registry.expect(node_id, connection)
        try:
            await self._ask_gate(node_id, ShownCertificate(identity.certificate, str(peer[0])))
            if connection.is_closed:
                return
            handler.serve(connection, session)
            connection.node_id = node_id
            if not self._registry.admit(node_id, connection):
                raise ConnectionRefused(Refusal.REPLACED)
        finally:
            self._registry.forget(node_id, connection)
        _answer(connection, ConnackCode.ACCEPTED)
        connection.open(
            handler,
            session.keep_alive,
            certificate_left=lambda: (ends - self._clock()).total_seconds(),
        )

    async def _first_packet(self, connection: NodeConnection) -> bytes | None:
        try:
            async with asyncio.timeout(self._limits.connect_timeout.total_seconds()):
                return await connection.connect
        except TimeoutError as error:
            raise ConnectionRefused(Refusal.CONNECT_TIMEOUT) from error

    async def _ask_gate(self, node_id: str, shown: ShownCertificate) -> None:
        try:
            async with asyncio.timeout(self._limits.gate_timeout.total_seconds()):
                is_welcome = await self._gate(node_id, shown)
        except TimeoutError as error:
            raise ConnectionRefused(Refusal.GATE_FAILED, ConnackCode.UNAVAILABLE) from error
        except Exception as error:
            logger.exception("the gate failed for %s", node_id)
            raise ConnectionRefused(Refusal.GATE_FAILED, ConnackCode.DENIED) from error
        if not is_welcome:
            detail = "its certificate does not admit it"
            raise ConnectionRefused(Refusal.GATE, ConnackCode.DENIED, detail=detail)


async def log_refusal(refused: RefusedConnection) -> None:
    """Write a refused connection into the log."""
    who = f"node {refused.node_id}" if refused.node_id else "a client"
    logger.warning("refused %s from %s: %s", who, refused.address, refused.detail)


async def bind(host: str, port: int) -> socket.socket:
    """Listen on *host*; OSError when the port is taken."""
    loop = asyncio.get_running_loop()
    family, kind, protocol, _, address = (
        await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)  # inherited
        listening.settimeout(0)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _answer(connection: NodeConnection, code: ConnackCode) -> None:
    from broker.handler import connack  # loaded by `_let_in`

    connection.send(connack(code))


def _identity(connection: NodeConnection, client_id: str) -> PeerIdentity:
    """Identity of a client; its certificate identifies it, not *client_id*.

    They have to agree, so that an operator who mixed up two nodes learns it at once.
    """
    identity = peer_identity(connection.transport)
    if identity is None:
        detail = "the certificate is not that of a node"
        raise ConnectionRefused(Refusal.IDENTITY, ConnackCode.WRONG_IDENTITY, detail=detail)
    connection.claimed_id = identity.node_id
    if identity.node_id != client_id:
        detail = f"its MQTT client id is {client_id[:80]!r} and has to be {identity.node_id!r}"
        raise ConnectionRefused(Refusal.IDENTITY, ConnackCode.WRONG_IDENTITY, detail=detail)
    return identity

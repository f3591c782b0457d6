"""The TLS listener: from a TCP connection to a node the gate has let in."""

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from broker.arrivals import Arrival, Arrivals
from broker.connection import NodeConnection
from broker.errors import MalformedPacket
from broker.handler import (
    ACCEPTED,
    DENIED,
    UNAVAILABLE,
    WRONG_IDENTITY,
    WRONG_VERSION,
    WrongVersion,
    connack,
    no_plugins,
    read_connect,
)
from broker.hub import Gate, ShownCertificate
from broker.inbox import Inbox
from broker.limits import HubLimits, Refusal, Refused
from broker.roster import Roster
from broker.topics import is_node_id_level

logger = logging.getLogger(__name__)

_BACKLOG = 1_024
_SHOWN_CHARACTERS = 80  # of what a client sent, in the log
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
        inbox: Inbox,
        roster: Roster,
        counters: Counter[str],
        group: asyncio.TaskGroup,
    ) -> None:
        self._tls = tls
        self._gate = gate
        self._clock = clock
        self._limits = limits
        self._inbox = inbox
        self._roster = roster
        self._counters = counters
        self._group = group
        self._plugins = no_plugins()
        self._connections: set[NodeConnection] = set()  # from TCP accept to the end
        self._arrivals = Arrivals(limits)
        self._admissions: set[asyncio.Task[None]] = set()
        self._accepted = 0

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
                await self._arrivals.room()
                self._take_in(accepted, peer)
            except BaseException as error:
                accepted.close()
                if not isinstance(error, Refused):
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
        for connection in open_ones:
            await connection.lost

    def _take_in(self, accepted: socket.socket, peer: object) -> None:
        if len(self._connections) >= self._limits.max_connections:
            raise Refused(Refusal.TOO_MANY_CONNECTIONS)
        arrival = self._arrivals.add(accepted, peer)
        self._accepted += 1
        task = self._group.create_task(
            self._admit(arrival, self._accepted), name=f"admit connection {self._accepted}"
        )
        self._admissions.add(task)
        task.add_done_callback(self._admissions.discard)

    async def _admit(self, arrival: Arrival, number: int) -> None:
        connection = NodeConnection(
            number,
            inbox=self._inbox,
            limits=self._limits,
            counters=self._counters,
            on_close=self._roster.remove,
        )
        self._connections.add(connection)
        connection.lost.add_done_callback(lambda _: self._connections.discard(connection))
        try:
            await self._secure(arrival, connection)
            await self._let_in(connection)
        except Refused as refusal:
            self._turn_away(connection, refusal)
        except asyncio.CancelledError:
            connection.abort()
            raise
        except Exception:
            logger.exception("admitting connection %d failed", number)
            self._turn_away(connection, Refused(Refusal.INTERNAL_ERROR))
        finally:
            self._arrivals.remove(arrival)
            if not connection.is_connected:
                self._connections.discard(connection)

    def _turn_away(self, connection: NodeConnection, refusal: Refused) -> None:
        if refusal.code is not None:
            connection.send(connack(refusal.code))
        connection.refuse(refusal.reason)

    async def _secure(self, arrival: Arrival, connection: NodeConnection) -> None:
        try:
            left = await self._arrivals.wait_for_turn(arrival)
        except BaseException:
            arrival.socket.close()
            raise
        try:  # both event loops set TCP_NODELAY
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                arrival.socket,
                ssl=self._tls,
                ssl_handshake_timeout=left,
                ssl_shutdown_timeout=self._limits.close_timeout.total_seconds(),
            )
        except OSError as error:  # ssl.SSLError and timeouts are such
            logger.debug("TLS handshake failed: %s", error)
            raise Refused(Refusal.TLS_FAILED) from error

    async def _let_in(self, connection: NodeConnection) -> None:
        body = await self._first_packet(connection)
        if body is None:
            return
        try:
            handler, session = read_connect(body, self._plugins)
        except WrongVersion as error:
            raise Refused(Refusal.PROTOCOL_VERSION, WRONG_VERSION) from error
        except MalformedPacket as error:
            raise Refused(Refusal.MALFORMED) from error
        node_id, shown = _identity(connection.transport, session.client_id or "")
        # Known before the gate reads: a `disconnect` that follows a change finds it in any case.
        self._roster.expect(node_id, connection)
        try:
            await self._ask_gate(node_id, shown)
            if connection.is_closed:
                return
            handler.serve(connection, session)
            connection.node_id = node_id
            if not self._roster.admit(node_id, connection):
                raise Refused(Refusal.REPLACED)
        finally:
            self._roster.forget(node_id, connection)
        connection.send(connack(ACCEPTED))
        ends = certificate_end(connection.transport)
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
            raise Refused(Refusal.CONNECT_TIMEOUT) from error

    async def _ask_gate(self, node_id: str, shown: ShownCertificate) -> None:
        try:
            async with asyncio.timeout(self._limits.gate_timeout.total_seconds()):
                is_welcome = await self._gate(node_id, shown)
        except TimeoutError as error:
            raise Refused(Refusal.GATE_FAILED, UNAVAILABLE) from error
        except Exception as error:
            logger.exception("the gate failed for %s", node_id)
            raise Refused(Refusal.GATE_FAILED, DENIED) from error
        if not is_welcome:
            raise Refused(Refusal.GATE, DENIED)


async def bind(host: str, port: int) -> socket.socket:
    """Listen on *host*; OSError when the port is taken."""
    loop = asyncio.get_running_loop()
    family, kind, protocol, _, address = (
        await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.settimeout(0)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _identity(transport: asyncio.BaseTransport, client_id: str) -> tuple[str, ShownCertificate]:
    """Node id and certificate of a client; the certificate says who it is, not *client_id*.

    They have to agree, so that an operator who mixed up two nodes is told at once.
    """
    identity = certificate_identity(transport)
    if identity is None:
        logger.warning("refused a client whose certificate is not that of a node")
        raise Refused(Refusal.IDENTITY, WRONG_IDENTITY)
    if identity[0] != client_id:
        logger.warning(
            "refused node %s: its MQTT client id is %r and has to be %r",
            identity[0],
            client_id[:_SHOWN_CHARACTERS],
            identity[0],
        )
        raise Refused(Refusal.IDENTITY, WRONG_IDENTITY)
    der = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return identity[0], ShownCertificate(identity[1], der)


def certificate_identity(transport: asyncio.BaseTransport) -> tuple[str, int] | None:
    """Common name and serial number of the peer's certificate; None unless it has just one name."""
    tls_object: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    certificate: Any = tls_object.getpeercert() if tls_object else None
    if not certificate:
        return None
    names = [
        value
        for relative_name in certificate.get("subject", ())
        for key, value in relative_name
        if key == "commonName"
    ]
    if len(names) != 1 or not is_node_id_level(names[0]):
        return None
    return names[0], int(certificate["serialNumber"], 16)


def certificate_end(transport: asyncio.BaseTransport) -> datetime:
    """Last moment the peer's certificate is valid; the handshake has required one."""
    certificate: Any = transport.get_extra_info("ssl_object").getpeercert()
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)

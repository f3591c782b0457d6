"""One MQTT connection on asyncio: paho without threads of its own.

Connecting blocks, so it runs in a thread of the executor given. From then on the client belongs to
the event loop, which calls it when its socket is ready (paho's "external event loop support").
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent_sim.errors import IdentifierRefused, LinkLost

KEEP_ALIVE_SECONDS = 60
HOUSEKEEPING_SECONDS = 5.0
MAX_QUEUED = 100
"""QoS 1 publishes that wait for a PUBACK or for their turn; more are refused."""

OnMessage = Callable[[str, bytes], None]
Check = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is; its certificate has to name *host*."""

    host: str
    port: int


IDENTIFIER_NOT_VALID = 133
"""Reason that paho gives for the return code 2 of a CONNACK."""


def _socket_class(check: Check) -> type[ssl.SSLSocket]:
    class Socket(ssl.SSLSocket):
        """Closes itself when its handshake fails; paho leaves that to the garbage collector."""

        def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002  # not our name
            try:
                super().do_handshake(block)
                check(self.getpeercert())
            except BaseException:
                self.close()
                raise

    return Socket


@contextlib.asynccontextmanager
async def open_link(
    client_id: str,
    address: Address,
    tls: ssl.SSLContext,
    executor: Executor,
    *,
    subscribe: Sequence[str],
    optional: Sequence[str] = (),
    on_message: OnMessage,
    check: Check = lambda _: None,
    patience: float = 5.0,
) -> AsyncIterator["HubLink"]:
    """Connect and subscribe; the body runs with both granted. LinkLost if that fails.

    A subscription to what is *optional* may be refused.

    *on_message* is called in the event loop with topic and payload; *check* is shown the server's
    certificate, as `getpeercert` gives it, and may refuse it by an OSError. *patience* is how many
    seconds each step may take: TCP, TLS, then CONNACK and SUBACK together; the wait for a free
    thread of *executor* is not counted. A hub that refuses the client id is asked again with
    slashes in place of its dots, which NATS does not take.
    """
    tls.sslsocket_class = _socket_class(check)

    async def opened(client_id: str) -> "HubLink":
        link = HubLink(client_id, tls, on_message)
        try:
            await link.connect(address, executor, patience)
            async with asyncio.timeout(patience):
                await link.subscribe(subscribe, optional)
        except TimeoutError as error:
            link.close()
            raise LinkLost("no answer in time") from error
        except BaseException:
            link.close()
            raise
        return link

    try:
        link = await opened(client_id)
    except IdentifierRefused:
        link = await opened(client_id.replace(".", "/"))
    try:
        yield link
    finally:
        link.close()


class HubLink:
    """Owns one client and its socket; made by `open_link`."""

    def __init__(self, client_id: str, tls: ssl.SSLContext, on_message: OnMessage) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        # Done when the server has answered CONNECT and SUBSCRIBE: why it refused, or empty.
        self._accepted: asyncio.Future[str] = self._loop.create_future()
        self._granted: asyncio.Future[str] = self._loop.create_future()
        # Done when the connection has ended: why.
        self._lost: asyncio.Future[str] = self._loop.create_future()
        self._is_closed = False
        self._is_identifier_refused = False
        # How many subscriptions have to be granted.
        self._required = 0
        # The socket the loop watches; None before and after.
        self._socket: Any = None
        self._is_writing = False
        self._housekeeping: asyncio.TimerHandle | None = None
        self._client = self._make_client(client_id, tls)

    def _make_client(self, client_id: str, tls: ssl.SSLContext) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=True,
            reconnect_on_failure=False,
        )
        client.tls_set_context(tls)
        client.max_queued_messages_set(MAX_QUEUED)
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_message = self._message
        return client

    async def connect(self, address: Address, executor: Executor, patience: float) -> None:
        """Send CONNECT; LinkLost if the server is not there or cannot be trusted."""
        self._client.connect_timeout = patience
        try:
            await self._loop.run_in_executor(executor, self._connect, address)
        except (OSError, ValueError) as error:
            raise LinkLost(f"cannot connect: {error}") from error
        sock = self._client.socket()
        if sock is None:
            raise LinkLost("closed while connecting")
        self._attach(sock)

    def _connect(self, address: Address) -> None:
        # In a thread. The event loop does not watch the socket yet: paho writes CONNECT itself.
        self._client.connect(address.host, address.port, keepalive=KEEP_ALIVE_SECONDS)
        if self._is_closed:
            self._abandon()

    async def subscribe(self, topics: Sequence[str], optional: Sequence[str] = ()) -> None:
        """Wait for the CONNACK, subscribe, wait for the SUBACK; LinkLost if either is refused."""
        try:
            await self._wait(self._accepted)
        except LinkLost as error:
            if self._is_identifier_refused:
                raise IdentifierRefused(error.reason) from error
            raise
        self._required = len(topics)
        self._client.subscribe([(topic, 0) for topic in (*topics, *optional)])
        await self._wait(self._granted)

    def publish(self, topic: str, payload: bytes, qos: int) -> bool:
        """Hand *payload* over; False if it was dropped for want of a connection or of PUBACKs."""
        if self._socket is None:
            return False
        return self._client.publish(topic, payload, qos).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    async def wait_lost(self) -> str:
        """Wait for the end of the connection; the reason for it."""
        return await asyncio.shield(self._lost)

    def end(self, reason: str) -> None:
        """Let `wait_lost` return, so that its opener closes the connection."""
        _settle(self._lost, reason)

    def close(self) -> None:
        """Send DISCONNECT if that is possible at once, and close; may be repeated."""
        self._is_closed = True
        if self._socket is not None:
            self._client.disconnect()
            self._client.loop_write()
        self._detach()
        self._abandon()  # if DISCONNECT would block, or the loop has not taken the socket over
        for future in (self._accepted, self._granted, self._lost):
            future.cancel()

    def _abandon(self) -> None:
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    async def _wait(self, answer: "asyncio.Future[str]") -> None:
        await asyncio.wait((answer, self._lost), return_when=asyncio.FIRST_COMPLETED)
        refusal = (answer if answer.done() else self._lost).result()
        if refusal:
            raise LinkLost(refusal)

    # -- the event loop's side ------------------------------------------------------------------

    def _attach(self, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client, self._socket = self._client, sock
        client.on_disconnect = self._disconnected
        client.on_socket_close = lambda *_: self._detach()
        client.on_socket_register_write = lambda *_: self._write_soon()
        client.on_socket_unregister_write = lambda *_: self._stop_writing()
        self._loop.add_reader(sock, self._read)
        self._housekeep()
        self._write()
        self._read()

    def _detach(self) -> None:
        if self._socket is None:
            return
        self._stop_writing()
        self._loop.remove_reader(self._socket)
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        self._socket = None

    def _read(self) -> None:
        # What TLS has decrypted already does not make the socket readable again.
        while self._socket is not None:
            result = self._client.loop_read()
            if result != MQTTErrorCode.MQTT_ERR_SUCCESS or not self._has_pending():
                return

    def _has_pending(self) -> bool:
        return self._socket is not None and self._socket.pending() > 0

    def _write_soon(self) -> None:
        self._loop.call_soon(self._write)

    def _write(self) -> None:
        # The loop watches only a socket that is full.
        if self._socket is None:
            return
        self._client.loop_write()
        if self._socket is not None and self._client.want_write() and not self._is_writing:
            self._is_writing = True
            self._loop.add_writer(self._socket, self._write)

    def _stop_writing(self) -> None:
        if self._is_writing:
            self._is_writing = False
            self._loop.remove_writer(self._socket)

    def _housekeep(self) -> None:
        if self._socket is not None:
            self._housekeeping = self._loop.call_later(HOUSEKEEPING_SECONDS, self._housekeep)
            self._client.loop_misc()

    # -- paho's side: called in the event loop, from loop_read and its like ------------------------

    def _connected(
        self, _: Client, __: Any, ___: ConnectFlags, reason: ReasonCode, ____: Properties | None
    ) -> None:
        self._is_identifier_refused = reason.value == IDENTIFIER_NOT_VALID
        _settle(self._accepted, f"refused: {reason}" if reason.is_failure else "")

    def _subscribed(
        self, _: Client, __: Any, ___: int, reasons: list[ReasonCode], ____: Properties | None
    ) -> None:
        refused = any(reason.is_failure for reason in reasons[: self._required])
        _settle(self._granted, "refused a subscription" if refused else "")

    def _message(self, _: Client, __: Any, message: MQTTMessage) -> None:
        self._on_message(message.topic, bytes(message.payload))

    def _disconnected(
        self, _: Client, __: Any, ___: DisconnectFlags, reason: ReasonCode, ____: Properties | None
    ) -> None:
        if not self._lost.done():
            self._lost.set_result(f"connection lost: {reason}")


def _settle(answer: "asyncio.Future[str]", refusal: str) -> None:
    if not answer.done():
        answer.set_result(refusal)

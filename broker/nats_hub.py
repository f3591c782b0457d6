"""The hub on a cluster of NATS servers, which nodes use by MQTT.

Servers take the messages of nodes in turns, as a queue group of NATS, and answer for each
connection of a node whether it is let in. Nothing is kept for a server that is away: a node repeats
what no server has answered (docs/protocol.md).
"""

import asyncio
import json
import logging
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import SlowConsumerError

from broker.client_queue import ClientQueue
from broker.configuration import SERVER_NAME
from broker.errors import MalformedRequest, MalformedTopic
from broker.hub import Gate, Inbound, ShownCertificate
from broker.limits import ClientLimits
from broker.nats_admission import (
    admit,
    client_id_for,
    parse_subject,
    read_request,
    refuse,
    shared_subject,
    subject_for,
)
from broker.nats_credentials import NatsCredentials
from broker.nats_files import ACCOUNT, AUTHORIZATION_SECONDS, SYSTEM_USER
from broker.reconnecting import keep_connecting
from broker.task_group import BlockTaskGroup
from broker.topics import FROM_NODE, SHARE, Channel

__all__ = ["NatsAddress", "NatsHub", "open_nats_hub"]

logger = logging.getLogger(__name__)

WRONG_IDENTITY = "the client id is not that of the node in the certificate of the client"

_AUTHORIZATIONS = "$SYS.REQ.USER.AUTH"
_CONNECTIONS = "$SYS.REQ.SERVER.PING.CONNZ"
_CONNECT_SECONDS = 5
_ANSWER_SECONDS = 5.0
_COLLECT_SECONDS = 1.0
_PINGS_UNANSWERED = 2
_NO_RESPONDERS = "503"


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsAddress:
    """Where the servers of the cluster are, and who this server is to them."""

    places: Sequence[tuple[str, int]]
    """Host and port of each; the next is tried when one cannot be reached."""
    server_id: str
    """Name in the log and the monitoring of NATS."""
    tls: ssl.SSLContext
    credentials: NatsCredentials


class NatsHub:
    """`broker.hub.Hub` for nodes that connect to a cluster of NATS; made by `open_nats_hub`.

    NATS acknowledges what nodes publish; an `ack` here makes room for more. Every method is to be
    called on the event loop the hub was opened on.
    """

    def __init__(
        self,
        address: NatsAddress,
        limits: ClientLimits,
        gate: Gate,
        clock: Callable[[], datetime],
        group: asyncio.TaskGroup,
    ) -> None:
        self._address = address
        self._limits = limits
        self._gate = gate
        self._clock = clock
        self._group = group
        self._queue = ClientQueue(max_count=limits.max_queued, max_bytes=limits.max_queued_bytes)
        self._client: Client | None = None
        self._system: Client | None = None
        self._attached = asyncio.Event()
        self._place = 0
        self._unsent: deque[tuple[str, bytes]] = deque()
        self._unsent_bytes = 0
        self._has_unsent = asyncio.Event()
        self.unsent_count = 0  # messages to nodes that were not sent, as NATS did not read
        self.dropped_count = 0  # messages of nodes for which there was no room, as NATS counts on
        self._is_closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = asyncio.Semaphore(limits.max_ending)
        self._admitting = asyncio.Semaphore(limits.max_admitting)

    @property
    def is_attached(self) -> bool:
        """Return whether the cluster is there and passes on the messages of nodes."""
        return self._attached.is_set()

    @property
    def queued_count(self) -> int:
        """How many messages wait for `receive`."""
        return len(self._queue)

    async def wait_attached(self) -> None:
        """Wait until `is_attached`."""
        await self._attached.wait()

    async def receive(self, limit: int) -> Sequence[Inbound]:
        """Wait for at least one message, then take up to *limit*, in the order of each node.

        HubClosed when the hub is closed and all that it held has been taken.
        """
        return await self._queue.take(limit)

    def push(self, node_id: str, channel: Channel, payload: bytes) -> bool:
        """Give a message to NATS; return whether it is on its way there.

        NATS drops it when the node is not connected.
        """
        size = len(payload)
        if not self.is_attached:
            return False
        if self._unsent and self._unsent_bytes + size > self._limits.max_unwritten_bytes:
            self.unsent_count += 1
            return False
        self._unsent.append((subject_for(node_id, channel), payload))
        self._unsent_bytes += size
        self._has_unsent.set()
        return True

    async def send(
        self, node_id: str, channel: Channel, payload: bytes, lifetime: timedelta
    ) -> bool:
        """Give a message to NATS, at once; return whether it has a subscriber in the cluster.

        Where NATS does not answer it may have been sent. NATS keeps none, so *lifetime* holds.
        """
        client = self._client
        if client is None or not self.is_attached:
            return False
        try:
            answer = await _first_answer(client, subject_for(node_id, channel), payload)
        except (OSError, NatsError, TimeoutError):
            return True
        return (answer.headers or {}).get("Status") != _NO_RESPONDERS

    def is_connected(self, node_id: str) -> bool:
        """Return whether a push can be tried: only NATS knows which nodes are there."""
        return self.is_attached

    def unread_bytes(self, node_id: str) -> int:
        """0: only NATS knows."""
        return 0

    def disconnect(self, node_id: str) -> None:
        """End the node's connections, and again those that were being let in meanwhile."""
        if not self._is_closed:
            self._start(self._end(node_id), f"end {node_id}")

    async def adopt(self, client_id: str) -> bool:
        """Nothing is kept for a server that is gone: True."""
        return True

    async def run(self) -> None:
        """Connect, again and again until cancelled, to one after the other of the cluster."""
        places = len(self._address.places)
        await keep_connecting(
            self._attend, self._limits, are_all_tried=lambda: self._place % places == 0
        )

    def close(self) -> None:
        """Let `receive` give out what the hub holds and then raise HubClosed."""
        self._is_closed = True
        self._queue.close()
        for task in self._tasks:
            task.cancel()

    async def _attend(self) -> None:
        """One connection, from its beginning to its end."""
        places = self._address.places
        host, port = places[self._place % len(places)]
        ended = asyncio.Event()
        try:
            async with AsyncExitStack() as stack:
                credentials = self._address.credentials
                users = (
                    (SERVER_NAME, credentials.password),
                    (SYSTEM_USER, credentials.system_password),
                )
                try:
                    client, system = [
                        await stack.enter_async_context(self._connected(host, port, *user, ended))
                        for user in users
                    ]
                    await self._subscribe(client)
                except (OSError, NatsError, TimeoutError) as error:
                    self._place += 1
                    logger.warning("cannot use NATS at %s:%d: %s", host, port, repr(error))
                    return
                self._client, self._system = client, system
                self._attached.set()
                logger.info("connected to NATS at %s:%d", host, port)
                writing = self._start(self._write(client), "write to NATS")
                try:
                    await ended.wait()
                finally:
                    writing.cancel()
                logger.warning("the connection to NATS at %s:%d has ended", host, port)
        finally:
            self._client = self._system = None
            self._attached.clear()
            self._unsent.clear()
            self._unsent_bytes = 0

    @asynccontextmanager
    async def _connected(
        self, host: str, port: int, user: str, password: str, ended: asyncio.Event
    ) -> AsyncIterator[Client]:
        """A connection of its own for each user; *ended* is set when it ends."""

        async def note_end() -> None:
            ended.set()

        client = Client()
        place = f"[{host}]" if ":" in host else host
        await client.connect(
            [f"tls://{place}:{port}"],
            name=self._address.server_id,
            user=user,
            password=password,
            tls=self._address.tls,
            tls_handshake_first=True,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=_CONNECT_SECONDS,
            ping_interval=int(self._limits.keep_alive.total_seconds()),
            max_outstanding_pings=_PINGS_UNANSWERED,
            error_cb=self._note_error,
            closed_cb=note_end,
            disconnected_cb=note_end,
        )
        try:
            yield client
        finally:
            if not client.is_closed:
                await client.close()

    async def _subscribe(self, client: Client) -> None:
        subjects = {shared_subject(channel): self._receive for channel in sorted(FROM_NODE)}
        for subject, handle in {**subjects, _AUTHORIZATIONS: self._authorize}.items():
            await client.subscribe(
                subject,
                queue=SHARE,
                cb=handle,
                pending_msgs_limit=self._limits.max_queued,
                pending_bytes_limit=self._limits.max_queued_bytes,
            )
        await _first_answer(client)

    async def _receive(self, message: Msg) -> None:
        """Take a message of a node; while there is no room for it NATS has to wait."""
        try:
            node_id, channel = parse_subject(message.subject)
        except MalformedTopic:
            return
        size = len(message.data)
        inbound = Inbound(node_id, channel, message.data, _Room(self._queue, size))
        while not self._queue.put(inbound):
            room = asyncio.Event()
            self._queue.call_at_room(room.set)
            await room.wait()

    async def _authorize(self, message: Msg) -> None:
        await self._admitting.acquire()
        self._start(self._answer(message), "authorize a node").add_done_callback(
            lambda _: self._admitting.release()
        )

    async def _answer(self, message: Msg) -> None:
        """Answer one authorization request; NATS refuses a client where there is no answer."""
        credentials = self._address.credentials
        try:
            request = read_request(message.data)
            identity, reason = request.admissible, WRONG_IDENTITY
            if identity is not None:
                shown = ShownCertificate(identity.certificate, request.address)
                async with asyncio.timeout(AUTHORIZATION_SECONDS):
                    is_welcome = await self._gate(identity.node_id, shown)
                reason = "" if is_welcome else "not admitted"
            if identity is None or reason:
                logger.warning(
                    "refused a client of NATS as %r: %s", request.client_id[:120], reason
                )
                answer = refuse(request, reason, credentials, self._clock())
            else:
                answer = admit(request, identity, ACCOUNT, credentials, self._clock())
            await message.respond(answer)
        except (MalformedRequest, MalformedTopic) as error:
            logger.warning("an authorization request of NATS cannot be read: %s", error)
        except (OSError, NatsError, TimeoutError) as error:
            logger.warning("an authorization request of NATS was not answered: %r", error)
        except Exception:
            logger.exception("the gate failed")

    async def _write(self, client: Client) -> None:
        while True:
            await self._has_unsent.wait()
            self._has_unsent.clear()
            while self._unsent:
                subject, payload = self._unsent.popleft()
                self._unsent_bytes -= len(payload)
                try:
                    await client.publish(subject, payload)
                except (OSError, NatsError) as error:
                    self.unsent_count += 1
                    logger.warning("a message to a node was not sent: %r", error)

    async def _end(self, node_id: str) -> None:
        async with self._ending:
            await self._kick(node_id)
        await asyncio.sleep(AUTHORIZATION_SECONDS)
        async with self._ending:
            await self._kick(node_id)

    async def _kick(self, node_id: str) -> None:
        """End what connections of the node all servers of the cluster have."""
        system = self._system
        if system is None:
            logger.warning("cannot end the connection of %s: NATS is not there", node_id)
            return
        try:
            answers = await system.subscribe(system.new_inbox())
            try:
                wanted = json.dumps(
                    {"mqtt_client": client_id_for(node_id), "limit": self._limits.max_ending}
                )
                await system.publish(_CONNECTIONS, wanted.encode(), reply=answers.subject)
                async with asyncio.timeout(_COLLECT_SECONDS):
                    async for answer in answers.messages:
                        await _kick_all(system, answer.data)
            finally:
                await answers.unsubscribe()
        except TimeoutError:
            return  # all that answered in time
        except (OSError, NatsError, ValueError, LookupError) as error:
            logger.warning("cannot end the connection of %s: %r", node_id, error)

    async def _note_error(self, error: Exception) -> None:
        if isinstance(error, SlowConsumerError):
            self.dropped_count += 1
        else:
            logger.warning("NATS: %s", error)

    def _start(self, work: Coroutine[object, object, None], name: str) -> "asyncio.Task[None]":
        task = self._group.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Room:
    """The `ack` of one Inbound; only its first call counts."""

    __slots__ = ("_queue", "_size")

    def __init__(self, queue: ClientQueue, size: int) -> None:
        self._queue: ClientQueue | None = queue
        self._size = size

    def __call__(self) -> None:
        queue, self._queue = self._queue, None
        if queue is not None:
            queue.release(self._size)


async def _first_answer(client: Client, subject: str = "", payload: bytes = b"") -> Msg:
    """Publish on *subject*, and once that is done on an inbox: what comes there first.

    That NATS has no subscriber to *subject*, or what was published on the inbox. `Client.flush` is
    no help: its ping overtakes what waits to be written. NATS errors, and those of asyncio.
    """
    inbox = await client.subscribe(client.new_inbox(), max_msgs=2)
    try:
        if subject:
            await client.publish(subject, payload, reply=inbox.subject)
        await client.publish(inbox.subject)
        return await inbox.next_msg(timeout=_ANSWER_SECONDS)
    finally:
        await inbox.unsubscribe()


async def _kick_all(system: Client, answer: bytes) -> None:
    """End the connections that a server of the cluster has named."""
    content = json.loads(answer)
    server = content["server"]["id"]
    for connection in content["data"].get("connections", ()):
        kick = json.dumps({"cid": connection["cid"]}).encode()
        await system.request(f"$SYS.REQ.SERVER.{server}.KICK", kick, timeout=_ANSWER_SECONDS)


@asynccontextmanager
async def open_nats_hub(
    address: NatsAddress,
    gate: Gate,
    clock: Callable[[], datetime],
    limits: ClientLimits | None = None,
) -> AsyncIterator[NatsHub]:
    """Stay connected to the cluster until the block is left; it need not be there yet.

    *gate* is asked for each connection of a node to any server of the cluster.
    """
    async with BlockTaskGroup() as group:
        hub = NatsHub(address, limits or ClientLimits(), gate, clock, group)
        running = group.create_task(hub.run(), name="the session with NATS")
        try:
            yield hub
        finally:
            hub.close()
            running.cancel()
            await asyncio.wait((running,))

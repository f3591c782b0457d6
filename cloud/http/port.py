"""The connections of one HTTP port: acceptance, deadlines, eviction.

uvicorn takes whatever the system accepts. Here connections are accepted one by one, as the hub does
it: none costs TLS before its first bytes, handshakes begin in turn, and where there are too many
those go first that have not sent a whole request, the oldest of them before the others.
"""

import asyncio
import contextlib
import functools
import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from broker.addresses import site_of
from cloud.http.addresses import Network, client_address, is_in
from cloud.http.connection_limits import BOUNDS, ConnectionLimits
from cloud.http.logs import log_under, shown
from cloud.http.metrics import LimitRefusals
from cloud.http.protocol import BoundedProtocol, Stage
from cloud.http.turns import Turns

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.5
"""When the system has no file descriptor left for one more connection."""

_CLOSE_SECONDS = 2
"""For a client to answer the end of TLS; then the socket is closed under it."""

Refused = Callable[[str, str], Awaitable[None]]
"""Writes down that the handshake of an address was refused, and why."""

MakeProtocol = Callable[..., BoundedProtocol]


async def _write_nothing(_address: str, _reason: str) -> None:
    """Does not record refused handshakes."""


@dataclass(eq=False, slots=True)
class _Caller:
    """One connection, from TCP accept to its end."""

    socket: socket.socket
    address: str
    key: str
    """The key of the address for counting; empty for a trusted proxy."""
    since: float
    task: asyncio.Task[None] | None = None
    """Until it is connected."""
    protocol: BoundedProtocol | None = None
    """From then on."""
    held: int = 0
    holds_since: float = 0.0


class _PortWatch:
    """Tells the port of one connection."""

    def __init__(self, port: "ListeningPort", caller: _Caller) -> None:
        self.limits = port.limits
        self.refused = port.refused
        self.new_id = port.new_id
        self._port = port
        self._caller = caller

    def opened(self, protocol: BoundedProtocol) -> None:
        """It is connected."""
        self._caller.protocol = protocol

    def closed(self, _: BoundedProtocol) -> None:
        """It is gone."""
        self._port.remove(self._caller)

    def held(self, _: BoundedProtocol, count: int) -> bool:
        """It holds *count* bytes, if that is not too much."""
        return self._port.hold(self._caller, count)


class ListeningPort:
    """Owns the connections of the port *name*; `accept_forever` and `check` run it."""

    def __init__(
        self,
        name: str,
        limits: ConnectionLimits,
        *,
        counted: LimitRefusals,
        new_id: Callable[[], str],
        trusted_proxies: Sequence[Network] = (),
        on_refused_handshake: Refused = _write_nothing,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits
        self.new_id = new_id
        self._name = name
        self._counted = counted
        self._trusted_proxies = trusted_proxies
        self._on_refused_handshake = on_refused_handshake
        # In the order in which they came.
        self._callers: dict[_Caller, None] = {}
        self._of_key: Counter[str] = Counter()
        # Those that hold something, in the order in which they began to; and how much in all.
        self._holding: dict[_Caller, None] = {}
        self._held = 0
        self._timer = timer
        self._turns = Turns(limits.handshakes_per_second)
        counted.declare(*(f"{name}_{bound}" for bound in BOUNDS))

    @property
    def count(self) -> int:
        """Open connections, connected or not yet."""
        return len(self._callers)

    def refused(self, bound: str) -> None:
        """Count a refusal at *bound*."""
        self._counted.count(f"{self._name}_{bound}")

    async def accept_forever(
        self, listening: socket.socket, tls: ssl.SSLContext | None, make_protocol: MakeProtocol
    ) -> None:
        """Accept from *listening* until cancelled; then those not connected yet are let go."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    accepted, peer = await loop.sock_accept(listening)
                except OSError as error:
                    logger.warning("cannot accept connections for now: %s", error)
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
                caller = self._take_in(accepted, str(peer[0]), loop.time())
                if caller is None:
                    accepted.close()
                    continue
                caller.task = group.create_task(
                    self._connect(caller, tls, make_protocol), name=f"connect to {self._name}"
                )

    def check(self) -> None:
        """End what takes longer than it may."""
        now = asyncio.get_running_loop().time()
        for caller in tuple(self._callers):
            if caller.protocol is not None:
                caller.protocol.check(now)

    def close(self) -> None:
        """End every connection at once."""
        for caller in tuple(self._callers):
            self._drop(caller)

    def remove(self, caller: _Caller) -> None:
        """Forget one that is gone; idempotent."""
        if caller in self._callers:
            self.hold(caller, 0)
            del self._callers[caller]
            self._of_key[caller.key] -= 1
            if not self._of_key[caller.key]:
                del self._of_key[caller.key]

    def hold(self, caller: _Caller, count: int) -> bool:
        """Note that *caller* holds *count* bytes; False, and it is not noted, if that is too much.

        Where that is too much, those are cut off before that have held some for long.
        """
        if caller not in self._callers:
            return False
        more = count - caller.held
        while more > 0 and self._held + more > self.limits.held_bytes:
            self.refused("held_bytes")
            oldest = next(iter(self._holding), caller)
            if oldest is caller or self._timer() - oldest.holds_since < self.limits.body_seconds:
                return False
            self._drop(oldest)
        self._held += more
        caller.held = count
        if not count:
            self._holding.pop(caller, None)
        elif caller not in self._holding:
            caller.holds_since = self._timer()
            self._holding[caller] = None
        return True

    def _take_in(self, accepted: socket.socket, peer: str, now: float) -> _Caller | None:
        """A place for *accepted*; None if there is none, and none can be made."""
        key = "" if is_in(peer, self._trusted_proxies) else site_of(client_address(peer, (), ()))
        if key and self._of_key[key] >= self.limits.per_address:
            self.refused("connections_per_address")
            if not self._make_room(key):
                return None
        if len(self._callers) >= self.limits.connections:
            self.refused("connections")
            if not self._make_room(None):
                return None
        caller = _Caller(accepted, peer, key, now)
        self._callers[caller] = None
        self._of_key[key] += 1
        return caller

    def _make_room(self, key: str | None) -> bool:
        """Have one go, of *key* or of any; False if all have a request that is being answered."""
        room: dict[str, _Caller] = {}
        for caller in self._callers:
            if key not in {None, caller.key}:
                continue
            protocol = caller.protocol
            if protocol is None or protocol.stage in {Stage.HEAD, Stage.BODY, Stage.END}:
                self._drop(caller)
                return True
            if protocol.is_stalled:
                room.setdefault("stalled", caller)
            elif protocol.stage is Stage.IDLE:
                idle = room.setdefault("idle", caller).protocol
                if idle is not None and protocol.since < idle.since:
                    room["idle"] = caller
        chosen = room.get("idle") or room.get("stalled")
        if chosen is not None:
            self._drop(chosen)
        return chosen is not None

    def _drop(self, caller: _Caller) -> None:
        """End the connection at once."""
        if caller.protocol is not None:
            caller.protocol.abort()
        elif caller.task is not None:
            caller.task.cancel()
        self.remove(caller)

    async def _connect(
        self, caller: _Caller, tls: ssl.SSLContext | None, make_protocol: MakeProtocol
    ) -> None:
        """See *caller* through the handshake."""
        log_under("", caller.key)
        loop = asyncio.get_running_loop()
        deadline = caller.since + self.limits.handshake_seconds
        try:
            async with asyncio.timeout_at(deadline):
                await _first_bytes(caller.socket)
                if tls is not None:
                    await self._turns.wait(caller.key)
            seconds = (
                {}
                if tls is None
                else {
                    "ssl_handshake_timeout": max(deadline - loop.time(), 0.001),
                    "ssl_shutdown_timeout": _CLOSE_SECONDS,
                }
            )
            await loop.connect_accepted_socket(
                functools.partial(make_protocol, watch=_PortWatch(self, caller)),
                caller.socket,
                ssl=tls,
                **seconds,
            )
        except OSError as error:  # ssl.SSLError and timeouts are such
            self._leave(caller)
            await self._note(caller, error)
        except BaseException:
            self._leave(caller)
            raise
        finally:
            caller.task = None
            if caller.protocol is None:
                self._leave(caller)

    def _leave(self, caller: _Caller) -> None:
        self.remove(caller)
        with contextlib.suppress(OSError):
            caller.socket.close()

    async def _note(self, caller: _Caller, error: OSError) -> None:
        """Count what was too slow; record errors of certificates."""
        if isinstance(error, TimeoutError | ConnectionAbortedError):
            self.refused("handshake_seconds")
        reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or ""
        is_alert = "ALERT" in reason  # it is the client that refuses
        if isinstance(error, ssl.SSLCertVerificationError) or (
            "CERTIFICATE" in reason and not is_alert
        ):
            await self._on_refused_handshake(caller.address, shown(str(reason)))
        else:
            logger.debug("no TLS handshake with %s: %s", caller.address, error)


async def _first_bytes(accepted: socket.socket) -> None:
    """Return once something can be read from *accepted*, or it has ended: OSError."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[Any] = loop.create_future()

    def look() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(accepted, look)
    try:
        await readable
    finally:
        loop.remove_reader(accepted)
    if not accepted.recv(1, socket.MSG_PEEK):
        raise ConnectionResetError

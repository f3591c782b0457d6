"""Connections before their admission: their number, their sources and the order of TLS handshakes.

Thousands of nodes may reconnect at the same moment, and anybody can open sockets. So a handshake
begins once the ClientHello has arrived, round robin between addresses, and at most at the
configured rate: each turn of the event loop begins one at most, so that other work waits for one
handshake, not for all.

If all slots are taken, a connection is evicted for the next one: one without a ClientHello at once,
one that does not answer the server's after `handshake_patience`, or one of the address that has the
most for one of an address that has fewer. A new connection of an address that has its share is
closed. Otherwise no more are accepted until one is done, and the operating system queues the rest.
"""

import asyncio
import socket
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

from broker.addresses import site_of
from broker.limits import ConnectionRefused, HubLimits, Refusal

_HANDSHAKE = 22
"""Type of a TLS record that holds a handshake message (RFC 8446, 5.1)."""

_HEADER_BYTES = 5
CAUGHT_UP = 10
"""Handshakes that may follow each other, one a turn, after the event loop was busy for long."""

_RECORD_BYTES = 16_384
"""Longest TLS record that is not encrypted (RFC 8446, 5.1)."""


@dataclass(slots=True, eq=False)
class Handshake:
    """One connection, from TCP accept until it is admitted or gone."""

    socket: socket.socket
    address: str
    deadline: float
    """When its TLS handshake has to be done, on the loop's clock."""
    hello: asyncio.Future[None]
    """Done once its ClientHello has come; an exception when it ended, or has to go."""
    task: asyncio.Task[None] | None = field(default=None)
    """Admits it; cancelled when it has to go."""
    began: float = float("inf")
    """When its turn came, on the loop's clock."""
    is_secured: bool = False
    """TLS is done: what it waits for now is the server's own work, or its CONNECT."""
    is_evicted: bool = False


class Pacing:
    """When the next of several beginnings may be, at a rate: `next`, on the caller's clock.

    One that is late does not delay those after it, unless it is late by more than some pauses.
    """

    def __init__(self, per_second: float) -> None:
        self.next = 0.0
        self._pause = 1 / per_second

    def resume(self, now: float) -> None:
        """Nothing was to begin before *now*: that time is not caught up."""
        self.next = max(self.next, now)

    def begin(self, now: float) -> None:
        """One begins at *now*."""
        self.next = max(self.next, now - CAUGHT_UP * self._pause) + self._pause


class HandshakeLimiter:
    """Owns the list of them."""

    def __init__(self, limits: HubLimits) -> None:
        self._limits = limits
        self._all: dict[Handshake, None] = {}  # the oldest first
        self._silent: dict[Handshake, None] = {}  # no ClientHello yet; the oldest first
        self._begun: dict[Handshake, None] = {}  # their turn has come; the oldest first
        self._from: Counter[str] = Counter()  # how many of each address
        self._left = asyncio.Event()  # set when one is gone
        # Those whose ClientHello has come, by address; whose turn is next, first.
        self._ready: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._pacing = Pacing(limits.handshakes_per_second)
        self._is_pacing = False

    def __len__(self) -> int:
        return len(self._all)

    async def acquire_slot(self, peer: Any) -> None:
        """Wait until there is a slot for a connection from *peer*, evicting one where that may be.

        ConnectionRefused when that address has too many and none of them stalls; with all slots
        taken, an address with more than its share has too many.
        """
        address = site_of(str(peer[0]))
        if self._from[address] >= self._limits.max_connecting_per_address:
            if not self._evict_stalled(address):
                raise ConnectionRefused(Refusal.TOO_MANY_FROM_ADDRESS)
            return
        while self._is_full:
            count = self._from[address]
            has_share = len(self._from) > 1 and count * len(self._from) >= len(self._all)
            # One that has its share takes the place of its own, and of no other address's.
            if self._evict_of_busiest(count) or self._evict_stalled(address if has_share else None):
                return
            if has_share:
                raise ConnectionRefused(Refusal.TOO_MANY_FROM_ADDRESS)
            self._left.clear()
            try:
                async with asyncio.timeout(self._patience / 4):
                    await self._left.wait()
            except TimeoutError:
                pass

    def add(self, accepted: socket.socket, peer: Any) -> Handshake:
        """Take *accepted* in, from the address *peer*, for which there is a slot."""
        address = site_of(str(peer[0]))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.handshake_timeout.total_seconds()
        handshake = Handshake(accepted, address, deadline, loop.create_future())
        self._all[handshake] = None
        self._silent[handshake] = None
        self._from[address] += 1
        return handshake

    async def wait_for_turn(self, handshake: Handshake) -> float:
        """Return when it may begin, with the seconds that are left for it.

        ConnectionRefused if it ends, or its ClientHello does not come in time.
        """
        loop = asyncio.get_running_loop()
        accepted = handshake.socket
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _HEADER_BYTES)
        loop.add_reader(accepted, _look_for_hello, handshake)
        try:
            async with asyncio.timeout_at(handshake.deadline):
                await handshake.hello
        except TimeoutError as error:
            raise ConnectionRefused(Refusal.TLS_FAILED) from error
        finally:
            loop.remove_reader(accepted)
            self._silent.pop(handshake, None)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        await self._turn(handshake.address)
        handshake.began = loop.time()
        if handshake in self._all:
            self._begun[handshake] = None
        return max(handshake.deadline - loop.time(), 0.001)

    def secured(self, handshake: Handshake) -> None:
        """Record that its TLS handshake is done."""
        handshake.is_secured = True
        self._begun.pop(handshake, None)

    def remove(self, handshake: Handshake) -> None:
        """Forget one that is admitted or gone; idempotent."""
        if handshake in self._all:
            del self._all[handshake]
            self._silent.pop(handshake, None)
            self._begun.pop(handshake, None)
            self._from[handshake.address] -= 1
            if not self._from[handshake.address]:
                del self._from[handshake.address]
            self._left.set()

    @property
    def _is_full(self) -> bool:
        return len(self._all) >= self._limits.max_connecting

    @property
    def _patience(self) -> float:
        return self._limits.handshake_patience.total_seconds()

    async def _turn(self, address: str) -> None:
        """Wait for a turn, which goes around between addresses."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._ready.setdefault(address, deque()).append(turn)
        if not self._is_pacing:
            self._is_pacing = True
            self._pacing.resume(loop.time())
            self._pace()
        await turn

    def _pace(self) -> None:
        """Begin the next handshake if it is time, and come back when it is that of another one."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._pacing.next <= now and (turn := self._next_turn()) is not None:
            turn.set_result(None)
            self._pacing.begin(now)
        if self._ready:
            loop.call_at(self._pacing.next, self._pace)  # in the loop's next turn at the earliest
        else:
            self._is_pacing = False

    def _next_turn(self) -> asyncio.Future[None] | None:
        """The next that waits, of the address whose turn it is."""
        while self._ready:
            address, turns = self._ready.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._ready[address] = turns
            if not turn.done():
                return turn
        return None

    def _evict_stalled(self, address: str | None = None) -> bool:
        """Evict the oldest that stalls, of *address* or of any; False: there is none."""
        latest = asyncio.get_running_loop().time() - self._patience
        for handshake in self._silent:
            if address in {None, handshake.address}:
                self._evict(handshake)
                return True
        for handshake in self._begun:
            if handshake.began > latest:
                return False
            if address in {None, handshake.address}:
                self._evict(handshake)
                return True
        return False

    def _evict_of_busiest(self, count: int) -> bool:
        """Evict one of the address that has the most, if that is more than *count* and one."""
        address, most = self._from.most_common(1)[0]
        if most <= count + 1:
            return False
        for handshake in self._all:
            if handshake.address == address and not handshake.is_secured:
                self._evict(handshake)
                return True
        return False

    def _evict(self, handshake: Handshake) -> None:
        handshake.is_evicted = True
        self.remove(handshake)
        if handshake.task is not None:
            handshake.task.cancel()


def _look_for_hello(handshake: Handshake) -> None:
    """Settle `hello` if the first TLS record is there; else wait for so many bytes as it has.

    The socket is readable with fewer bytes than were waited for only where its other side ended.
    """
    if handshake.hello.done():
        return
    accepted = handshake.socket
    try:
        seen = accepted.recv(_HEADER_BYTES + _RECORD_BYTES, socket.MSG_PEEK)
    except BlockingIOError:
        return
    except OSError:
        seen = b""
    length = int.from_bytes(seen[3:_HEADER_BYTES])
    wanted = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)
    if len(seen) < wanted:
        handshake.hello.set_exception(ConnectionRefused(Refusal.TLS_FAILED))
    elif len(seen) >= _HEADER_BYTES + length or seen[0] != _HANDSHAKE or length > _RECORD_BYTES:
        handshake.hello.set_result(None)  # TLS finds out whether it is a ClientHello
    else:
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _HEADER_BYTES + length)

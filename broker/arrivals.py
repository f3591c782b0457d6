"""Connections that are not admitted yet: how many, from where, and whose TLS handshake is next.

Thousands may return at the same moment, and anybody may open sockets and say nothing. So a
handshake begins once the other side has sent its first bytes, in the order in which they came, and
never sooner after the one before than the pace allows: each turn of the loop begins one at most,
however slow the machine, and whoever else is served here waits for one, not for all. Whoever says
nothing makes room for whoever comes; where all speak, nobody more is taken in until one is
through, and the operating system keeps the others waiting.
"""

import asyncio
import ipaddress
import socket
from collections import Counter
from dataclasses import dataclass
from typing import Any

from broker.limits import HubLimits, Refusal, Refused

_IPV6_PREFIX = 64
"""Bits of an IPv6 address that stand for one site: a host has all of the rest to choose from."""


@dataclass(slots=True, eq=False)
class Arrival:
    """One connection, from TCP accept until it is admitted or gone."""

    socket: socket.socket
    address: str
    deadline: float
    """When its TLS handshake has to be done, on the loop's clock."""
    spoke: asyncio.Future[None]
    """Done once it sent something, or ended; an exception when it has to go."""


class Arrivals:
    """Owns the list of them."""

    def __init__(self, limits: HubLimits) -> None:
        self._limits = limits
        self._all: set[Arrival] = set()
        self._silent: dict[Arrival, None] = {}  # has not sent anything; the oldest first
        self._from: Counter[str] = Counter()  # how many of each address
        self._left = asyncio.Event()  # set when one is gone, or silent
        self._turn = asyncio.Lock()  # waits in the order of asking
        self._next = 0.0  # when the next handshake may begin, on the loop's clock

    def __len__(self) -> int:
        return len(self._all)

    async def room(self) -> None:
        """Wait until there is room for another, or somebody to make it."""
        while self._is_full and not self._silent:
            self._left.clear()
            await self._left.wait()

    def add(self, accepted: socket.socket, peer: Any) -> Arrival:
        """Take *accepted* in, from the address *peer*; where it is one too many another may go.

        Refused when too many of that address are here and have all begun to speak.
        """
        address = site_of(str(peer[0]))
        if self._from[address] >= self._limits.max_connecting_per_address:
            if not self._dismiss_silent(address):
                raise Refused(Refusal.TOO_MANY_FROM_ADDRESS)
        elif self._is_full:
            self._dismiss_silent()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.handshake_timeout.total_seconds()
        arrival = Arrival(accepted, address, deadline, loop.create_future())
        self._all.add(arrival)
        self._silent[arrival] = None
        self._from[address] += 1
        self._left.set()
        return arrival

    async def wait_for_turn(self, arrival: Arrival) -> float:
        """Return when its handshake may begin, with the seconds that are left for it.

        Refused if it ends, says nothing in time, or has to make room.
        """
        loop = asyncio.get_running_loop()
        loop.add_reader(arrival.socket, _note_first_bytes, arrival)
        try:
            async with asyncio.timeout_at(arrival.deadline):
                await arrival.spoke
        except TimeoutError as error:
            raise Refused(Refusal.TLS_FAILED) from error
        finally:
            loop.remove_reader(arrival.socket)
            self._silent.pop(arrival, None)
        async with self._turn:
            await asyncio.sleep(max(self._next - loop.time(), 0))
            self._next = loop.time() + 1 / self._limits.handshakes_per_second
        return max(arrival.deadline - loop.time(), 0.001)

    def remove(self, arrival: Arrival) -> None:
        """Forget one that is admitted or gone; idempotent."""
        if arrival in self._all:
            self._all.discard(arrival)
            self._silent.pop(arrival, None)
            self._from[arrival.address] -= 1
            if not self._from[arrival.address]:
                del self._from[arrival.address]
            self._left.set()

    @property
    def _is_full(self) -> bool:
        return len(self._all) >= self._limits.max_connecting

    def _dismiss_silent(self, address: str | None = None) -> bool:
        """Have the oldest go that said nothing, of *address* or of any; False: there is none."""
        for arrival in self._silent:
            if address in {None, arrival.address} and not arrival.spoke.done():
                arrival.spoke.set_exception(Refused(Refusal.CROWDED_OUT))
                self.remove(arrival)
                return True
        return False


def _note_first_bytes(arrival: Arrival) -> None:
    if arrival.spoke.done():
        return
    try:
        is_open = bool(arrival.socket.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return
    except OSError:
        is_open = False
    if is_open:
        arrival.spoke.set_result(None)
    else:
        arrival.spoke.set_exception(Refused(Refusal.TLS_FAILED))


def site_of(address: str) -> str:
    """What *address* is counted as: an IPv6 address as its /64, an IPv4 one in IPv6 as itself."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found), _IPV6_PREFIX), strict=False))
    return address

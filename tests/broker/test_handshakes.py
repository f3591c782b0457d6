"""Many at the same moment: who waits, who makes room, and who is served meanwhile."""

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import Iterable
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.embedded import EmbeddedHub, HubLimits, Refusal
from broker.handshakes import CAUGHT_UP, Pacing
from broker.hub import ShownCertificate
from tests.broker.authority import HubAuthority
from tests.broker.conftest import Connect, OpenHub
from tests.broker.node import DEADLINE, HubNode, until

NODE = "default.gate-7"
OTHER = "default.gate-8"
PART_OF_HELLO = b"\x16"  # and then nothing more
OTHER_ADDRESS = "127.0.0.2"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def client_hello() -> bytes:
    """A whole ClientHello, which nothing follows."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    connection = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


HELLO = client_hello()


class Knocking:
    """Sockets that never become nodes; closed when the test ends."""

    def __init__(self, stack: AsyncExitStack, hub: EmbeddedHub) -> None:
        self._stack = stack
        self._hub = hub

    async def knock(self, first_bytes: bytes = b"", address: str = "127.0.0.1") -> Streams:
        streams = await asyncio.open_connection(
            "127.0.0.1", self._hub.port, local_addr=(address, 0)
        )
        self._stack.callback(streams[1].close)
        streams[1].write(first_bytes)
        return streams


async def closed(streams: Streams) -> bool:
    async with asyncio.timeout(DEADLINE):
        with contextlib.suppress(ConnectionResetError):
            while await streams[0].read(65536):  # the server's TLS records
                pass
        return True


@pytest.mark.parametrize("first_bytes", [b"", PART_OF_HELLO])
@pytest.mark.parametrize("of_one_address", [4, 1000])
async def test_silent_sockets_do_not_block_other_clients(
    open_hub: OpenHub, connect: Connect, of_one_address: int, first_bytes: bytes
) -> None:
    limits = HubLimits(max_connecting=4, max_connecting_per_address=of_one_address)
    async with open_hub(limits=limits) as hub, AsyncExitStack() as stack:
        knocking = Knocking(stack, hub)
        silent = [await knocking.knock(first_bytes) for _ in range(4)]
        for node_id in (NODE, OTHER):
            await connect(hub, node_id)
        assert await closed(silent[0])  # the oldest makes room
        assert hub.counters[Refusal.CROWDED_OUT] >= 1
        assert hub.connection_count == 2


async def test_one_address_leaves_room_for_others(open_hub: OpenHub, connect: Connect) -> None:
    limits = HubLimits(max_connecting=4, max_connecting_per_address=2)
    async with open_hub(limits=limits) as hub, AsyncExitStack() as stack:
        knocking = Knocking(stack, hub)
        async with asyncio.timeout(DEADLINE):
            for _ in range(2):
                assert await (await knocking.knock(HELLO, OTHER_ADDRESS))[0].read(1)
        for node_id in (NODE, OTHER):
            await connect(hub, node_id)
        assert await closed(await knocking.knock(HELLO, OTHER_ADDRESS))
        assert hub.counters[Refusal.TOO_MANY_FROM_ADDRESS] == 1


async def test_half_handshakes_from_several_addresses_hold_no_node_off(
    open_hub: OpenHub, connect: Connect
) -> None:
    loop = asyncio.get_running_loop()
    limits = HubLimits(max_connecting=16, max_connecting_per_address=6, handshakes_per_second=50)
    async with open_hub(limits=limits) as hub, AsyncExitStack() as stack:
        knocking = Knocking(stack, hub)
        for number in range(24):
            await knocking.knock(HELLO, f"127.0.0.{2 + number % 4}")
        began = loop.time()
        for node_id in (NODE, OTHER):
            await connect(hub, node_id)
        assert loop.time() - began < limits.handshake_patience.total_seconds()
        assert hub.counters[Refusal.CROWDED_OUT] >= 1


async def test_a_handshake_that_stalls_makes_room_after_a_while(
    open_hub: OpenHub, connect: Connect
) -> None:
    limits = HubLimits(max_connecting=4, handshake_patience=timedelta(milliseconds=200))
    async with open_hub(limits=limits) as hub, AsyncExitStack() as stack:
        knocking = Knocking(stack, hub)
        stalled = [await knocking.knock(HELLO, f"127.0.0.{2 + number}") for number in range(4)]
        await connect(hub, NODE)
        assert hub.counters[Refusal.CROWDED_OUT] == 1
        assert await closed(stalled[0])


async def test_where_all_speak_others_wait_until_one_is_through(
    open_hub: OpenHub, authority: HubAuthority, connect: Connect
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def gate(node_id: str, shown: ShownCertificate) -> bool:
        if node_id == NODE:
            asked.set()
            await go_on.wait()
        return True

    async with open_hub(gate=gate, limits=HubLimits(max_connecting=1)) as hub:
        inside = await connect(hub, "default.inside")
        first = await HubNode.open(hub.port, authority.client_context(NODE))
        first.connect(NODE)
        async with asyncio.timeout(DEADLINE):
            await asked.wait()
        async with asyncio.TaskGroup() as tasks:
            second = tasks.create_task(connect(hub, OTHER))
            for _ in range(50):
                assert await inside.is_alive()
            assert not second.done()
            go_on.set()
            assert await first.connack() == 0
        assert hub.connection_count == 3
        assert not hub.counters
        await first.close()


def times_of(pacing: Pacing, turns: Iterable[float]) -> list[float]:
    """When handshakes begin in a loop whose turns are at these times, and that has always one."""
    begun = []
    for now in turns:
        if pacing.next <= now:
            pacing.begin(now)
            begun.append(now)
    return begun


def test_turns_that_are_longer_than_a_pause_begin_one_each() -> None:
    turns = [number * 0.003 for number in range(1000)]
    assert times_of(Pacing(400), turns) == turns


@given(st.lists(st.floats(0.0001, 0.05), min_size=1, max_size=300), st.floats(1, 1000))
def test_handshakes_are_at_the_rate_and_catch_up_a_few(pauses: list[float], rate: float) -> None:
    pacing = Pacing(rate)
    pacing.resume(1000.0)
    begun = times_of(pacing, itertools.accumulate(pauses, initial=1000.0))
    for place, first in enumerate(begun):
        for last in range(place, len(begun)):
            allowed = (begun[last] - first) * rate + CAUGHT_UP + 1
            assert last - place + 1 <= allowed + 1e-6
    assert len(begun) <= (begun[-1] - 1000.0) * rate + 1 + 1e-6


async def test_handshakes_begin_one_after_another(open_hub: OpenHub, connect: Connect) -> None:
    loop = asyncio.get_running_loop()
    async with open_hub(limits=HubLimits(handshakes_per_second=20)) as hub:
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for number in range(6):
                tasks.create_task(connect(hub, f"default.n{number}"))
        assert loop.time() - began >= 5 / 20
        assert hub.connection_count == 6


async def test_clients_that_disconnect_silently_take_no_handshake_slot(
    open_hub: OpenHub, connect: Connect
) -> None:
    loop = asyncio.get_running_loop()
    async with open_hub(limits=HubLimits(handshakes_per_second=1)) as hub:
        async with AsyncExitStack() as stack:
            knocking = Knocking(stack, hub)
            for _ in range(20):
                await knocking.knock()
        await until(lambda: hub.counters[Refusal.TLS_FAILED] == 20)
        began = loop.time()
        await connect(hub, NODE)
        assert loop.time() - began < DEADLINE

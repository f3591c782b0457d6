"""What the connections of HTTP may take in all."""

import asyncio
import socket
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cloud.http.connection_limits import (
    CONNECTION_BYTES,
    MIB,
    READ_BYTES,
    RESERVED_DESCRIPTORS,
    ConnectionLimits,
    http_memory_ceiling,
    shares,
)
from cloud.http.metrics import LimitRefusals
from cloud.http.port import ListeningPort
from cloud.http.turns import Turns

limits = st.builds(
    ConnectionLimits,
    connections=st.integers(1, 20),
    per_address=st.integers(1, 20),
    held_bytes=st.integers(1, 10 * MIB),
)
happenings = st.lists(st.tuples(st.integers(0, 30), st.integers(0, READ_BYTES)), max_size=100)


@given(limits, happenings)
def test_what_connections_hold_stays_below_the_ceiling_whatever_they_send(
    bounds: ConnectionLimits, happens: list[tuple[int, int]]
) -> None:
    """Callers come from many addresses and hold more and more, and time passes."""
    now = 0.0
    port = ListeningPort("api", bounds, counted=LimitRefusals(), new_id=str, timer=lambda: now)
    with socket.socket() as one:
        callers = {}
        for number, more in happens:
            now += 1
            if number not in callers:
                callers[number] = port._take_in(one, f"10.0.0.{number}", now)
            caller = callers[number]
            if caller is not None and not port.hold(caller, caller.held + more):
                port.remove(caller)
            assert port._held <= bounds.held_bytes
            assert port._held == sum(each.held for each in port._callers)
            assert port.count <= bounds.connections
            # What was just read is there before it is counted.
            at_most = port.count * CONNECTION_BYTES + 2 * (port._held + READ_BYTES)
            assert at_most <= http_memory_ceiling([bounds])


def test_what_is_too_much_is_refused_until_another_has_held_some_for_long() -> None:
    now = 0.0
    bounds = ConnectionLimits(held_bytes=100, body_seconds=30)
    counted = LimitRefusals()
    port = ListeningPort("api", bounds, counted=counted, new_id=str, timer=lambda: now)
    with socket.socket() as one:
        slow, other = (port._take_in(one, f"10.0.0.{number}", now) for number in range(2))
        assert slow is not None
        assert other is not None
        assert port.hold(slow, 90)
        assert port.hold(other, 10)
        assert not port.hold(other, 20)
        now = 31.0
        assert port.hold(other, 20)
        assert (port.count, port._held) == (1, 20)
    assert counted.counts()["api_held_bytes"] == 2


@given(st.lists(limits, max_size=4), limits)
def test_each_port_adds_to_the_ceiling(
    ports: list[ConnectionLimits], other: ConnectionLimits
) -> None:
    assert http_memory_ceiling([*ports, other]) > http_memory_ceiling(ports)
    more = replace(other, connections=other.connections + 1)
    assert http_memory_ceiling([more]) - http_memory_ceiling([other]) == CONNECTION_BYTES


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 20_000), min_size=1),
    st.integers(0, 50_000),
)
def test_shares_fit_and_give_who_wants_little_all_of_it(
    wanted: dict[str, int], descriptors: int
) -> None:
    given_out = shares(wanted, descriptors)
    room = max(descriptors - RESERVED_DESCRIPTORS, len(wanted))
    assert given_out.keys() == wanted.keys()
    assert sum(given_out.values()) <= room
    for name, count in given_out.items():
        assert 1 <= count <= wanted[name]
        assert count == wanted[name] or count >= room // len(wanted)


async def test_callers_take_turns_and_who_has_gone_is_passed_over() -> None:
    turns = Turns(per_second=1000)
    order: list[str] = []

    async def one(key: str) -> None:
        await turns.wait(key)
        order.append(key)

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(one("many"))
        gone = group.create_task(one("gone"))
        group.create_task(one("single"))
        await asyncio.sleep(0)
        gone.cancel()
    assert sorted(order) == ["many"] * 5 + ["single"]
    assert order.index("single") <= 1

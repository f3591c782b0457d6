"""Desires wait for their turn, and a node that was sent much waits longer."""

import asyncio
from dataclasses import dataclass

import pytest

from broker.hub import Inbound
from broker.topics import Channel
from cloud.link.paced_desires import (
    ANSWER_BYTES_PER_SECOND,
    BURST_SECONDS,
    UNREAD_BYTES,
    PacedDesires,
)


@dataclass
class DesireTimer:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def desire(node_id: str, number: int = 0) -> Inbound:
    return Inbound(node_id, Channel.DESIRE, b"%d" % number, lambda: None)


async def taken(desires: PacedDesires, count: int) -> list[tuple[str, bytes]]:
    found = [one for _ in range(count) for one in await desires.take(1)]
    return [(one.node_id, one.payload) for one in found]


async def test_nodes_take_turns_and_the_order_of_each_node_is_kept() -> None:
    desires = PacedDesires(DesireTimer())
    for number in range(3):
        desires.put(desire("default.a", number))
    desires.put(desire("default.b"))
    assert await taken(desires, 4) == [
        ("default.a", b"0"),
        ("default.b", b"0"),
        ("default.a", b"1"),
        ("default.a", b"2"),
    ]


async def test_a_node_that_was_sent_more_than_its_burst_waits_while_others_are_answered() -> None:
    timer = DesireTimer()
    desires = PacedDesires(timer)
    desires.answered("default.a", int((BURST_SECONDS + 2) * ANSWER_BYTES_PER_SECOND))
    desires.put(desire("default.a"))
    desires.put(desire("default.b"))
    assert await taken(desires, 1) == [("default.b", b"0")]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await desires.take(1)
    timer.now += 2.1
    assert await taken(desires, 1) == [("default.a", b"0")]


async def test_a_desire_that_comes_while_one_waits_is_taken_at_once() -> None:
    desires = PacedDesires(DesireTimer())
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(desires.take(1))
        await asyncio.sleep(0)
        desires.put(desire("default.a"))
    assert [one.node_id for one in waiting.result()] == ["default.a"]


async def test_desires_of_several_nodes_are_taken_together_one_of_each() -> None:
    desires = PacedDesires(DesireTimer())
    for number in range(2):
        for node in ("a", "b", "c"):
            desires.put(desire(f"default.{node}", number))
    first = await desires.take(5)
    assert [one.node_id for one in first] == ["default.a", "default.b", "default.c"]
    assert len(await desires.take(2)) == 2


async def test_a_node_that_has_much_to_read_gets_its_next_answer_once_it_has_read() -> None:
    unread = {"default.a": UNREAD_BYTES + 1}
    desires = PacedDesires(DesireTimer(), lambda node_id: unread.get(node_id, 0))
    desires.put(desire("default.a"))
    desires.put(desire("default.b"))
    assert await taken(desires, 1) == [("default.b", b"0")]
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(taken(desires, 1))
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
        unread.clear()
    assert waiting.result() == [("default.a", b"0")]

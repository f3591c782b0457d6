"""Groups that are carried out at the same time are of different nodes, and so many at most."""

import asyncio
from collections.abc import Sequence

import pytest

from cloud.link.concurrent_groups import ConcurrentGroups
from tests.deadlines import UNIT


class HeldGroups:
    """Groups that end when `end` is called; `begun` has the nodes of each that has begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}

    async def carry_out(self, nodes: str) -> None:
        self.begun.append(nodes)
        await self._ends.setdefault(nodes, asyncio.Event()).wait()

    def end(self, nodes: str) -> None:
        self._ends.setdefault(nodes, asyncio.Event()).set()


async def settled() -> None:
    """Let all tasks run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("limit", "added", "begun"),
    [
        (1, ["a", "b"], ["a"]),
        (2, ["a", "b", "c"], ["a", "b"]),
        (2, ["ab", "bc", "d"], ["ab"]),
        (3, ["ab", "c", "b", "d"], ["ab", "c"]),
    ],
)
async def test_a_group_waits_for_room_and_for_its_nodes(
    limit: int, added: Sequence[str], begun: Sequence[str]
) -> None:
    """Each letter is a node; one that waits is not overtaken."""
    held = HeldGroups()

    async def add_all(groups: ConcurrentGroups) -> None:
        for nodes in added:
            await groups.add(frozenset(nodes), held.carry_out(nodes))

    async with asyncio.timeout(20 * UNIT), asyncio.TaskGroup() as tasks:
        tasks.create_task(add_all(ConcurrentGroups(tasks, limit)))
        await settled()
        assert held.begun == begun
        for nodes in added:
            held.end(nodes)
    assert held.begun == added


async def test_a_group_that_waits_is_dropped_when_the_wait_is_cancelled() -> None:
    held = HeldGroups()
    async with asyncio.timeout(20 * UNIT), asyncio.TaskGroup() as tasks:
        groups = ConcurrentGroups(tasks, 1)
        await groups.add(frozenset("a"), held.carry_out("a"))
        waiting = tasks.create_task(groups.add(frozenset("b"), held.carry_out("b")))
        await settled()
        waiting.cancel()
        held.end("a")
    assert held.begun == ["a"]

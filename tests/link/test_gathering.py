"""Writes of many callers, together, through the real store."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest

from cloud.core.node import NodeSpec
from cloud.errors import Invalid
from cloud.link.gathering import GROUP, Gathering
from cloud.operations.nodes import create_node
from cloud.store.interface import Store, Transaction
from tests.link.conftest import NOW

T = TypeVar("T")


class CountingStore:
    """The real store, and how many transactions were begun."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.transactions = 0

    async def write(self, work: Callable[[Transaction], T]) -> T:
        self.transactions += 1
        return await self.store.write(work)

    write_concurrent = write

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self.store.read(work)

    async def wait_for_pending(self) -> None:
        raise AssertionError("nobody waits here")


def making(name: str, *, then_fail: bool = False) -> Callable[[Transaction], str]:
    def work(tx: Transaction) -> str:
        create_node(tx, "default", name, NodeSpec(), now=NOW)
        if then_fail:
            raise Invalid("name", name)
        return name

    return work


async def names(store: Store) -> list[str]:
    return [node.name for node in await store.read(lambda tx: tx.nodes("default"))]


async def test_what_is_asked_for_at_once_is_few_transactions(store: Store) -> None:
    counting = CountingStore(store)
    gathering = Gathering(counting)
    wanted = [f"n{number:03}" for number in range(GROUP + 10)]
    made = await asyncio.gather(*(gathering.write(making(name)) for name in wanted))
    assert made == wanted
    assert await names(store) == wanted
    assert counting.transactions <= 3


async def test_who_is_refused_leaves_nothing_and_takes_nobody_with_it(store: Store) -> None:
    gathering = Gathering(store)
    wanted = [f"n{number:03}" for number in range(12)]
    made = await asyncio.gather(
        *(
            gathering.write(making(name, then_fail=number % 4 == 1))
            for number, name in enumerate(wanted)
        ),
        return_exceptions=True,
    )
    refused = [one for one in made if isinstance(one, Invalid)]
    assert len(refused) == 3
    assert [str(one.reason) for one in refused] == ["n001", "n005", "n009"]
    good = [one for one in made if isinstance(one, str)]
    assert sorted(await names(store)) == sorted(good)
    assert len(good) == 9


async def test_who_goes_away_while_waiting_does_not_hold_up_the_others(store: Store) -> None:
    gathering = Gathering(store)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(gathering.write(making("first")))
        second = group.create_task(gathering.write(making("second")))
        third = group.create_task(gathering.write(making("third")))
        await asyncio.sleep(0)
        second.cancel()
    assert (first.result(), third.result()) == ("first", "third")
    with pytest.raises(asyncio.CancelledError):
        second.result()
    assert {"first", "third"} <= set(await names(store))
    assert await gathering.write(making("fourth")) == "fourth"

"""Writes of many callers, together, through the real store."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from cloud.errors import Invalid, Unavailable
from cloud.store.group_commit import GROUP, GroupWriter
from cloud.store.transaction import Store, Transaction
from tests.conftest import StoreFactory
from tests.store.conftest import node

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

    read_short = read


def making(name: str, *, then_fail: bool = False) -> Callable[[Transaction], str]:
    def work(tx: Transaction) -> str:
        tx.put_node(node(name))
        if then_fail:
            raise Invalid("name", name)
        return name

    return work


async def names(store: Store) -> list[str]:
    return [node.name for node in await store.read(lambda tx: tx.nodes("default"))]


async def test_what_is_written_at_once_is_few_transactions(store: Store) -> None:
    counting = CountingStore(store)
    writer = GroupWriter(counting)
    wanted = [f"n{number:03}" for number in range(GROUP + 10)]
    made = await asyncio.gather(*(writer.write(making(name)) for name in wanted))
    assert made == wanted
    assert await names(store) == wanted
    assert counting.transactions <= 3


async def test_work_that_fails_leaves_nothing_and_takes_no_other_with_it(store: Store) -> None:
    counting = CountingStore(store)
    writer = GroupWriter(counting)
    wanted = [f"n{number:03}" for number in range(12)]
    made = await asyncio.gather(
        *(
            writer.write(making(name, then_fail=number % 4 == 1))
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
    assert counting.transactions <= 5


async def test_where_most_fail_each_is_done_alone(store: Store) -> None:
    writer = GroupWriter(store)
    wanted = [f"n{number:03}" for number in range(20)]
    made = await asyncio.gather(
        *(
            writer.write(making(name, then_fail=number % 3 > 0))
            for number, name in enumerate(wanted)
        ),
        return_exceptions=True,
    )
    assert [one for one in made if isinstance(one, str)] == wanted[::3] == await names(store)
    assert sum(isinstance(one, Invalid) for one in made) == 13


async def test_what_cannot_be_unsealed_is_unavailable_to_its_caller_alone(store: Store) -> None:
    def work(tx: Transaction) -> str:
        raise Unavailable("b was sealed with another key")

    writer = GroupWriter(store)
    made = await asyncio.gather(
        writer.write(making("a")),
        writer.write(work),
        writer.write(making("c")),
        return_exceptions=True,
    )
    assert [made[0], type(made[1]), made[2]] == ["a", Unavailable, "c"]


async def test_a_store_that_cannot_be_used_is_unavailable_to_all(
    open_again: StoreFactory, tmp_path: Path
) -> None:
    async with open_again(tmp_path) as store:
        writer = GroupWriter(store)
    made = await asyncio.gather(
        *(writer.write(making(name)) for name in "abc"), return_exceptions=True
    )
    assert [type(one) for one in made] == [Unavailable] * 3


async def test_a_caller_that_is_cancelled_does_not_hold_up_the_others(store: Store) -> None:
    writer = GroupWriter(store)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(writer.write(making("first")))
        second = group.create_task(writer.write(making("second")))
        third = group.create_task(writer.write(making("third")))
        await asyncio.sleep(0)
        second.cancel()
    assert (first.result(), third.result()) == ("first", "third")
    with pytest.raises(asyncio.CancelledError):
        second.result()
    assert {"first", "third"} <= set(await names(store))
    assert await writer.write(making("fourth")) == "fourth"

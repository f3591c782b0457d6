"""What every store promises of pending nodes."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cloud.store.transaction import NotifyingStore, Transaction
from tests.conftest import StoreFactory
from tests.store.conftest import (
    LATER,
    WAIT,
    Refused,
    node,
    result_of,
)


def mark(*names: str) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        nodes = [node(name) for name in names]
        for one in nodes:
            tx.put_node(one)
        tx.mark_pending(nodes)

    return work


async def test_stale_nodes_are_taken_once_and_at_most_as_many_as_asked_for(
    store: NotifyingStore,
) -> None:
    await store.write(mark("a", "b", "c"))
    await store.write(mark("a"))
    assert await store.write(lambda tx: tx.take_pending(0)) == []
    some = await store.write(lambda tx: tx.take_pending(2))
    rest = await store.write(lambda tx: tx.take_pending(2))
    assert (len(some), len(rest)) == (2, 1)
    assert sorted([*some, *rest]) == [("default", name) for name in "abc"]
    assert await store.write(lambda tx: tx.take_pending(2)) == []


async def test_a_node_is_stale_until_it_is_taken(store: NotifyingStore) -> None:
    def work(tx: Transaction) -> list[bool]:
        tx.put_node(node("n1"))
        seen = [tx.is_pending("default", "n1")]
        tx.mark_pending([node("n1")])
        seen += [tx.is_pending("default", "n1"), tx.is_pending("other", "n1")]
        tx.take_pending(1)
        return [*seen, tx.is_pending("default", "n1")]

    assert await store.write(work) == [False, True, False, False]


async def test_a_node_that_is_not_there_is_not_stale(store: NotifyingStore) -> None:
    await store.write(lambda tx: tx.mark_pending([node("gone")]))
    assert await store.write(lambda tx: tx.take_pending(2)) == []


async def test_no_two_of_twenty_callers_take_the_same_node(store: NotifyingStore) -> None:
    names = [f"n{number:03}" for number in range(200)]
    await store.write(mark(*names))
    taken: list[tuple[str, str]] = []

    async def take_all() -> None:
        while some := await store.write(lambda tx: tx.take_pending(3)):
            taken.extend(some)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(take_all())
    assert sorted(taken) == [("default", name) for name in names]


async def test_the_pusher_is_woken_after_a_commit_and_not_after_anything_else(
    store: NotifyingStore,
) -> None:
    def mark_and_refuse(tx: Transaction) -> None:
        mark("a")(tx)
        raise Refused

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(store.wait_for_pending())
        with pytest.raises(Refused):
            await store.write(mark_and_refuse)
        await store.write(lambda tx: tx.put_node(node()))
        await store.write(lambda tx: tx.mark_pending([]))
        await store.read(lambda tx: tx.nodes("default"))
        assert not waiting.done()
        await store.write(mark("a"))
        async with asyncio.timeout(WAIT):
            await waiting
        again = tasks.create_task(store.wait_for_pending())
        await store.read(lambda tx: tx.nodes("default"))
        assert not again.done()
        again.cancel()


async def test_a_notification_without_a_waiter_is_retained(store: NotifyingStore) -> None:
    await store.write(mark("a"))
    await store.write(mark("b"))
    async with asyncio.timeout(WAIT):
        await store.wait_for_pending()
    assert len(await store.write(lambda tx: tx.take_pending(10))) == 2


async def test_every_node_that_is_marked_is_taken_by_one_who_waits(store: NotifyingStore) -> None:
    names = {f"n{number}" for number in range(30)}
    taken: set[str] = set()

    async def push() -> None:
        while taken != names:
            await store.wait_for_pending()
            while some := await store.write(lambda tx: tx.take_pending(2)):
                taken.update(name for _, name in some)

    async with asyncio.timeout(WAIT), asyncio.TaskGroup() as tasks:
        tasks.create_task(push())
        for name in names:
            tasks.create_task(result_of(store.write(mark(name))))
    assert taken == names


async def test_stale_nodes_of_the_last_run_wake_the_pusher(
    open_again: StoreFactory, tmp_path: Path
) -> None:
    async with open_again(tmp_path) as store:
        await store.write(mark("a"))
    async with open_again(tmp_path) as store:
        async with asyncio.timeout(WAIT):
            await store.wait_for_pending()
        assert await store.write(lambda tx: tx.take_pending(10)) == [("default", "a")]


async def test_a_changed_node_can_be_marked_in_the_same_transaction(store: NotifyingStore) -> None:
    def change(tx: Transaction) -> None:
        tx.put_node(node())
        tx.put_node(replace(node(), updated=LATER))
        tx.mark_pending(tx.nodes("default"))

    await store.write(change)
    assert await store.write(lambda tx: tx.take_pending(1)) == [("default", "n")]

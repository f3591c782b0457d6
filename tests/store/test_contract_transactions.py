"""What every store promises of transactions and versions."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud.core.app import App
from cloud.core.certificate import NodeCertificate
from cloud.core.config import Config
from cloud.core.secret import Secret
from cloud.errors import Invalid
from cloud.store.postgres import PostgresStore
from cloud.store.transaction import NotifyingStore, Store, Transaction
from tests.conftest import StoreFactory
from tests.store.conftest import (
    LATER,
    NOW,
    WAIT,
    Refused,
    app,
    batch,
    config,
    node,
    record,
    report,
    result_of,
    secret,
)


def put_everything(tx: Transaction) -> None:
    tx.put_node(node())
    tx.put_report("default", "n", report(), "json", NOW)
    tx.put_resource(app(version=tx.next_version()))
    tx.put_resource(config())
    tx.put_resource(secret())
    tx.put_batch(batch())
    tx.put_record(record())
    tx.put_certificate(NodeCertificate(1, "default.n", NOW, LATER))
    tx.mark_pending([node()])


def everything(tx: Transaction) -> tuple[object, ...]:
    return (
        tx.nodes("default"),
        tx.report("default", "n"),
        tx.resources(App, "default"),
        tx.resources(Config, "default"),
        tx.resources(Secret, "default"),
        tx.batches("default"),
        tx.records("default", "b"),
        tx.certificate(1),
        tx.heard("default", "n"),
    )


# transactions


@pytest.mark.parametrize("mode", ["write", "read"])
async def test_what_work_returns_and_raises_reaches_the_caller_unchanged(
    store: Store, mode: str
) -> None:
    run = store.write if mode == "write" else store.read
    returned, raised = object(), Refused()

    def refuse(_tx: Transaction) -> None:
        raise raised

    assert await run(lambda _tx: returned) is returned
    with pytest.raises(Refused) as caught:
        await run(refuse)
    assert caught.value is raised


async def test_what_not_every_database_can_keep_is_refused(store: Store) -> None:
    await store.write(lambda tx: tx.put_batch(batch()))
    with pytest.raises(Invalid):
        await store.write(lambda tx: tx.put_record(record("r", "a\0b")))
    with pytest.raises(Invalid):
        await store.read(lambda tx: tx.record("default", "b", "\0"))


async def test_work_that_raises_changes_nothing_at_all(store: Store) -> None:
    def put_and_refuse(tx: Transaction) -> None:
        put_everything(tx)
        raise Refused

    nothing = await store.read(everything)
    with pytest.raises(Refused):
        await store.write(put_and_refuse)
    assert await store.read(everything) == nothing
    assert await store.write(lambda tx: tx.take_pending(10)) == []

    await store.write(put_everything)
    before = await store.read(everything)

    def delete_and_refuse(tx: Transaction) -> None:
        tx.take_pending(1)
        tx.delete_record("default", "b", "r")
        tx.delete_batch("default", "b")
        tx.delete_node("default", "n")
        tx.delete_resource(Secret.kind, "default", "password")
        tx.revoke_certificates("default.n", NOW)
        raise Refused

    with pytest.raises(Refused):
        await store.write(delete_and_refuse)
    assert await store.read(everything) == before
    assert await store.write(lambda tx: tx.take_pending(10)) == [("default", "n")]


async def test_a_write_sees_what_it_has_written(store: Store) -> None:
    def write_and_look(tx: Transaction) -> bool:
        put_everything(tx)
        return tx.node("default", "n") == node() and tx.secret("default", "password") == secret()

    assert await store.write(write_and_look)


async def test_a_read_may_not_write(store: Store) -> None:
    with pytest.raises(RuntimeError):
        await store.read(lambda tx: tx.put_node(node()))
    assert await store.read(lambda tx: tx.nodes("default")) == []
    await store.write(lambda tx: tx.put_node(node()))


async def test_a_read_sees_one_moment_while_others_write(store: Store) -> None:
    looked, written = threading.Event(), threading.Event()

    def look_twice(tx: Transaction) -> list[int]:
        first = len(tx.nodes("default"))
        looked.set()
        assert written.wait(WAIT)
        return [first, len(tx.nodes("default")), len(tx.resources(App, "default"))]

    async def write_between() -> None:
        assert await asyncio.to_thread(looked.wait, WAIT)
        await store.write(put_everything)
        written.set()

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(result_of(store.read(look_twice)))
        tasks.create_task(write_between())
    assert reading.result() == [0, 0, 0]
    assert await store.read(lambda tx: len(tx.nodes("default"))) == 1


async def test_writes_are_one_at_a_time(store: Store) -> None:
    """As activations are: look whether there is room, then take it."""
    quota = 5

    def take_place(name: str) -> Callable[[Transaction], bool]:
        def work(tx: Transaction) -> bool:
            if tx.count_records("default", "b") >= quota:
                return False
            tx.put_record(record(name, name))
            return True

        return work

    await store.write(lambda tx: tx.put_batch(batch()))
    async with asyncio.TaskGroup() as tasks:
        taking = [tasks.create_task(result_of(store.write(take_place(f"r{n}")))) for n in range(20)]
    assert sum(task.result() for task in taking) == quota
    assert await store.read(lambda tx: tx.count_records("default", "b")) == quota


async def test_a_transaction_is_of_no_use_after_its_end(store: Store) -> None:
    kept = await store.write(lambda tx: tx)
    with pytest.raises(RuntimeError):
        kept.put_node(node())
    assert await store.read(lambda tx: tx.nodes("default")) == []


async def test_what_was_returned_is_there_when_the_store_is_opened_again(
    open_again: StoreFactory, tmp_path: Path
) -> None:
    async with open_again(tmp_path) as store:
        await store.write(put_everything)
        before = await store.read(everything)
    async with open_again(tmp_path) as store:
        assert await store.read(everything) == before


# versions


async def test_versions_only_ever_grow(open_again: StoreFactory, tmp_path: Path) -> None:
    given_out: list[str] = []

    def use_some(tx: Transaction) -> list[str]:
        return [tx.next_version() for _ in range(2)]

    for _ in range(2):
        async with open_again(tmp_path) as store:
            given_out += await store.write(use_some)
            await store.write(lambda tx: tx.put_resource(app(version=tx.next_version())))
            await store.write(lambda tx: tx.delete_resource(App.kind, "default", "web"))
            given_out += await store.write(use_some)
    numbers = [int(version) for version in given_out]
    assert numbers == sorted(set(numbers))
    assert given_out == [str(number) for number in numbers]


async def test_a_short_look_sees_what_was_committed_and_changes_nothing(store: Store) -> None:
    await store.write(lambda tx: tx.put_node(node("n")))
    assert await store.read_short(lambda tx: tx.node("default", "n")) == node("n")
    with pytest.raises(RuntimeError):
        await store.read_short(lambda tx: tx.delete_node("default", "n"))
    with pytest.raises(Refused):
        await store.read_short(_refuse)
    assert await store.read_short(lambda tx: tx.node("default", "n")) == node("n")


async def test_the_revision_is_another_one_after_each_change(store: NotifyingStore) -> None:
    """PostgreSQL has none: other servers change things too."""
    before = store.revision()
    await store.write(lambda tx: tx.put_node(node("n")))
    after_write = store.revision()
    await store.write_concurrent(lambda tx: tx.put_node(node("m")))
    after_both = store.revision()
    await store.read(lambda tx: tx.node("default", "n"))
    assert store.revision() == after_both
    if before is not None:
        assert len({before, after_write, after_both}) == 3
    assert (before is None) == isinstance(store, PostgresStore)


def _refuse(_tx: Transaction) -> None:
    raise Refused

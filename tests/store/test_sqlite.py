"""Threads, trouble with the file, and what is left after a sudden end."""

import asyncio
import contextlib
import os
import sqlite3
import stat
import sys
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from cloud.core.audit import Chain
from cloud.errors import Unavailable
from cloud.store.key_encryption import KEY_BYTES
from cloud.store.sealing import Sealer
from cloud.store.sqlite import READERS, SqliteStore, open_sqlite_store
from cloud.store.transaction import Transaction
from cloud.store.witness import Witness
from tests.builders import open_store
from tests.deadlines import UNIT
from tests.store.conftest import NOW, node, report

REPOSITORY = Path(__file__).parents[2]
WAIT = 20 * UNIT


def open_in(directory: Path) -> contextlib.AbstractAsyncContextManager[SqliteStore]:
    sealer = Sealer(bytes(KEY_BYTES))
    return open_sqlite_store(
        directory / "edgesync.db",
        sealer=sealer,
        witness=witness_in(directory),
        lock_wait=timedelta(milliseconds=20),
    )


def witness_in(directory: Path) -> Witness:
    return Witness(Chain(bytes(KEY_BYTES)), directory / "audit.head")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with open_in(tmp_path) as opened:
        yield opened


async def run_module(name: str, directory: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        "-m",
        f"tests.store.{name}",
        str(directory),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )


async def let_others_run() -> None:
    await asyncio.to_thread(int)


# threads


async def test_work_runs_off_the_loop_and_writes_on_one_thread(store: SqliteStore) -> None:
    def thread(_tx: Transaction) -> int:
        return threading.get_ident()

    writers = {await store.write(thread) for _ in range(20)}
    readers = {await store.read(thread) for _ in range(20)}
    assert len(writers) == 1
    assert not (writers | readers) & {threading.get_ident()}
    assert not writers & readers


async def test_readers_run_side_by_side_and_beside_a_writer(store: SqliteStore) -> None:
    together = threading.Barrier(READERS + 1)

    def meet(_tx: Transaction) -> None:
        together.wait(WAIT)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(store.write(meet))
        for _ in range(READERS):
            tasks.create_task(store.read(meet))


async def test_many_readers_and_writers_get_through(store: SqliteStore) -> None:
    async with asyncio.TaskGroup() as tasks:
        for number in range(100):
            one = node(f"n{number}")
            tasks.create_task(store.write(lambda tx, one=one: tx.put_node(one)))  # type: ignore[misc]
            tasks.create_task(store.read(lambda tx: tx.nodes("default")))
    assert len(await store.read(lambda tx: tx.nodes("default"))) == 100


async def test_cancelling_the_wait_does_not_undo_the_work(store: SqliteStore) -> None:
    started, go_on = threading.Event(), threading.Event()

    def put_slowly(tx: Transaction) -> None:
        tx.put_node(node())
        started.set()
        assert go_on.wait(WAIT)

    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(store.write(put_slowly))
        assert await asyncio.to_thread(started.wait, WAIT)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        go_on.set()
    await store.write(lambda tx: tx.put_node(node("after")))
    assert [one.name for one in await store.read(lambda tx: tx.nodes("default"))] == ["after", "n"]


async def test_work_that_raises_stop_iteration_does_not_hang(store: SqliteStore) -> None:
    with pytest.raises(RuntimeError):
        await store.write(lambda _tx: next(iter(())))


# the end


async def test_closing_finishes_what_was_taken_and_takes_no_more(tmp_path: Path) -> None:
    go_on = threading.Event()

    def put(name: str, tx: Transaction) -> None:
        assert go_on.wait(WAIT)
        tx.put_node(node(name))

    async with open_in(tmp_path) as store, asyncio.TaskGroup() as tasks:
        for number in range(10):
            tasks.create_task(store.write(lambda tx, name=f"n{number}": put(name, tx)))  # type: ignore[misc]
        await let_others_run()
        closing = tasks.create_task(store.close())
        again = tasks.create_task(store.close())
        await let_others_run()
        with pytest.raises(Unavailable):
            await store.write(lambda tx: tx.put_node(node("late")))
        with pytest.raises(Unavailable):
            await store.read(lambda tx: tx.nodes("default"))
        assert not closing.done()
        go_on.set()
        await closing
        await again
        await store.close()
    async with open_in(tmp_path) as store:
        assert len(await store.read(lambda tx: tx.nodes("default"))) == 10


async def test_a_cancelled_close_still_lets_go_of_the_database(tmp_path: Path) -> None:
    started, go_on = threading.Event(), threading.Event()

    def put_slowly(tx: Transaction) -> None:
        started.set()
        assert go_on.wait(WAIT)
        tx.put_node(node())

    async with open_in(tmp_path) as store, asyncio.TaskGroup() as tasks:
        tasks.create_task(store.write(put_slowly))
        assert await asyncio.to_thread(started.wait, WAIT)
        closing = tasks.create_task(store.close())
        await let_others_run()
        closing.cancel()
        await let_others_run()
        go_on.set()
    async with open_in(tmp_path) as store:
        assert await store.read(lambda tx: tx.node("default", "n")) == node()


async def test_a_closed_store_leaves_one_database_file_and_the_lock(tmp_path: Path) -> None:
    async with open_in(tmp_path) as store:
        await store.write(lambda tx: tx.put_node(node()))
    assert sorted(os.listdir(tmp_path)) == ["edgesync.db", "edgesync.db.lock"]


async def test_what_was_printed_as_committed_survives_a_kill(tmp_path: Path) -> None:
    process = await run_module("writer_process", tmp_path)
    assert process.stdout is not None
    committed = [int(await process.stdout.readline()) for _ in range(50)]
    process.kill()
    committed += [int(line) for line in (await process.stdout.read()).split()]
    await process.wait()

    async with open_store(tmp_path) as store:
        kept = {one.name for one in await store.read(lambda tx: tx.nodes("default"))}
    assert {f"n{number}" for number in committed} <= kept
    assert len(kept) <= len(committed) + 1


# one server for one database


async def test_a_second_server_is_refused_while_the_first_one_runs(tmp_path: Path) -> None:
    async with open_in(tmp_path) as first:
        with pytest.raises(Unavailable) as caught:
            async with open_in(tmp_path):
                pass
        assert "another server" in caught.value.reason
        await first.write(lambda tx: tx.put_node(node()))
    async with open_in(tmp_path) as second:
        assert await second.read(lambda tx: tx.node("default", "n")) == node()


async def test_a_change_that_a_command_makes_beside_a_server_is_another_revision(
    store: SqliteStore, tmp_path: Path
) -> None:
    before = store.revision()
    with contextlib.closing(sqlite3.connect(tmp_path / "edgesync.db")) as other, other:
        other.execute("CREATE TABLE of_another_process (name)")
    assert before is not None
    assert store.revision() not in {before, None}


async def test_another_process_is_refused_too(tmp_path: Path) -> None:
    process = await run_module("writer_process", tmp_path)
    assert process.stdout is not None
    await process.stdout.readline()
    with pytest.raises(Unavailable):
        async with open_in(tmp_path):
            pass
    process.kill()
    await process.communicate()


async def test_no_other_user_can_read_the_files(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        async with open_in(tmp_path) as store:
            await store.write(lambda tx: tx.put_node(node()))
            modes = {
                name: stat.S_IMODE(os.stat(tmp_path / name).st_mode)
                for name in os.listdir(tmp_path)
            }
    finally:
        os.umask(mask)
    names = ["edgesync.db", "edgesync.db-shm", "edgesync.db-wal", "edgesync.db.lock"]
    assert modes == dict.fromkeys(names, 0o600)


async def test_a_database_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    async with open_in(tmp_path):
        pass
    path = str(tmp_path / "edgesync.db")
    os.chmod(path, 0o644)
    async with open_in(tmp_path):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


# trouble


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def overwrite(path: Path, content: bytes) -> None:
    """As a disk would: the file stays the same file."""
    with path.open("r+b") as file:
        file.write(content)


async def test_a_locked_database_is_unavailable_until_it_is_let_go(
    store: SqliteStore, tmp_path: Path
) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "edgesync.db")) as tool:
        tool.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            await store.write(lambda tx: tx.put_node(node()))
        assert await store.read(lambda tx: tx.nodes("default")) == []
        tool.rollback()
    await store.write(lambda tx: tx.put_node(node()))
    assert await store.read(lambda tx: tx.nodes("default")) == [node()]


async def test_a_full_disk_is_unavailable_until_there_is_room(tmp_path: Path) -> None:
    process = await run_module("full_disk_process", tmp_path)
    output, _ = await process.communicate()
    assert output.decode().splitlines() == [
        "unavailable",
        "unavailable",
        "['before']",
        "['before', 'large']",
    ]
    assert process.returncode == 0


async def test_a_corrupt_database_is_unavailable_until_it_is_repaired(
    store: SqliteStore, tmp_path: Path
) -> None:
    def put_many(tx: Transaction) -> None:
        for number in range(300):
            tx.put_node(node(f"n{number}"))
            tx.put_report("default", f"n{number}", report(node={"x": "y" * 2000}), "json", NOW)

    def read_all(tx: Transaction) -> int:
        names = [one.name for one in tx.nodes("default")]
        return sum(tx.report("default", name) is not None for name in names)

    path = tmp_path / "edgesync.db"
    await store.write(put_many)
    with contextlib.closing(sqlite3.connect(path)) as tool:
        tool.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    good = content_of(path)
    overwrite(path, good[:4096] + b"\xff" * (len(good) - 4096))
    for _ in range(READERS + 1):
        with pytest.raises(Unavailable):
            await store.read(read_all)
    with pytest.raises(Unavailable):
        await store.write(put_many)
    overwrite(path, good)
    assert await store.read(read_all) == 300
    await store.write(put_many)


async def test_what_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "edgesync.db"
    path.touch()
    overwrite(path, b"something else\n" * 1000)
    with pytest.raises(Unavailable):
        async with open_in(tmp_path):
            pass
    assert content_of(path) == b"something else\n" * 1000


async def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        async with open_in(tmp_path / "gone"):
            pass


async def test_a_store_that_could_not_be_opened_is_free_for_the_next(tmp_path: Path) -> None:
    async with open_in(tmp_path):
        pass
    wrong = Sealer(bytes([1]) * KEY_BYTES)
    with pytest.raises(Unavailable):
        async with open_sqlite_store(
            tmp_path / "edgesync.db", sealer=wrong, witness=witness_in(tmp_path)
        ):
            pass
    async with open_in(tmp_path):
        pass

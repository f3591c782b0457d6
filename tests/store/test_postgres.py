"""The store on PostgreSQL where it promises more: several servers on one database."""

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
import psycopg
import pytest

from cloud.core.listing import ListOptions
from cloud.core.node import Node
from cloud.core.report import Order
from cloud.core.usage import UsagePoint
from cloud.errors import NotFound, Unavailable
from cloud.store.migrations import STEPS
from cloud.store.migrations import migrate as migrate_sqlite
from cloud.store.postgres import bring_up_to_date, migrate, open_postgres_store, take_part
from cloud.store.postgres_connection import open_connection
from cloud.store.sealing import load_or_create_sealer
from cloud.store.tables.definition import Definition
from cloud.store.transaction import NotifyingStore, Transaction
from cloud.store.witness import load_or_create_witness
from tests.postgres import NEEDS_POSTGRES, Postgres, running_postgres
from tests.store.conftest import LATER, NOW, WAIT, batch, node, record, report, result_of

pytestmark = NEEDS_POSTGRES

Open = Callable[..., AbstractAsyncContextManager[NotifyingStore]]


@pytest.fixture
def open_server(postgres: Postgres, tmp_path: Path) -> Open:
    """Opens the store of one more server on the same database."""

    def opened(
        url: str | None = None, *, alone: bool = False
    ) -> AbstractAsyncContextManager[NotifyingStore]:
        return open_postgres_store(
            url or postgres.schema_of(tmp_path),
            sealer=load_or_create_sealer(tmp_path / "secrets.key"),
            witness=load_or_create_witness(tmp_path),
            alone=alone,
        )

    return opened


@pytest.fixture
async def servers(open_server: Open) -> AsyncIterator[tuple[NotifyingStore, NotifyingStore]]:
    async with open_server() as one, open_server() as two:
        yield one, two


async def put_nodes(store: NotifyingStore, nodes: Sequence[Node]) -> None:
    def put(tx: Transaction) -> None:
        for one in nodes:
            tx.put_node(one)

    await store.write(put)


async def test_writes_of_all_servers_are_one_at_a_time(
    servers: tuple[NotifyingStore, NotifyingStore],
) -> None:
    """Activations on two servers, against one quota."""
    quota = 7

    def take_place(name: str) -> Callable[[Transaction], bool]:
        def work(tx: Transaction) -> bool:
            if tx.count_records("default", "b") >= quota:
                return False
            tx.put_record(record(name, name))
            return True

        return work

    await servers[0].write(lambda tx: tx.put_batch(batch()))
    async with asyncio.TaskGroup() as tasks:
        taking = [
            tasks.create_task(result_of(servers[number % 2].write(take_place(f"r{number}"))))
            for number in range(40)
        ]
    assert sum(task.result() for task in taking) == quota


async def test_no_two_servers_give_one_version(
    servers: tuple[NotifyingStore, NotifyingStore],
) -> None:
    async def take(store: NotifyingStore) -> list[int]:
        return [int(await store.write(lambda tx: tx.next_version())) for _ in range(10)]

    first, second = await asyncio.gather(*map(take, servers))
    assert first == sorted(first)
    assert second == sorted(second)
    assert len({*first, *second}) == 20


async def test_a_total_counts_what_other_servers_have_changed(
    servers: tuple[NotifyingStore, NotifyingStore],
) -> None:
    def total(tx: Transaction) -> int:
        return tx.list_nodes("default", ListOptions("role=gateway,!spare")).total

    one, two = servers
    for number, store in enumerate((one, two, two, one, two, one, one)):
        await put_nodes(store, [node(f"n{number}")])
        for other in servers[: 1 + number % 2]:
            assert await other.read(total) == number + 1


async def test_concurrent_reports_are_written_and_the_newest_stays(
    servers: tuple[NotifyingStore, NotifyingStore],
) -> None:
    """Each server gets every second report of each node, in groups that overlap."""
    names = [f"n{number}" for number in range(20)]
    await put_nodes(servers[0], [node(name) for name in names])

    def receive(tx: Transaction, sequence: int) -> None:
        for name in names:
            reporter = tx.reporter("default", name)
            assert reporter is not None
            last = reporter.last
            if last is None or (last.sequence or 0) < sequence:
                tx.put_report("default", name, report(Order("run", sequence)), "json", NOW)

    async def half(store: NotifyingStore, first: int) -> None:
        for sequence in range(first, 21, 2):
            await store.write_concurrent(lambda tx, now=sequence: receive(tx, now))  # type: ignore[misc]

    await asyncio.gather(half(servers[0], 1), half(servers[1], 2))

    def last(tx: Transaction) -> set[Order | None]:
        known = [tx.reporter("default", name) for name in names]
        return {one.last for one in known if one is not None}

    assert await servers[0].read(last) == {Order("run", 20)}


async def test_no_two_servers_take_one_stale_node(
    servers: tuple[NotifyingStore, NotifyingStore],
) -> None:
    nodes = [node(f"n{number:03}") for number in range(100)]
    await put_nodes(servers[0], nodes)
    await servers[0].write(lambda tx: tx.mark_pending(nodes))
    taken: list[str] = []

    async def take(store: NotifyingStore) -> None:
        while some := await store.write_concurrent(lambda tx: tx.take_pending(3)):
            taken.extend(name for _, name in some)

    await asyncio.gather(*(take(store) for store in servers for _ in range(3)))
    assert sorted(taken) == sorted(one.name for one in nodes)


CLAIMS: dict[str, Callable[[Transaction], object]] = {
    "pending nodes": lambda tx: list(tx.take_pending(1)),
    "lost nodes": lambda tx: list(tx.take_lost(LATER, 1)),
    "expired servers": lambda tx: tx.claim_server(LATER, LATER),
}


@pytest.mark.parametrize("queue", CLAIMS)
async def test_a_claim_does_not_wait_for_that_of_another_server(
    servers: tuple[NotifyingStore, NotifyingStore], queue: str
) -> None:
    """FOR UPDATE SKIP LOCKED: each of two open transactions has an entry of its own."""
    claim = CLAIMS[queue]

    def fill(tx: Transaction) -> None:
        for name in ("a", "b"):
            tx.put_node(node(name))
            tx.record_ready("default", name, NOW)
            tx.record_server(name, NOW, "1")
        tx.mark_pending([node("a"), node("b")])

    await servers[0].write(fill)
    claimed, released = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> object:
        found = claim(tx)
        claimed.set()
        assert released.wait(WAIT)
        return found

    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(result_of(servers[0].write_concurrent(hold)))
        try:
            assert await asyncio.to_thread(claimed.wait, WAIT)
            async with asyncio.timeout(WAIT / 4):
                second = await servers[1].write_concurrent(claim)
        finally:
            released.set()
    assert second
    assert first.result()
    assert first.result() != second


async def test_every_server_is_woken_by_a_change_of_one(
    servers: tuple[NotifyingStore, NotifyingStore],
) -> None:
    one, two = servers
    await one.write(lambda tx: tx.put_node(node()))
    await one.write(lambda tx: tx.mark_pending([node()]))
    async with asyncio.timeout(WAIT):
        await two.wait_for_pending()
        await one.wait_for_pending()


async def test_a_server_with_nodes_of_its_own_is_alone(open_server: Open) -> None:
    async with open_server(alone=True):
        for alone in (False, True):
            with pytest.raises(Unavailable) as caught:
                async with open_server(alone=alone):
                    pass
            assert "alone" in caught.value.reason
    async with open_server():
        with pytest.raises(Unavailable):
            async with open_server(alone=True):
                pass


async def test_the_lock_of_a_connection_that_is_being_closed_is_waited_for(
    postgres: Postgres, tmp_path: Path
) -> None:
    """PostgreSQL ends the process of a closed connection a moment later."""
    url = postgres.schema_of(tmp_path)
    waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with (
        contextlib.closing(take_part(url, alone=False)) as ending,
        psycopg.connect(url, autocommit=True) as watching,
    ):
        taking = asyncio.create_task(asyncio.to_thread(take_part, url, alone=True))
        while watching.execute(waits).fetchone() == (0,):
            assert not taking.done()
            await asyncio.sleep(0)
        ending.close()
        (await taking).close()


async def test_servers_that_start_together_migrate_once(open_server: Open) -> None:
    async with contextlib.AsyncExitStack() as stack:
        stores = await asyncio.gather(*(stack.enter_async_context(open_server()) for _ in range(4)))
        for store in stores:
            assert await store.read(lambda tx: tx.nodes("default")) == []


async def test_work_goes_on_after_a_constraint_that_it_met(
    servers: tuple[NotifyingStore, NotifyingStore],
) -> None:
    """A group of reports, one of a node that has just gone."""

    def work(tx: Transaction) -> bool:
        tx.put_node(node("there"))
        with pytest.raises(NotFound):
            tx.put_report("default", "gone", report(), "json", NOW)
        tx.put_report("default", "there", report(), "json", NOW)
        return True

    assert await servers[0].write(work)
    assert await servers[1].read(lambda tx: tx.report("default", "there")) is not None


class Wrapped(Exception):
    """What work makes of an error of the store."""


async def test_work_that_wraps_an_error_of_the_store_is_run_again(
    servers: tuple[NotifyingStore, NotifyingStore],
) -> None:
    """A constraint, and a row that another transaction has just changed."""
    attempts = 0

    def put(tx: Transaction, name: str) -> None:
        nonlocal attempts
        attempts += 1
        try:
            tx.put_usage_point("default", name, 1, UsagePoint(NOW, 1, 1, 1, 1))
            tx.finish()
        except NotFound:
            return
        except Exception as error:
            raise Wrapped from error

    await servers[0].write_concurrent(lambda tx: put(tx, "gone"))
    assert attempts == 2

    await put_nodes(servers[0], [node("n")])
    read, changed = threading.Event(), threading.Event()

    def put_late(tx: Transaction) -> None:
        tx.usage_points("default", "n", NOW)
        read.set()
        assert changed.wait(WAIT)
        put(tx, "n")

    async with asyncio.TaskGroup() as tasks:
        late = tasks.create_task(result_of(servers[0].write_concurrent(put_late)))
        assert await asyncio.to_thread(read.wait, WAIT)
        await servers[1].write_concurrent(lambda tx: put(tx, "n"))
        changed.set()
    assert late.result() is None
    assert attempts == 5


async def test_an_absent_database_is_an_error(open_server: Open, postgres: Postgres) -> None:
    for url in (postgres.url("nothing"), "postgresql://127.0.0.1:1/edgesync", "no url"):
        with pytest.raises(Unavailable):
            async with open_server(url):
                pass


async def test_a_store_heals_when_the_database_comes_back(tmp_path: Path) -> None:
    with running_postgres() as postgres:
        async with open_postgres_store(
            postgres.schema_of(tmp_path),
            sealer=load_or_create_sealer(tmp_path / "secrets.key"),
            witness=load_or_create_witness(tmp_path),
        ) as store:
            await store.write(lambda tx: tx.put_node(node()))
            postgres.stop()
            with pytest.raises(Unavailable):
                await store.write(lambda tx: tx.put_node(node("lost")))
            with pytest.raises(Unavailable):
                await store.read(lambda tx: tx.nodes("default"))
            postgres.start()
            assert [one.name for one in await store.read(lambda tx: tx.nodes("default"))] == ["n"]
            await store.write(lambda tx: tx.put_node(node("later")))
            await store.write(lambda tx: tx.mark_pending([node("later")]))
            async with asyncio.timeout(WAIT):
                await store.wait_for_pending()


def test_both_databases_have_the_same_tables(postgres: Postgres, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate_sqlite(connection)
        wanted = {
            table: sorted(
                (name, "bigint" if kind == "INTEGER" else "text", bool(required), bool(key))
                for _, name, kind, required, _, key in connection.execute(
                    f"PRAGMA table_info({table})"
                )
            )
            for (table,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
                " AND name NOT LIKE 'sqlite%' AND name NOT LIKE '\\_%' ESCAPE '\\'"
                " AND sql NOT LIKE 'CREATE VIRTUAL%'"
                " AND name <> 'app_count'"  # of triggers; PostgreSQL counts the rows themselves
            )
        }
    url = postgres.schema_of(tmp_path)
    with contextlib.closing(psycopg.connect(url, autocommit=True)) as connection:
        with connection.transaction():
            migrate(connection)
        found: dict[str, list[tuple[str, str, bool, bool]]] = {}
        for table, name, kind, nullable, key in connection.execute(
            """
            SELECT c.table_name, c.column_name, c.data_type, c.is_nullable, k.column_name
            FROM information_schema.columns c LEFT JOIN (
                SELECT u.table_name, u.column_name FROM information_schema.key_column_usage u
                JOIN information_schema.table_constraints t
                    ON t.constraint_name = u.constraint_name AND t.table_schema = u.table_schema
                WHERE t.constraint_type = 'PRIMARY KEY' AND t.table_schema = current_schema()
            ) k ON k.table_name = c.table_name AND k.column_name = c.column_name
            WHERE c.table_schema = current_schema() AND c.table_name <> 'migration'
            """
        ):
            row = (name, kind, nullable == "NO", key is not None)
            found.setdefault(table, []).append(row)
    assert {table: sorted(rows) for table, rows in found.items()} == wanted


def test_every_text_sorts_bytewise() -> None:
    for _, definitions in STEPS:
        for statement in (each.postgres for each in definitions):
            if statement.lstrip().startswith(("CREATE TABLE", "ALTER TABLE")):
                assert statement.count("TEXT") == statement.count('TEXT COLLATE "C"')


def test_nothing_is_compiled_and_long_values_are_compressed_with_lz4(postgres: Postgres) -> None:
    with contextlib.closing(open_connection(postgres.url("postgres"))) as connection:
        shown = [
            connection.execute(f"SHOW {name}".encode()).fetchone()
            for name in ("jit", "default_toast_compression")
        ]
        assert shown == [("off",), ("lz4",)]


async def test_an_unchanged_report_is_not_written_again(
    open_server: Open, postgres: Postgres, tmp_path: Path
) -> None:
    def place() -> list[tuple[int]]:
        """Where the long documents lie (PostgreSQL, "TOAST")."""
        with psycopg.connect(postgres.schema_of(tmp_path)) as connection:
            [(table,)] = connection.execute(
                "SELECT reltoastrelid::regclass::text FROM pg_class WHERE oid = 'report'::regclass"
            ).fetchall()
            wanted = f"SELECT DISTINCT chunk_id FROM {table}"  # noqa: S608  # named by PostgreSQL
            return connection.execute(wanted.encode()).fetchall()

    def put(text: str, sequence: int) -> Callable[[Transaction], None]:
        newer = msgspec.structs.replace(report(Order("run", sequence)), document=text.encode())
        return lambda tx: tx.put_report("default", "n", newer, "json", NOW)

    first, second = (f'{{"node": "{os.urandom(10_000).hex()}"}}' for _ in range(2))
    async with open_server() as store:
        await put_nodes(store, [node()])
        await store.write(put(first, 1))
        before = place()
        await store.write(put(first, 2))
        assert place() == before != []
        await store.write(put(second, 3))
        assert place() != before
        stored = await store.read(lambda tx: tx.report("default", "n"))
        assert stored is not None
        assert (stored.report.document.decode(), stored.report.order.sequence) == (second, 3)


def test_a_migration_begins_again_when_it_and_a_server_wait_for_each_other(
    postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.schema_of(tmp_path)
    bring_up_to_date(url)
    texts = (
        "LOCK TABLE node IN SHARE ROW EXCLUSIVE MODE",
        "SELECT pg_advisory_xact_lock_shared(77)",
        "LOCK TABLE node IN ACCESS EXCLUSIVE MODE",
    )
    steps = (*STEPS, ("9999_locks", tuple(Definition("", text) for text in texts)))
    with psycopg.connect(url) as server, psycopg.connect(url, autocommit=True) as observer:

        def comes(text: str) -> None:
            until = time.monotonic() + WAIT
            while observer.execute(text.encode()).fetchone() is None:
                assert time.monotonic() < until

        observer.execute("SELECT pg_advisory_lock(77)")
        server.execute("SELECT name FROM node")
        migration = threading.Thread(target=bring_up_to_date, args=(url, steps), daemon=True)
        migration.start()
        comes("SELECT 1 FROM pg_locks WHERE mode = 'ShareRowExclusiveLock' AND granted")
        update = threading.Thread(
            target=server.execute, args=("UPDATE node SET mode = mode",), daemon=True
        )
        update.start()
        comes("SELECT 1 FROM pg_locks WHERE mode = 'RowExclusiveLock' AND NOT granted")
        # Who asks for a lock last, and could never get it, is ended.
        observer.execute("SELECT pg_advisory_unlock(77)")
        update.join(WAIT)
        server.commit()
        migration.join(WAIT)
        assert not update.is_alive()
        assert not migration.is_alive()
        comes("SELECT 1 FROM migration WHERE name = '9999_locks'")

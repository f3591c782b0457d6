"""A backup of either database is the same server in either database."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from cloud.core.audit import SERVER, Action, Attempt
from cloud.core.event import Event
from cloud.core.listing import ListOptions
from cloud.core.running import RunningApp
from cloud.opening import database_of
from cloud.operations.audit import carry_out, prune
from cloud.store.archive import ArchivePart
from cloud.store.backup import VERSIONS_SKIPPED, Table, backup_parts, restore, tables
from cloud.store.command_log import append_entry
from cloud.store.log_check import check_log
from cloud.store.migrations import STEPS, Step
from cloud.store.statements import Statement, statement
from cloud.store.transaction import Transaction
from cloud.store.upkeep import Database, SqliteDatabase, taken_steps
from edgesync.admin.command_entry import command_entry
from tests.conftest import StoreFactory, open_on
from tests.postgres import NEEDS_POSTGRES, Postgres
from tests.store.conftest import (
    NOW,
    app,
    batch,
    config,
    node,
    record,
    registry,
    report,
    secret,
    unavailable,
)
from tests.store.test_contract_rollouts import assignment, rollout

CHANGED = {"revision", "revocation", "event_head", "new_event"}
"""Tables in which numbers are skipped."""


def fill(tx: Transaction) -> None:
    attempt = Attempt(SERVER, "node.create", NOW)
    for number in range(6):
        carry_out(tx, attempt, lambda tx, number=number: tx.put_node(node(f"n{number}")))  # type: ignore[misc]
    tx.put_resource(config(text="{{ä\n\u2028}}" * 50_000))
    tx.put_resource(secret())
    tx.put_resource(registry())
    web = replace(app(), version=tx.next_version())
    tx.put_resource(web)
    tx.pin_version(web)
    tx.put_assignments("default", [assignment("n1", "1", previous="")])
    tx.put_rollout(rollout("", "1"))
    tx.put_batch(batch())
    tx.put_record(record())
    tx.put_report("default", "n1", report(node={"hostname": "h"}), "json", NOW)
    tx.put_running("default", "n1", [RunningApp("web", "1", "running")], "x")
    prune(tx, keep=4, oldest=NOW, now=NOW)


@pytest.fixture
async def kept(
    open_again: StoreFactory, database_url: Callable[[Path], str], tmp_path: Path
) -> AsyncIterator[tuple[Path, Database]]:
    """A directory and a database with something in every place."""
    async with open_again(tmp_path) as store:
        await store.write(fill)
        # A server has it all the time.
        yield tmp_path, database_of(tmp_path, database_url(tmp_path))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=NEEDS_POSTGRES)])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Database, StoreFactory]:
    """Somewhere else."""
    place = tmp_path / "elsewhere"
    place.mkdir()
    if request.param == "sqlite":
        from tests.builders import open_store

        return place, SqliteDatabase(place / "edgesync.db"), open_store
    postgres: Postgres = request.getfixturevalue("postgres")
    return place, database_of(place, postgres.schema_of(place)), open_on(postgres)


def parts_of(directory: Path, database: Database) -> list[ArchivePart]:
    return list(backup_parts(database, directory, version="1.2.3", now=NOW))


def rows_of(database: Database) -> dict[str, list[str]]:
    """All rows, by the names of their tables."""

    def query(table: Table) -> Statement:
        return statement(f"SELECT {', '.join(table.columns)} FROM {table.name}")  # noqa: S608

    with database.look() as rows:
        return {table.name: sorted(map(str, rows(query(table)))) for table in tables()}


async def test_what_is_restored_is_what_was_there(
    kept: tuple[Path, Database], target: tuple[Path, Database, StoreFactory]
) -> None:
    directory, database = kept
    place, elsewhere, open_there = target
    restored = restore(iter(parts_of(directory, database)), elsewhere, place)
    assert (restored.begin.version, restored.begin.created) == ("1.2.3", "2026-01-02T03:04:05Z")
    before, after = rows_of(database), rows_of(elsewhere)
    for name, rows in before.items():
        if name not in CHANGED:
            assert after[name] == rows, name
    assert restored.rows == sum(map(len, before.values()))
    assert (place / "secrets.key").read_bytes() == (directory / "secrets.key").read_bytes()
    assert (place / "secrets.key").stat().st_mode & 0o777 == 0o600
    assert not check_log(elsewhere, place).broken
    async with open_there(place) as store:
        counted = await store.read(lambda tx: tx.count_running("default", "web"))
        assert counted == {("1", "running"): 1}
        assert await store.read(lambda tx: tx.secret("default", "password")) == secret()
        version = await store.write(lambda tx: tx.next_version())
        last = Event("node.ready", "default", "node", "last", NOW, "")
        await store.write(lambda tx: tx.record_event(last))
        events = await store.write(lambda tx: tx.number_events(9))
    assert int(version) == VERSIONS_SKIPPED + 2
    assert [one.event.name for one in events] == [*(f"n{number}" for number in range(6)), "last"]
    assert events[0].number == VERSIONS_SKIPPED + 1


def test_every_table_stands_behind_those_it_refers_to() -> None:
    names = [table.name for table in tables()]
    assert len(set(names)) == len(names) > 20
    assert names.index("node") < names.index("report")
    assert names.index("batch") < names.index("record")
    assert "server" not in names


async def test_a_database_that_is_in_use_is_not_restored_into(
    kept: tuple[Path, Database], tmp_path: Path
) -> None:
    directory, database = kept
    place = tmp_path / "elsewhere"
    place.mkdir()
    parts = parts_of(directory, database)
    with unavailable("in use"):
        restore(iter(parts), database, place)


async def test_another_key_beside_the_database_is_noticed(kept: tuple[Path, Database]) -> None:
    directory, database = kept
    (directory / "secrets.key").write_text("A" * 43 + "=\n")
    with unavailable("another key"):
        parts_of(directory, database)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[ArchivePart]:
    from tests.builders import open_store

    place = tmp_path_factory.mktemp("parts")

    async def made() -> list[ArchivePart]:
        async with open_store(place) as store:
            await store.write(fill)
            return parts_of(place, SqliteDatabase(place / "edgesync.db"))

    return asyncio.run(made())


def fresh(tmp_path: Path) -> tuple[Path, Database]:
    place = tmp_path / "elsewhere"
    place.mkdir()
    return place, SqliteDatabase(place / "edgesync.db")


def without(parts: list[ArchivePart], position: int) -> Iterator[ArchivePart]:
    return iter(parts[:position] + parts[position + 1 :])


async def test_a_part_that_is_missing_is_noticed_and_nothing_is_there_then(
    parts: list[ArchivePart], tmp_path: Path
) -> None:
    place, database = fresh(tmp_path)
    somewhere = next(i for i, (name, _) in enumerate(parts) if name == "tables/label")
    with unavailable("not whole"):
        restore(without(parts, somewhere), database, place)
    with database.look() as rows:
        assert list(rows(statement("SELECT name FROM node"))) == []


async def test_a_backup_without_its_end_is_not_whole(
    parts: list[ArchivePart], tmp_path: Path
) -> None:
    place, database = fresh(tmp_path)
    with unavailable("not whole"):
        restore(without(parts, len(parts) - 1), database, place)


async def test_a_backup_of_another_version_is_refused_with_that_version(
    parts: list[ArchivePart], tmp_path: Path
) -> None:
    begin = msgspec.json.decode(parts[0][1])
    begin["steps"].append("9999_of_the_future")
    place, database = fresh(tmp_path)
    with unavailable("version 1.2.3 made the backup"):
        restore(iter([(parts[0][0], msgspec.json.encode(begin)), *parts[1:]]), database, place)


def of_version(parts: list[ArchivePart], steps: tuple[Step, ...]) -> list[ArchivePart]:
    """The backup that a version with those *steps* would have made of the same rows."""
    begin, newer, older = (
        msgspec.json.decode(parts[0][1]),
        {table.name: table for table in tables()},
        {table.name: table for table in tables(steps)},
    )
    begin["steps"] = [name for name, _ in steps]
    made, counts = [(parts[0][0], msgspec.json.encode(begin))], dict.fromkeys(older, 0)
    for name, content in parts[1:-1]:
        table = older.get(name.removeprefix("tables/"))
        if table is not None:
            places = [newer[table.name].columns.index(column) for column in table.columns]
            rows = [msgspec.json.decode(line) for line in content.splitlines()]
            lines = [msgspec.json.encode([row[place] for place in places]) for row in rows]
            counts[table.name] += len(lines)
            made.append((name, b"\n".join(lines)))
        elif name.startswith("files/"):
            made.append((name, content))
    return [*made, (parts[-1][0], msgspec.json.encode({"rows": counts}))]


@pytest.mark.parametrize("step", ["0016_servers", "0027_said_intervals", STEPS[-2][0]])
async def test_a_backup_of_an_older_version_is_migrated(
    parts: list[ArchivePart], target: tuple[Path, Database, StoreFactory], step: str
) -> None:
    place, elsewhere, open_there = target
    steps = STEPS[: [name for name, _ in STEPS].index(step) + 1]
    restored = restore(iter(of_version(parts, steps)), elsewhere, place)
    assert restored.migrations == len(STEPS) - len(steps)
    assert taken_steps(elsewhere) == [name for name, _ in STEPS]
    async with open_there(place) as store:
        assert await store.read(lambda tx: tx.secret("default", "password")) == secret()
        assert await store.read(lambda tx: tx.list_nodes("default", ListOptions()).total) == 6
        assert int(await store.write(lambda tx: tx.next_version())) == VERSIONS_SKIPPED + 2


async def test_a_database_of_an_older_version_is_not_migrated_beside_its_server(
    tmp_path: Path,
) -> None:
    from tests.builders import open_store

    async with open_store(tmp_path):
        pass
    database = SqliteDatabase(tmp_path / "edgesync.db")
    with closing(sqlite3.connect(tmp_path / "edgesync.db", isolation_level=None)) as connection:
        last = "(SELECT max(name) FROM _sqlite_migrations)"
        connection.execute(f"DELETE FROM _sqlite_migrations WHERE name = {last}")  # noqa: S608
    before = taken_steps(database)
    assert len(before) == len(STEPS) - 1
    with unavailable("another version"):
        append_entry(database, tmp_path, command_entry(Action.SERVER_BACKUP, "b"))
    with unavailable("another version"):
        parts_of(tmp_path, database)
    assert taken_steps(database) == before


@pytest.mark.parametrize("name", ["files/../evil", "files//etc/evil", "files/"])
async def test_files_stay_within_the_directory(
    parts: list[ArchivePart], tmp_path: Path, name: str
) -> None:
    place, database = fresh(tmp_path)
    with unavailable("holds a file"):
        restore(iter([parts[0], (name, b""), *parts[1:]]), database, place)


def test_where_there_is_no_server_there_is_no_backup(tmp_path: Path) -> None:
    with unavailable("there is no"):
        parts_of(tmp_path, SqliteDatabase(tmp_path / "edgesync.db"))

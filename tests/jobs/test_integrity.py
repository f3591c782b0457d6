"""A look through the whole database: what is damaged is found, and nothing waits for it."""

import asyncio
import re
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cloud.errors import Unavailable
from cloud.http.metrics import Metrics
from cloud.jobs.integrity import IntegrityCheck
from cloud.opening import database_of
from cloud.store.upkeep import Database
from tests.conftest import StoreFactory

NOW = datetime(2026, 7, 1, tzinfo=UTC)


def check_of(database: Database, metrics: Metrics | None = None) -> IntegrityCheck:
    every = timedelta(hours=1)
    metrics = metrics or Metrics()
    return IntegrityCheck(database, lambda: NOW, metrics, every=every, first_after=timedelta())


async def test_a_database_that_is_whole_has_no_damage(
    tmp_path: Path, open_again: StoreFactory, database_url: Callable[[Path], str]
) -> None:
    async with open_again(tmp_path) as store:
        metrics = Metrics()
        check = check_of(database_of(tmp_path, database_url(tmp_path)), metrics)
        assert check.report() is None
        began = asyncio.Event()

        async def write_on() -> int:
            count = 0
            while not began.is_set() or count == 0:
                await store.write(lambda tx: tx.probe())
                count += 1
            return count

        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(write_on())
            found = await check.check()
            began.set()
        assert await writing > 0
        assert found.damaged == ()
        assert found.tables > 30
        assert check.report() == {
            "time": "2026-07-01T00:00:00Z",
            "seconds": 0,
            "tables": found.tables,
            "damaged": 0,
        }
        text = bytes((await metrics.response()).body).decode()
        assert "edgesync_integrity_damaged_tables 0.0" in text
        [time] = re.findall(r"^edgesync_integrity_check_timestamp_seconds (\S+)", text, re.M)
        assert float(time) == NOW.timestamp()


def damaged_file(path: Path) -> str:
    """A database in which the root page of one table is garbage; the table's name."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE whole (text TEXT)")
        connection.execute("CREATE TABLE broken (text TEXT)")
        rows = [("x" * 100,)] * 1000
        connection.executemany("INSERT INTO whole VALUES (?)", rows)
        connection.executemany("INSERT INTO broken VALUES (?)", rows)
        connection.commit()
        find = "SELECT rootpage FROM sqlite_master WHERE name = 'broken'"
        [(page,)] = connection.execute(find).fetchall()
        [(size,)] = connection.execute("PRAGMA page_size").fetchall()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    return "broken"


async def test_damage_is_found_named_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "edgesync.db"
    name = damaged_file(path)
    check = check_of(database_of(tmp_path, ""))
    found = await check.check()
    assert found.damaged == (name,)
    assert f"the table {name} of the database is damaged" in caplog.text
    report = check.report()
    assert report is not None
    assert report["damaged"] == 1


def test_a_check_that_is_to_stop_stops(tmp_path: Path) -> None:
    path = tmp_path / "edgesync.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE much (text TEXT)")
        connection.executemany("INSERT INTO much VALUES (?)", [("x",)] * 50_000)
        connection.commit()
    stop = threading.Event()
    stop.set()
    database = database_of(tmp_path, "")
    assert database.damage("much", stop) == ""


async def test_what_cannot_be_read_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    check = check_of(database_of(tmp_path, ""))
    with pytest.raises(Unavailable):
        await check.check()
    assert check.last is None

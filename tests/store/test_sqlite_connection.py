"""A connection is durable, translates errors, and recovers."""

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cloud.errors import Unavailable
from cloud.store.parts.part import BrokenReference, DuplicateKey, Run
from cloud.store.sqlite_connection import SqliteConnection, open_connection
from cloud.store.statements import statement

WAIT = timedelta(milliseconds=20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "test.db"
    path.touch()
    with contextlib.closing(open_connection(path, lock_wait=WAIT)) as connection:
        connection.execute("CREATE TABLE text (text TEXT PRIMARY KEY)")
        connection.execute("CREATE TABLE reference (text TEXT REFERENCES text (text))")
    return path


@pytest.fixture
def connection(path: Path) -> Iterator[SqliteConnection]:
    opened = SqliteConnection(path, lock_wait=WAIT, read_only=False)
    yield opened
    opened.close()


def texts(run: Run) -> list[str]:
    return [text for (text,) in run(statement("SELECT text FROM text ORDER BY text"), {})]


def put(run: Run, text: str) -> None:
    run(statement("INSERT INTO text (text) VALUES (:text)"), {"text": text})


def fill_the_disk(run: Run) -> None:
    run(statement("PRAGMA max_page_count = 1"), {})
    put(run, "x" * 100_000)


def test_a_commit_is_on_disk_before_it_returns(path: Path) -> None:
    full = 2
    with contextlib.closing(open_connection(path, lock_wait=WAIT)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (full,)
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (20,)


def test_a_file_that_is_gone_is_not_made_anew(path: Path) -> None:
    path.unlink()
    with pytest.raises(Unavailable):
        SqliteConnection(path, lock_wait=WAIT, read_only=False).in_transaction(texts)
    assert not path.exists()


def test_rows_that_break_a_rule_are_refused_and_the_work_may_go_on(
    connection: SqliteConnection,
) -> None:
    def work(run: Run) -> None:
        put(run, "a")
        with pytest.raises(DuplicateKey):
            put(run, "a")
        with pytest.raises(BrokenReference):
            run(statement("INSERT INTO reference (text) VALUES ('b')"), {})
        put(run, "b")

    connection.in_transaction(work)
    assert connection.in_transaction(texts) == ["a", "b"]


def test_work_that_goes_on_after_trouble_is_not_committed(connection: SqliteConnection) -> None:
    def work(run: Run) -> str:
        put(run, "a")
        with contextlib.suppress(Unavailable):
            fill_the_disk(run)
        with contextlib.suppress(Unavailable):
            put(run, "b")
        return "done"

    with pytest.raises(Unavailable):
        connection.in_transaction(work)
    assert connection.in_transaction(texts) == []


def test_after_trouble_the_next_transaction_starts_afresh(connection: SqliteConnection) -> None:
    with pytest.raises(Unavailable):
        connection.in_transaction(fill_the_disk)
    connection.in_transaction(lambda run: put(run, "x" * 100_000))
    assert len(connection.in_transaction(texts)) == 1


def test_a_transaction_that_ended_itself_is_trouble_and_nothing_hangs(
    connection: SqliteConnection,
) -> None:
    def work(run: Run) -> None:
        put(run, "a")
        run(statement("ROLLBACK"), {})

    with pytest.raises(Unavailable):
        connection.in_transaction(work)
    connection.in_transaction(lambda run: put(run, "b"))
    assert connection.in_transaction(texts) == ["b"]


def test_a_wrong_value_is_a_defect_and_not_trouble(connection: SqliteConnection) -> None:
    with pytest.raises(OverflowError):
        connection.in_transaction(lambda run: run(statement("SELECT :n"), {"n": 2**63}))
    with pytest.raises(sqlite3.ProgrammingError):
        connection.in_transaction(lambda run: run(statement("SELECT :missing"), {}))
    assert connection.in_transaction(texts) == []


def test_one_that_only_reads_cannot_write(path: Path) -> None:
    reader = SqliteConnection(path, lock_wait=WAIT, read_only=True)
    with pytest.raises(RuntimeError):
        reader.in_transaction(lambda run: put(run, "a"))
    assert reader.in_transaction(texts) == []
    reader.close()


def test_closing_twice_is_closing_once(connection: SqliteConnection) -> None:
    connection.in_transaction(texts)
    connection.close()
    connection.close()

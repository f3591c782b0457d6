"""Any tampering with the audit log in the database is found."""

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloud.core.audit import SERVER, Action, Attempt, Entry, Head, Verdict
from cloud.errors import Unavailable
from cloud.operations.audit import prune, start_log
from cloud.store.log_check import check_log
from cloud.store.transaction import Store
from cloud.store.upkeep import SqliteDatabase
from tests.builders import open_store
from tests.store.conftest import LATER, NOW

COUNT = 6
TEXTS = (
    *("actor_kind", "actor_name", "actor_namespace", "action", "namespace", "name", "address"),
    *("request_id", "reason", "outcome", "before", "after", "also", "code"),
)


async def append(store: Store, count: int) -> Head:
    def work(count: int) -> Callable[..., Head]:
        attempt = Attempt(SERVER, "app.update", NOW, "default", f"app{count}")
        return lambda tx: tx.append_audit(Entry(attempt, after='{"a":1}')).head

    head = Head()
    for number in range(count):
        head = await store.write(work(number))
    return head


def checked(directory: Path, **known: Any) -> Verdict:
    return check_log(SqliteDatabase(directory / "edgesync.db"), directory, **known)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose log has COUNT entries."""
    directory = tmp_path_factory.mktemp("untouched")

    async def fill() -> None:
        async with open_store(directory) as store:
            await append(store, COUNT)

    asyncio.run(fill())
    return directory


@pytest.fixture
def directory(untouched: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(untouched, tmp_path / "data"))


def tamper(directory: Path, *statements: str) -> None:
    """Change the database as an attacker would who bypasses the triggers."""
    with sqlite3.connect(directory / "edgesync.db") as database:
        triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in triggers.fetchall():
            database.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert database.execute(statement).rowcount
    database.close()


def refused(directory: Path) -> str:
    """Why the log cannot be checked."""
    with pytest.raises(Unavailable) as error:
        checked(directory)
    return error.value.reason


def test_an_untouched_log_verifies(directory: Path) -> None:
    assert checked(directory) == Verdict(COUNT, checked(directory).head)
    assert checked(directory).head.number == COUNT


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET name = 'x' WHERE number = 3",
        "DELETE FROM audit_entry WHERE number = 3",
        "INSERT INTO audit_entry SELECT 99, time, actor_kind, actor_name, actor_namespace, action,"
        " namespace, name, address, request_id, reason, outcome, before, after, also, code"
        " FROM audit_entry WHERE number = 6",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET number = 3",
    ],
)
def test_the_database_itself_refuses_all_but_growth(directory: Path, statement: str) -> None:
    database = sqlite3.connect(directory / "edgesync.db")
    with pytest.raises(sqlite3.IntegrityError, match="only grows"):
        database.execute(statement)
    database.close()


@pytest.mark.parametrize(
    "column",
    TEXTS,
)
def test_any_changed_text_is_found(directory: Path, column: str) -> None:
    tamper(directory, f"UPDATE audit_entry SET {column} = {column} || 'x' WHERE number = 3")  # noqa: S608
    verdict = checked(directory)
    assert (verdict.broken, verdict.checked, verdict.head.number) == (3, 2, 2)


@pytest.mark.parametrize("time", ["time + 1", "9223372036854775807", "-9223372036854775808"])
def test_any_changed_time_is_found(directory: Path, time: str) -> None:
    tamper(directory, f"UPDATE audit_entry SET time = {time} WHERE number = 3")  # noqa: S608
    assert checked(directory).broken == 3


def test_text_that_is_none_is_found(directory: Path) -> None:
    tamper(directory, "UPDATE audit_entry SET name = CAST(x'ff' AS TEXT) WHERE number = 3")
    assert checked(directory).broken == 3


def test_a_removed_entry_is_found(directory: Path) -> None:
    tamper(directory, "DELETE FROM audit_entry WHERE number = 3")
    assert checked(directory).broken == 3
    assert checked(directory).reason == "it is missing"


def test_an_entry_whose_gap_was_closed_is_found(directory: Path) -> None:
    tamper(
        directory,
        "DELETE FROM audit_entry WHERE number = 3",
        "UPDATE audit_entry SET number = number - 1 WHERE number > 3",
        "UPDATE audit_head SET number = 5",
    )
    assert checked(directory).broken == 3


def test_an_entry_that_was_put_in_is_found(directory: Path) -> None:
    tamper(
        directory,
        "UPDATE audit_entry SET number = -number WHERE number > 3",
        "UPDATE audit_entry SET number = 1 - number WHERE number < 0",
        "INSERT INTO audit_entry SELECT 4, time, actor_kind, actor_name, actor_namespace, action,"
        " namespace, 'forged', address, request_id, reason, outcome, before, after, also, code"
        " FROM audit_entry WHERE number = 3",
        "UPDATE audit_head SET number = 7",
    )
    assert checked(directory).broken == 4


def test_an_entry_that_was_put_in_front_or_behind_is_found(directory: Path) -> None:
    copied = (
        "INSERT INTO audit_entry SELECT {}, time, actor_kind, actor_name, actor_namespace, action,"
        " namespace, name, address, request_id, reason, outcome, before, after, also, code"
        " FROM audit_entry WHERE number = 1"
    )
    tamper(directory, copied.format(0))
    assert checked(directory).broken == 0 + checked(directory).head.number
    tamper(directory, "DELETE FROM audit_entry WHERE number = 0")
    assert checked(directory).broken == 0
    tamper(directory, copied.format(COUNT + 1))
    assert checked(directory).broken == COUNT + 1


def test_entries_that_changed_places_are_found(directory: Path) -> None:
    tamper(
        directory,
        "UPDATE audit_entry SET number = -3 WHERE number = 3",
        "UPDATE audit_entry SET number = 3 WHERE number = 4",
        "UPDATE audit_entry SET number = 4 WHERE number = -3",
    )
    assert checked(directory).broken == 3


def test_an_end_that_was_cut_off_is_found(directory: Path) -> None:
    tamper(directory, "DELETE FROM audit_entry WHERE number = 6")
    assert checked(directory).broken == 6
    tamper(
        directory,
        "DELETE FROM audit_entry WHERE number > 4",
        "UPDATE audit_head SET number = 4, code = (SELECT code FROM audit_entry WHERE number = 4)",
    )
    verdict = checked(directory)
    assert (verdict.broken, verdict.head.number) == (5, 4)
    assert "up to entry 6" in verdict.reason


def test_a_log_that_was_emptied_is_found(directory: Path) -> None:
    tamper(
        directory,
        "DELETE FROM audit_entry",
        "UPDATE audit_head SET number = 0, code = '', gone = 0, gone_code = ''",
    )
    assert checked(directory).broken == 1


def test_a_beginning_that_was_cut_off_is_found(directory: Path) -> None:
    tamper(directory, "DELETE FROM audit_entry WHERE number <= 3")
    assert checked(directory).broken == 1
    tamper(directory, "UPDATE audit_head SET gone = 3")
    assert checked(directory).broken == 4


def test_a_lost_head_is_found(directory: Path) -> None:
    tamper(directory, "DELETE FROM audit_head")
    assert "lost its head" in refused(directory)


def test_what_is_no_log_cannot_be_checked(directory: Path) -> None:
    tamper(directory, "UPDATE audit_head SET code = code")
    (directory / "audit.key").rename(directory / "key")
    assert "audit.key" in refused(directory)
    assert not (directory / "audit.key").exists()
    (directory / "key").rename(directory / "audit.key")
    (directory / "audit.head").write_text("nonsense")
    assert "audit.head" in refused(directory)
    (directory / "audit.head").unlink()
    (directory / "edgesync.db").write_bytes(b"no database at all" * 100)
    assert "no audit log" in refused(directory)


async def test_the_log_is_checked_while_it_grows(tmp_path: Path) -> None:
    verdicts: list[Verdict] = []
    done = threading.Event()

    def check() -> None:
        while not done.is_set():
            verdicts.append(checked(tmp_path))

    async with open_store(tmp_path) as store:
        await append(store, 1)
        checking = threading.Thread(target=check)
        checking.start()
        while len(verdicts) < 20:
            await append(store, 1)
        done.set()
        checking.join(timeout=60)
        head = await store.read(lambda tx: tx.audit_head())
    assert {verdict.broken for verdict in verdicts} == {0}
    assert len({verdict.head for verdict in verdicts}) > 1
    assert checked(tmp_path).head == head


async def test_a_pruned_log_is_whole(directory: Path) -> None:
    async with open_store(directory) as store:
        gone = await store.write(lambda tx: prune(tx, keep=2, oldest=NOW, now=LATER))
        assert gone == COUNT - 1
        assert await store.write(lambda tx: prune(tx, keep=3, oldest=NOW, now=LATER)) == 0
        assert checked(directory).checked == 2
        await append(store, 2)
        assert await store.write(lambda tx: prune(tx, keep=99, oldest=LATER, now=LATER)) == 1
    verdict = checked(directory)
    assert (verdict.broken, verdict.head.number) == (0, COUNT + 4)


async def test_a_head_that_was_kept_elsewhere_is_asked_for(directory: Path) -> None:
    kept = checked(directory).head
    async with open_store(directory) as store:
        await append(store, 1)
    assert checked(directory, noted=[kept]).broken == 0
    assert checked(directory, noted=[Head(kept.number, "0" * 64)]).broken == kept.number
    assert checked(directory, noted=[Head(COUNT + 5, "0" * 64)]).broken == COUNT + 2


async def test_a_server_that_starts_logs_that_the_log_was_cut(directory: Path) -> None:
    shutil.copytree(directory, directory.with_name("older"))
    async with open_store(directory) as store:
        noted = await append(store, 2)
        assert await store.write(lambda tx: start_log(tx, noted, version="1", now=LATER))
    shutil.copy(directory.with_name("older") / "edgesync.db", directory)
    async with open_store(directory) as store:
        assert not await store.write(lambda tx: start_log(tx, noted, version="1", now=LATER))
        link = await store.read(lambda tx: tx.audit_link(COUNT + 1))
    assert link is not None
    assert link.entry.attempt.action == Action.LOG_CUT
    assert link.entry.also == '{"found":6,"noted":8}'
    verdict = checked(directory)
    assert verdict.broken == COUNT + 1
    assert checked(directory, known_cuts=frozenset({COUNT + 1})).broken == 0


async def test_a_log_that_was_written_anew_is_cut_too(directory: Path) -> None:
    async with open_store(directory) as store:
        other = Head(COUNT, "0" * 64)
        assert not await store.write(lambda tx: start_log(tx, other, version="1", now=LATER))


async def test_a_first_start_and_a_pruned_head_are_no_cut(directory: Path) -> None:
    async with open_store(directory) as store:
        noted = await store.read(lambda tx: tx.audit_head())
        await append(store, 1)
        await store.write(lambda tx: prune(tx, keep=0, oldest=NOW, now=LATER))
        assert await store.write(lambda tx: start_log(tx, noted, version="1", now=LATER))
        assert await store.write(lambda tx: start_log(tx, None, version="1", now=LATER))

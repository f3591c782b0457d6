"""What becomes of an audit log in PostgreSQL is found, too; see `test_log_check` for SQLite."""

import threading
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from cloud.core.audit import Head, Verdict
from cloud.errors import Unavailable
from cloud.store.log_check import check_log
from cloud.store.postgres_upkeep import PostgresDatabase
from edgesync.__main__ import main
from tests.conftest import open_on
from tests.postgres import NEEDS_POSTGRES, Postgres
from tests.store.test_log_check import COUNT, append

pytestmark = NEEDS_POSTGRES

COLUMNS = """time, actor_kind, actor_name, actor_namespace, action, namespace, name, address,
request_id, reason, outcome, before, after, also, code"""


@pytest.fixture
async def url(postgres: Postgres, tmp_path: Path) -> str:
    """A database whose log has COUNT entries; the data directory is `tmp_path`."""
    async with open_on(postgres)(tmp_path) as store:
        await append(store, COUNT)
    return postgres.schema_of(tmp_path)


def checked(url: str, directory: Path) -> Verdict:
    return check_log(PostgresDatabase(url), directory)


def tamper(url: str, *statements: str) -> None:
    """Change the database as an attacker would who bypasses the triggers."""
    with psycopg.connect(url) as connection:
        for table in ("audit_entry", "audit_head"):
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
        for statement in statements:
            assert connection.execute(statement.encode()).rowcount


async def test_an_untouched_log_verifies(url: str, tmp_path: Path) -> None:
    verdict = checked(url, tmp_path)
    assert (verdict.checked, verdict.head.number, verdict.broken) == (COUNT, COUNT, 0)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET name = 'x' WHERE number = 3",
        "DELETE FROM audit_entry WHERE number = 3",
        f"INSERT INTO audit_entry SELECT 99, {COLUMNS} FROM audit_entry WHERE number = 6",  # noqa: S608
        "DELETE FROM audit_head",
        "UPDATE audit_head SET number = 3",
    ],
)
async def test_the_database_itself_refuses_all_but_growth(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection, pytest.raises(psycopg.Error, match="only grows"):
        connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("broken", "statements"),
    [
        (3, ["UPDATE audit_entry SET name = 'x' WHERE number = 3"]),
        (3, ["UPDATE audit_entry SET time = time + 1 WHERE number = 3"]),
        (3, ["UPDATE audit_entry SET time = 9223372036854775807 WHERE number = 3"]),
        (3, ["DELETE FROM audit_entry WHERE number = 3"]),
        (4, [f"INSERT INTO audit_entry SELECT 7, {COLUMNS} FROM audit_entry WHERE number = 3",  # noqa: S608
             "DELETE FROM audit_entry WHERE number = 4"]),
        (6, ["DELETE FROM audit_entry WHERE number = 6"]),
        (5, ["DELETE FROM audit_entry WHERE number > 4",
             "UPDATE audit_head SET number = 4,"
             " code = (SELECT code FROM audit_entry WHERE number = 4)"]),
        (1, ["DELETE FROM audit_entry WHERE number <= 3"]),
        (4, ["DELETE FROM audit_entry WHERE number <= 3", "UPDATE audit_head SET gone = 3"]),
        (1, ["DELETE FROM audit_entry",
             "UPDATE audit_head SET number = 0, code = '', gone = 0, gone_code = ''"]),
    ],
)  # fmt: skip
async def test_what_was_done_to_it_is_found(
    url: str, tmp_path: Path, broken: int, statements: list[str]
) -> None:
    tamper(url, *statements)
    assert checked(url, tmp_path).broken == broken


async def test_what_is_no_log_cannot_be_checked(
    url: str, postgres: Postgres, tmp_path: Path
) -> None:
    tamper(url, "DELETE FROM audit_head")
    for wrong in (url, postgres.url("postgres"), postgres.url("nothing")):
        with pytest.raises(Unavailable) as caught:
            checked(wrong, tmp_path)
        assert "no audit log" in caught.value.reason
    with pytest.raises(Unavailable) as caught:
        checked(url, tmp_path / "elsewhere")
    assert "audit.key" in caught.value.reason


async def test_it_is_checked_while_it_grows_and_by_the_command(
    url: str, postgres: Postgres, tmp_path: Path
) -> None:
    verdicts: list[Verdict] = []
    done = threading.Event()

    def check() -> None:
        while not done.is_set():
            verdicts.append(checked(url, tmp_path))

    async with open_on(postgres)(tmp_path) as store:
        checking = threading.Thread(target=check)
        checking.start()
        while len(verdicts) < 20:
            await append(store, 1)
        done.set()
        checking.join(timeout=60)
        head: Head = await store.read(lambda tx: tx.audit_head())
        command = ["audit", "verify", "--data-dir", str(tmp_path)]
        result = CliRunner().invoke(main, [*command, "--database", url])
    assert {verdict.broken for verdict in verdicts} == {0}
    assert (result.exit_code, f"{head.number}:{head.code}" in result.output) == (0, True)
    tamper(url, "DELETE FROM audit_entry WHERE number = 3")
    result = CliRunner().invoke(main, command, env={"EDGESYNC_DATABASE": url})
    assert (result.exit_code, "entry 3: it is missing" in result.output) == (1, True)


async def test_the_key_is_changed_by_the_command(url: str, tmp_path: Path) -> None:
    command = ["rekey", "--data-dir", str(tmp_path), "--database", url]
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, result.output[:11]) == (0, "0 documents")
    assert checked(url, tmp_path).head.number == COUNT + 1
    assert not (tmp_path / "edgesync.db").exists()

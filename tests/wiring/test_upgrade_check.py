"""`edgesync upgrade check`: what it finds in a database, its settings and the disk."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from cloud.app import open_cloud
from cloud.config import Settings
from cloud.store.migrations import STEPS
from cloud.store.rows import micros
from edgesync import version
from edgesync.__main__ import main


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """A directory in which a server ran."""
    settings = Settings(
        data_dir=tmp_path / "data", api_port=0, activation_port=0, mqtt_port=0, sync_port=0
    )
    async with open_cloud(settings, version="0.1.0"):
        pass
    return tmp_path / "data"


def checked(data: Path, *options: str, code: int = 0) -> list[str]:
    """The lines, with single spaces."""
    done = CliRunner().invoke(main, ["upgrade", "check", "--data-dir", str(data), *options])
    assert done.exit_code == code, done.output
    return [" ".join(line.split()) for line in done.output.splitlines()]


def change(data: Path, statement: str, *values: object) -> None:
    """Change the database behind the back of the program."""
    path = data / "edgesync.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement, values)


async def test_a_database_of_this_version_needs_nothing(data: Path) -> None:
    lines = checked(data)
    assert f"ok last start 0.1.0 -> {version()}" in lines
    assert "ok schema no migration; roll back without a backup" in lines
    assert "ok node agents 0 nodes" in lines
    assert f"ok settings {data / 'settings.toml'}: no deprecated names" in lines
    assert any(line.startswith("ok disk a backup needs up to ") for line in lines)


async def test_pending_steps_are_named_with_the_rows_that_they_change(data: Path) -> None:
    """The step is only forgotten: the check reads, and takes none."""
    change(data, "INSERT INTO node VALUES ('default', 'n', '{}', 1, 1, '', '', '', 0)")
    name = "0028_node_status"
    change(data, "DELETE FROM _sqlite_migrations WHERE name = ?", name)
    assert f"ok schema 1 steps, 1 rows, about 1 s: {name}" in checked(data)
    assert f"ok schema 1 steps, 1 rows, about 1 s: {name}" in checked(data)


async def test_a_newer_database_is_an_error(data: Path) -> None:
    change(data, "UPDATE _sqlite_migrations SET name = '9999_x' WHERE name = ?", STEPS[-1][0])
    lines = checked(data, code=1)
    assert "error schema a newer version has written the database: it took 9999_x" in lines


async def test_running_servers_have_to_be_of_a_version_that_works_beside(data: Path) -> None:
    now = micros(datetime.now(UTC))
    for name, seen, found in (
        ("fits", now, version()),
        ("older", now, ""),
        ("other", now, "9.9.9"),
        ("gone", now - 60_000_000, "9.9.9"),
    ):
        values = (name, seen, found)
        change(data, "INSERT INTO server (id, seen, version) VALUES (?, ?, ?)", *values)
    lines = checked(data, code=1)
    assert f"ok server fits {version()} -> {version()}" in lines
    assert any(
        line.startswith("warning server older its version is not recorded") for line in lines
    )
    assert any(line.startswith("error server other 9.9.9 does not work beside") for line in lines)
    assert not any("gone" in line for line in lines)


async def test_agents_that_are_too_old_are_counted(data: Path) -> None:
    columns = "namespace, created, name, report_interval, deploy, agent, revoked"
    for number, agent in enumerate(("edgesync-agent 1", "edgesync-agent 1", "edgesync-agent 99")):
        insert = f"INSERT INTO node_status ({columns}) VALUES ('default', ?, ?, 1, '', ?, 0)"  # noqa: S608
        change(data, insert, number, f"n{number}", agent)
    assert any(
        line.startswith("warning node agents 2 nodes with edgesync-agent 1, older")
        for line in checked(data)
    )


async def test_settings_that_prevent_the_start_are_an_error(data: Path) -> None:
    file = data / "next.toml"
    file.write_text("no_such_setting = 1\n")
    lines = checked(data, "--config", str(file), code=1)
    assert any(line.startswith(f"error settings {file}: no_such_setting") for line in lines)


def test_where_no_server_ran_there_is_nothing_to_check(tmp_path: Path) -> None:
    lines = checked(tmp_path, code=1)
    assert lines == ["Error: the database has never been opened by a server"]

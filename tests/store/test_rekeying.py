"""Everything is sealed with a new key, whatever happens meanwhile."""

import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cloud.core.batch import Batch, BatchSpec
from cloud.core.callback import Callback, CallbackSpec
from cloud.core.config import Config, ConfigItem, ConfigSpec, KeyValue
from cloud.core.registry import Registry, RegistrySpec
from cloud.core.secret import Secret, SecretSpec
from cloud.errors import Unavailable
from cloud.store.interface import Transaction
from cloud.store.rekeying import rekey, settle_key
from tests.builders import open_store

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SECRET = Secret("default", "password", SecretSpec({"k": "v"}), "1", NOW, NOW)
CONFIG = Config("other", "conf", ConfigSpec(data=(ConfigItem("a", KeyValue("b")),)), "2", NOW, NOW)
HUB = RegistrySpec("hub.example.com", "puller", "open sesame")
REGISTRY = Registry("default", "hub", HUB, "3", NOW, NOW)
BATCH = Batch("default", "line", BatchSpec(security_key="token"), NOW, NOW)
HOOK = Callback("default", "hook", CallbackSpec("https://h", secret="hidden"), NOW, NOW)

PROCESS = Path(__file__).parent / "rekey_process.py"
ROOT = PROCESS.parent.parent.parent


def put_all(tx: Transaction) -> None:
    tx.put_secret(SECRET)
    tx.put_config(CONFIG)
    tx.put_registry(REGISTRY)
    tx.put_batch(BATCH)
    tx.put_callback(HOOK)


def got(tx: Transaction) -> object:
    return (
        tx.secret("default", "password"),
        tx.config("other", "conf"),
        tx.registry("default", "hub"),
        tx.batch("default", "line"),
        tx.callback("default", "hook"),
    )


ALL = (SECRET, CONFIG, REGISTRY, BATCH, HOOK)


@pytest.fixture
async def directory(tmp_path: Path) -> Path:
    async with open_store(tmp_path) as store:
        await store.write(put_all)
    return tmp_path


def files(directory: Path) -> tuple[Path, Path]:
    return directory / "edgesync.db", directory / "secrets.key"


def database_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("edgesync.db*"))


def documents(directory: Path) -> set[str]:
    connection = sqlite3.connect(directory / "edgesync.db")
    try:
        query = (
            "SELECT document FROM resource UNION SELECT document FROM batch"
            " UNION SELECT document FROM callback"
        )
        return {row[0] for row in connection.execute(query)}
    finally:
        connection.close()


def die_at(point: str, directory: Path) -> None:
    command = [sys.executable, str(PROCESS), str(directory), point]
    died = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=False)
    assert died.returncode == 9


async def read_all(directory: Path) -> object:
    async with open_store(directory) as store:
        return await store.read(got)


async def test_all_is_there_under_a_new_key(directory: Path) -> None:
    database, key = files(directory)
    old_key, before = key.read_bytes(), documents(directory)
    assert rekey(database, key) == len(ALL)
    assert key.read_bytes() != old_key
    assert documents(directory).isdisjoint(before)
    assert await read_all(directory) == ALL
    assert not (directory / "secrets.key.new").exists()


async def test_nothing_that_the_old_key_could_open_is_left(directory: Path) -> None:
    long = replace(SECRET, name="long", spec=SecretSpec({"k": "v" * 30_000}))
    async with open_store(directory) as store:
        await store.write(lambda tx: tx.put_secret(long))
    parts = {text[-100:].encode() for text in documents(directory)}
    connection = sqlite3.connect(directory / "edgesync.db")
    connection.execute("PRAGMA secure_delete = OFF")  # as where SQLite was built without it
    with connection:
        connection.execute("DELETE FROM resource WHERE name = 'long'")
    connection.close()
    rekey(*files(directory))
    left = b"".join(path.read_bytes() for path in database_files(directory))
    assert not [part for part in parts if part in left]


async def test_the_old_key_opens_nothing_any_more(directory: Path) -> None:
    database, key = files(directory)
    old_key = key.read_bytes()
    rekey(database, key)
    key.write_bytes(old_key)
    with pytest.raises(Unavailable):
        await read_all(directory)


@pytest.mark.parametrize("point", ["key made", "sealed", "committed", "in place"])
async def test_a_crash_at_any_point_loses_nothing(directory: Path, point: str) -> None:
    database, key = files(directory)
    old_key = key.read_bytes()
    die_at(point, directory)
    settle_key(database, key)
    assert not (directory / "secrets.key.new").exists()
    assert (key.read_bytes() == old_key) is (point in {"key made", "sealed"})
    assert await read_all(directory) == ALL
    assert rekey(database, key) == len(ALL)
    assert await read_all(directory) == ALL


async def test_a_crash_can_be_followed_by_another_try(directory: Path) -> None:
    for point in ("key made", "sealed", "committed", "in place"):
        die_at(point, directory)
    rekey(*files(directory))
    assert await read_all(directory) == ALL


async def test_a_database_in_use_is_left_alone(directory: Path) -> None:
    database, key = files(directory)
    old_key = key.read_bytes()
    async with open_store(directory) as store:
        with pytest.raises(Unavailable):
            rekey(database, key)
        assert await store.read(got) == ALL
    assert key.read_bytes() == old_key
    assert not (directory / "secrets.key.new").exists()


async def test_another_key_changes_nothing(directory: Path) -> None:
    database, key = files(directory)
    right, before = key.read_bytes(), documents(directory)
    key.write_bytes(b"A" * 43 + b"=\n")
    with pytest.raises(Unavailable):
        rekey(database, key)
    assert documents(directory) == before
    key.write_bytes(right)
    settle_key(database, key)
    assert await read_all(directory) == ALL


def test_there_is_nothing_to_do_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        rekey(*files(tmp_path))
    settle_key(*files(tmp_path))
    assert not list(tmp_path.iterdir())


async def test_a_config_of_an_older_version_is_sealed_too(directory: Path) -> None:
    connection = sqlite3.connect(directory / "edgesync.db")
    with connection:
        plain = '{"data":[{"key":"a","value":{"type":"kv","value":"b"}}]}'
        connection.execute("UPDATE resource SET document = ? WHERE kind = 'config'", (plain,))
    connection.close()
    rekey(*files(directory))
    assert all(text.startswith("sealed:") for text in documents(directory))
    assert await read_all(directory) == ALL

"""Everything is sealed with a new key, whatever happens meanwhile."""

import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from cloud.core.app import App, AppSpec, Ref, Volume
from cloud.core.audit import ADMINISTRATOR, UNKNOWN
from cloud.core.batch import Batch, BatchSpec
from cloud.core.callback import Callback, CallbackSpec
from cloud.core.commands import Command, CommandKind, CommandStatus, NodeResponse
from cloud.core.config import Config, ConfigItem, ConfigSpec, KeyValue
from cloud.core.local_users import LocalUser
from cloud.core.node import Node, NodeSpec
from cloud.core.registry import Registry, RegistrySpec
from cloud.core.revisions import (
    Revision,
    RevisionAction,
    StoredRevision,
    Thing,
)
from cloud.core.secret import Secret, SecretSpec
from cloud.core.secret_source import SecretSource, SourceState
from cloud.errors import Unavailable
from cloud.opening import database_of
from cloud.store.key_encryption import KEY_BYTES, KeyFromOutside
from cloud.store.rekeying import encrypt_key, rekey, settle_key
from cloud.store.sealing import sealing_key_id
from cloud.store.statements import Statement, statement
from cloud.store.transaction import Transaction
from cloud.store.upkeep import Database
from tests.conftest import StoreFactory
from tests.postgres import NEEDS_POSTGRES, Postgres
from tests.preloaded import ForkedProcess
from tests.store.conftest import WAIT

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SECRET = Secret("default", "password", SecretSpec({"k": "v"}), "1", NOW, NOW)
CONFIG = Config("other", "conf", ConfigSpec(data=(ConfigItem("a", KeyValue("b")),)), "2", NOW, NOW)
HUB = RegistrySpec("hub.example.com", "puller", "open sesame")
REGISTRY = Registry("default", "hub", HUB, "3", NOW, NOW)
BATCH = Batch("default", "line", BatchSpec(security_key="token"), NOW, NOW)
SOURCED = Secret(
    "default", "sourced", SecretSpec(data_from={"k": SecretSource(file="k")}), "5", NOW, NOW
)
STATE = SourceState("salt", "digest", "unreadable", NOW)
HOOK = Callback("default", "hook", CallbackSpec("https://h", secret="hidden"), NOW, NOW)
COMMAND = Command(
    id="c",
    namespace="default",
    name="gate",
    command=CommandKind.LOGS,
    actor=ADMINISTRATOR,
    created=NOW,
    deadline=NOW + timedelta(seconds=30),
)
ANN = LocalUser("ann", "id", "$argon2id$", {"*": "admin"}, NOW, NOW, totp="SECRET")
ANSWER = NodeResponse(CommandStatus.DONE, "lines of the log")
USES_SECRET = AppSpec(volumes=(Volume("s", secret=Ref("password")),))
OLDER = Thing("secret", "default", "older")
APP = App("default", "web", USES_SECRET, "4", NOW, NOW)
MADE = Revision(1, "1", NOW, UNKNOWN, "", RevisionAction.CREATE)

pytestmark = pytest.mark.slow  # each test starts processes


def put_all(tx: Transaction) -> None:
    tx.put_resource(SECRET)
    tx.put_resource(SOURCED)
    tx.put_source_state("default", "sourced", STATE)
    tx.put_resource(CONFIG)
    tx.put_resource(REGISTRY)
    tx.put_batch(BATCH)
    tx.put_callback(HOOK)
    tx.put_local_user(ANN)
    tx.put_node(Node("default", "gate", NodeSpec(), NOW, NOW))
    tx.add_command(COMMAND)
    tx.end_command("default", "gate", "c", ANSWER, NOW)
    tx.put_revision(OLDER, MADE, SECRET.spec)
    tx.put_resource(APP)
    tx.pin_version(APP)
    tx.delete_resource(APP.kind, "default", "web")


def got(tx: Transaction) -> object:
    return (
        tx.secret("default", "password"),
        tx.secret("default", "sourced"),
        tx.source_state("default", "sourced"),
        tx.config("other", "conf"),
        tx.registry("default", "hub"),
        tx.batch("default", "line"),
        tx.callback("default", "hook"),
        tx.command("default", "gate", "c"),
        tx.revision(OLDER, 1),
        tx.pinned_body(Secret, "default", "password", "1"),
        tx.local_user("ann"),
    )


ENDED = replace(
    COMMAND,
    status=ANSWER.status,
    ended=NOW,
    output=ANSWER.output,
    output_end=len(ANSWER.output),
)
ALL = (
    *(SECRET, SOURCED, STATE, CONFIG, REGISTRY, BATCH, HOOK, ENDED),
    *(StoredRevision(MADE, SECRET.spec), SECRET, ANN),
)


@dataclass(frozen=True)
class Kept:
    """A data directory, and the database of the server that had it."""

    directory: Path
    url: str
    open: StoreFactory

    @property
    def database(self) -> Database:
        return database_of(self.directory, self.url)

    @property
    def key(self) -> Path:
        return self.directory / "secrets.key"

    def documents(self) -> set[str]:
        query = statement(
            "SELECT document FROM resource UNION SELECT document FROM batch"
            " UNION SELECT document FROM callback UNION SELECT output FROM node_command"
            " UNION SELECT document FROM secret_source"
            " UNION SELECT document FROM resource_revision UNION SELECT document FROM pinned_body"
            " WHERE kind <> 'app' UNION SELECT totp FROM local_user"
        )
        with self.database.look() as rows:
            return {row[0] for row in rows(query)}

    def change(self, text: str) -> None:
        as_it_is = Statement(text, text, frozenset(), frozenset())
        self.database.in_transaction(lambda run: run(as_it_is, {}))


@pytest.fixture
async def kept(
    tmp_path: Path, open_again: StoreFactory, database_url: Callable[[Path], str]
) -> Kept:
    async with open_again(tmp_path) as store:
        await store.write(put_all)
    return Kept(tmp_path, database_url(tmp_path), open_again)


def die_at(point: str, kept: Kept) -> None:
    words = [str(kept.directory), kept.url, point]
    process = ForkedProcess(words, os.devnull, module="tests.store.rekey_process")
    try:
        assert process.wait(60) == 9
    finally:
        process.kill()
    # PostgreSQL notices a moment later, and then lets go of the locks.
    deadline = time.monotonic() + WAIT
    while True:
        try:
            with kept.database.held(alone=True):
                return
        except Unavailable:
            assert time.monotonic() < deadline


async def read_all(kept: Kept) -> object:
    async with kept.open(kept.directory) as store:
        return await store.read(got)


async def test_all_is_there_under_a_new_key(kept: Kept) -> None:
    database, key = kept.database, kept.key
    old_key, before = key.read_bytes(), kept.documents()
    assert rekey(database, key) == len(ALL)
    assert key.read_bytes() != old_key
    assert kept.documents().isdisjoint(before)
    assert await read_all(kept) == ALL
    assert not (kept.directory / "secrets.key.new").exists()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_nothing_that_the_old_key_could_open_is_left(kept: Kept) -> None:
    long = replace(SECRET, name="long", spec=SecretSpec({"k": "v" * 30_000}))
    async with kept.open(kept.directory) as store:
        await store.write(lambda tx: tx.put_resource(long))
    parts = {text[-100:].encode() for text in kept.documents()}
    connection = sqlite3.connect(kept.directory / "edgesync.db")
    connection.execute("PRAGMA secure_delete = OFF")  # as where SQLite was built without it
    with connection:
        connection.execute("DELETE FROM resource WHERE name = 'long'")
    connection.close()
    rekey(kept.database, kept.key)
    files = sorted(kept.directory.glob("edgesync.db*"))
    left = b"".join(path.read_bytes() for path in files)
    assert not [part for part in parts if part in left]


@pytest.mark.parametrize(
    "database_url", [pytest.param("postgres", marks=NEEDS_POSTGRES)], indirect=True
)
async def test_postgres_keeps_no_row_that_the_old_key_could_open(
    kept: Kept, postgres: Postgres
) -> None:
    parts = {text[-40:].encode() for text in kept.documents()}

    def found() -> list[bytes]:
        with psycopg.connect(kept.url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        tables = (postgres.directory / "data" / "base").rglob("*")
        content = b"".join(path.read_bytes() for path in tables if path.is_file())
        return [part for part in parts if part in content]

    assert found()
    rekey(kept.database, kept.key)
    assert not found()


async def test_the_old_key_opens_nothing_any_more(kept: Kept) -> None:
    database, key = kept.database, kept.key
    old_key = key.read_bytes()
    rekey(database, key)
    key.write_bytes(old_key)
    with pytest.raises(Unavailable):
        await read_all(kept)


@pytest.mark.parametrize("point", ["key made", "sealed", "committed", "in place"])
async def test_a_crash_at_any_point_loses_nothing(kept: Kept, point: str) -> None:
    database, key = kept.database, kept.key
    old_key = key.read_bytes()
    die_at(point, kept)
    settle_key(database, key)
    assert not (kept.directory / "secrets.key.new").exists()
    assert (key.read_bytes() == old_key) is (point in {"key made", "sealed"})
    assert await read_all(kept) == ALL
    assert rekey(database, key) == len(ALL)
    assert await read_all(kept) == ALL


async def test_a_crash_can_be_followed_by_another_try(kept: Kept) -> None:
    for point in ("key made", "sealed", "committed", "in place"):
        die_at(point, kept)
    rekey(kept.database, kept.key)
    assert await read_all(kept) == ALL


OUTSIDE = KeyFromOutside("first", bytes(KEY_BYTES))
LATER = KeyFromOutside("second", bytes([1]) * KEY_BYTES)


async def test_the_key_is_encrypted_while_a_server_runs_and_stays_the_same(kept: Kept) -> None:
    own_id, before = sealing_key_id(kept.key), kept.documents()
    async with kept.open(kept.directory) as store:
        encrypt_key(kept.database, kept.key, encryption=None, new_encryption=OUTSIDE)
        assert await store.read(got) == ALL
        encrypt_key(kept.database, kept.key, encryption=OUTSIDE, new_encryption=LATER)
        with pytest.raises(Unavailable):  # the key that it was encrypted with before
            encrypt_key(kept.database, kept.key, encryption=OUTSIDE, new_encryption=None)
    assert (sealing_key_id(kept.key), kept.documents()) == (own_id, before)
    encrypt_key(kept.database, kept.key, encryption=LATER, new_encryption=None)
    assert await read_all(kept) == ALL


async def test_a_key_of_another_database_is_not_encrypted(kept: Kept) -> None:
    kept.key.write_bytes(b"A" * 43 + b"=\n")
    with pytest.raises(Unavailable):
        encrypt_key(kept.database, kept.key, encryption=None, new_encryption=OUTSIDE)
    assert kept.key.read_bytes() == b"A" * 43 + b"=\n"


@pytest.mark.parametrize("point", ["key made", "sealed", "committed"])
async def test_a_new_key_that_is_encrypted_is_settled_without_what_encrypts_it(
    kept: Kept, point: str
) -> None:
    encrypt_key(kept.database, kept.key, encryption=None, new_encryption=OUTSIDE)
    own_id = sealing_key_id(kept.key)

    def fail(now_at: str) -> None:
        if now_at == point:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        rekey(kept.database, kept.key, encryption=OUTSIDE, new_encryption=LATER, reached=fail)
    settle_key(kept.database, kept.key)
    is_new = point == "committed"
    assert (sealing_key_id(kept.key) != own_id) is is_new
    used = LATER if is_new else OUTSIDE
    assert rekey(kept.database, kept.key, encryption=used) == len(ALL)
    assert await read_all(kept) == ALL


async def test_a_database_in_use_is_left_alone(kept: Kept) -> None:
    database, key = kept.database, kept.key
    old_key = key.read_bytes()
    async with kept.open(kept.directory) as store:
        with pytest.raises(Unavailable):
            rekey(database, key)
        assert await store.read(got) == ALL
    assert key.read_bytes() == old_key
    assert not (kept.directory / "secrets.key.new").exists()


async def test_a_server_that_runs_does_not_keep_another_from_settling(kept: Kept) -> None:
    """Two servers on one database: one was being re-keyed, in vain, when the other started."""
    if not kept.url:
        return
    die_at("sealed", kept)
    async with kept.open(kept.directory):
        settle_key(kept.database, kept.key)
        assert not (kept.directory / "secrets.key.new").exists()


async def test_another_key_changes_nothing(kept: Kept) -> None:
    database, key = kept.database, kept.key
    right, before = key.read_bytes(), kept.documents()
    key.write_bytes(b"A" * 43 + b"=\n")
    with pytest.raises(Unavailable):
        rekey(database, key)
    assert kept.documents() == before
    key.write_bytes(right)
    settle_key(database, key)
    assert await read_all(kept) == ALL


def test_there_is_nothing_to_do_where_nothing_is(
    tmp_path: Path, database_url: Callable[[Path], str]
) -> None:
    key = tmp_path / "secrets.key"
    with pytest.raises(Unavailable):
        rekey(database_of(tmp_path, database_url(tmp_path)), key)
    settle_key(database_of(tmp_path, database_url(tmp_path)), key)
    assert not list(tmp_path.iterdir())


async def test_a_config_of_an_older_version_is_sealed_too(kept: Kept) -> None:
    plain = '{"data":[{"key":"a","value":{"type":"kv","value":"b"}}]}'
    kept.change(f"UPDATE resource SET document = '{plain}' WHERE kind = 'config'")  # noqa: S608
    rekey(kept.database, kept.key)
    assert all(text.startswith("sealed:") for text in kept.documents())
    assert await read_all(kept) == ALL

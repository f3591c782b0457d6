"""A database of any older version becomes one of this version; one of a newer is left alone."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from cloud.core.app import App, AppSpec, Ref, Volume
from cloud.core.config import Config, ConfigSpec
from cloud.core.kinds import CONFIG
from cloud.core.listing import ListOptions
from cloud.core.names import NODE_NAME_LABEL
from cloud.core.registry import Registry
from cloud.core.revisions import StoredRevision, Thing, first_revision
from cloud.core.secret import Secret
from cloud.core.selectors import integer_of
from cloud.errors import Unavailable
from cloud.store.label_text import label_text
from cloud.store.migrations import STEPS, migrate
from cloud.store.tables.definition import definition
from cloud.store.transaction import Transaction
from tests.builders import open_store
from tests.store.conftest import NOW, app, batch, config, node, record, registry, secret

TABLES = {
    "api_token",
    "app_use",
    "batch",
    "callback",
    "certificate",
    "delivery",
    "deploy",
    "ended_session",
    "label",
    "last_certificate",
    "label_revision",
    "node",
    "record",
    "report",
    "resource",
    "revision",
    "revocation",
    "sealing",
    "stale_node",
}


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        yield opened


def schema_of(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def tables_of(connection: sqlite3.Connection) -> set[str]:
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return {name for (name,) in found if not name.startswith(("_", "sqlite_"))}


LATER = (definition("CREATE TABLE later (id INTEGER PRIMARY KEY)"),)


def test_an_empty_database_gets_every_table(connection: sqlite3.Connection) -> None:
    migrate(connection)
    assert tables_of(connection) >= TABLES


def test_running_twice_does_nothing(connection: sqlite3.Connection) -> None:
    migrate(connection)
    connection.execute("UPDATE revision SET version = 7")
    before, changes = schema_of(connection), connection.total_changes
    migrate(connection)
    assert (schema_of(connection), connection.total_changes) == (before, changes)
    assert connection.execute("SELECT version FROM revision").fetchall() == [(7,)]


def test_an_older_database_gets_what_it_lacks(connection: sqlite3.Connection) -> None:
    migrate(connection)
    before = tables_of(connection)
    migrate(connection, (*STEPS, ("0999_later", LATER)))
    assert tables_of(connection) == before | {"later"}


def test_a_step_that_fails_is_undone_and_taken_the_next_time(
    connection: sqlite3.Connection,
) -> None:
    fails = (*LATER, definition("no statement"))
    migrate(connection)
    before = tables_of(connection)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, (*STEPS, ("0999_later", fails)))
    assert tables_of(connection) == before
    migrate(connection, (*STEPS, ("0999_later", LATER)))
    assert tables_of(connection) == before | {"later"}


def test_a_database_of_a_newer_version_is_refused_untouched(
    connection: sqlite3.Connection,
) -> None:
    migrate(connection, (*STEPS, ("0999_later", LATER)))
    before = schema_of(connection)
    with pytest.raises(Unavailable) as caught:
        migrate(connection)
    assert "0999_later" in caught.value.reason
    assert "restore the backup that was made before the upgrade" in caught.value.reason
    assert schema_of(connection) == before


async def test_a_store_of_a_newer_version_is_not_opened(tmp_path: Path) -> None:
    async with open_store(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / "edgesync.db", isolation_level=None)) as connection:
        migrate(connection, (*STEPS, ("0999_later", LATER)))
    with pytest.raises(Unavailable) as caught:
        async with open_store(tmp_path):
            pass
    assert "newer version" in caught.value.reason


async def test_what_an_older_server_put_is_found_by_its_labels_and_uses(tmp_path: Path) -> None:
    """The labels of configs are sealed: they are filled in by the store, which has the key."""

    def put(tx: Transaction) -> None:
        tx.put_node(node("n"))
        volumes = (Volume("v", config=Ref("c")),)
        spec = AppSpec(labels={"role": "gateway"}, volumes=volumes)
        tx.put_resource(replace(app("a"), spec=spec))
        tx.put_resource(replace(config("c"), spec=ConfigSpec(labels={"role": "gateway"})))
        tx.put_resource(secret("s"))
        tx.put_resource(registry("r"))

    def listed(tx: Transaction) -> list[int]:
        gateway, sealed = ListOptions("role=gateway"), ListOptions("secret-type in (config)")
        return [
            tx.list_nodes("default", gateway).total,
            tx.list_nodes("default", ListOptions("baetyl-node-name=n")).total,
            tx.list_resources(App, "default", gateway).total,
            tx.list_resources(Config, "default", gateway).total,
            tx.list_resources(Secret, "default", sealed).total,
            tx.list_resources(Registry, "default", ListOptions("secret-type=registry")).total,
            tx.list_apps_using("default", CONFIG, "c", ListOptions()).total,
        ]

    async with open_store(tmp_path) as store:
        await store.write(put)
    with closing(sqlite3.connect(tmp_path / "edgesync.db", isolation_level=None)) as connection:
        for statement in (
            "DROP TABLE label",
            "DROP TABLE unlabelled",
            "DROP TABLE app_use",
            "DROP TABLE label_revision",
            "DROP INDEX node_by_age",
            "DROP INDEX resource_by_age",
            "DROP INDEX batch_by_age",
            "DROP INDEX record_by_age",
            "DELETE FROM _sqlite_migrations WHERE name IN ('0004_labels', '0008_uses')",
        ):
            connection.execute(statement)
    for _ in range(2):
        async with open_store(tmp_path) as store:
            assert await store.read(listed) == [1, 1, 1, 1, 1, 1, 1]


def test_labels_of_nodes_are_written_beside_their_status_and_apps_counted(
    connection: sqlite3.Connection,
) -> None:
    own = {"site": "s7", "rack": "007", "none": "", "big": "9" * 30, "below": "-4"}
    many = {f"key-{number}": "some value of it" for number in range(30)}
    at = [id_ for id_, _ in STEPS].index("0039_label_text")
    migrate(connection, STEPS[:at])
    for name, labels in {"few": own, "many": many}.items():
        connection.execute(
            "INSERT INTO node (namespace, name, document, created, updated, mode, core)"
            " VALUES ('default', ?, '{}', 0, 0, 'cloud', '{}')",
            (name,),
        )
        for key, value in {**labels, NODE_NAME_LABEL: name}.items():
            connection.execute(
                "INSERT INTO label (kind, namespace, name, key, value, number, created)"
                " VALUES ('node', 'default', ?, ?, ?, ?, 0)",
                (name, key, value, integer_of(value)),
            )
        connection.execute(
            "INSERT INTO node_status (namespace, created, name, heard, report_interval, deploy,"
            " agent, expires, revoked) VALUES ('default', 0, ?, 7, 8, 'failed', '1.4', 9, 1)",
            (name,),
        )
        connection.execute(
            "INSERT INTO reported_app (namespace, name, app, version, state)"
            " VALUES ('default', ?, 'web', '2', 'running')",
            (name,),
        )
    migrate(connection)
    found = connection.execute(
        "SELECT name, labels, heard, report_interval, deploy, agent, expires, revoked,"
        " knows_offers FROM node_status ORDER BY name"
    ).fetchall()
    assert found == [
        ("few", label_text(own), 7, 8, "failed", "1.4", 9, 1, 0),
        ("many", label_text(many), 7, 8, "failed", "1.4", 9, 1, 0),
    ]
    assert label_text(many) is None
    counted = connection.execute("SELECT app, version, state, nodes FROM app_count").fetchall()
    assert counted == [("web", "2", "running", 2)]


async def test_the_records_an_older_server_put_are_counted(tmp_path: Path) -> None:
    def put(tx: Transaction) -> None:
        for name in ("one", "two", "none"):
            tx.put_batch(batch(name))
        tx.add_records("default", "two", ["x", "y"], NOW)
        tx.put_record(record(batch="one"))

    def counted(tx: Transaction) -> list[int]:
        return [tx.count_records("default", name) for name in ("none", "one", "two")]

    async with open_store(tmp_path) as store:
        await store.write(put)
    with closing(sqlite3.connect(tmp_path / "edgesync.db", isolation_level=None)) as connection:
        connection.execute("ALTER TABLE batch DROP COLUMN records")
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = '0014_record_counts'")
    async with open_store(tmp_path) as store:
        assert await store.read(counted) == [0, 1, 2]


def test_ids_are_numbered_in_their_order() -> None:
    assert [int(name[:4]) for name, _ in STEPS] == list(range(1, len(STEPS) + 1))


def test_the_last_certificate_of_each_node_of_before_is_found(
    connection: sqlite3.Connection,
) -> None:
    names = [name for name, _ in STEPS]
    migrate(connection, STEPS[: names.index("0013_last_certificates")])
    for name in ("n1", "n2", "n3"):
        connection.execute(
            "INSERT INTO node (namespace, name, document, created, updated)"
            " VALUES ('default', ?, '{}', 1, 1)",
            (name,),
        )
    for serial, name, expires, revoked in (
        ("11", "n1", 5, None),
        ("12", "n1", 9, None),
        ("13", "n1", 20, 3),
        ("14", "n2", 7, 3),
        ("15", "n3", 7, None),
        ("16", "n3", 7, None),
        ("17", "gone", 7, None),
    ):
        connection.execute(
            "INSERT INTO certificate (serial, node_id, created, expires, revoked)"
            " VALUES (?, ?, 1, ?, ?)",
            (serial, f"default.{name}", expires, revoked),
        )
    migrate(connection)
    found = connection.execute("SELECT name, serial, expires FROM last_certificate ORDER BY name")
    assert found.fetchall() == [("n1", "12", 9), ("n3", "16", 7)]


async def test_what_an_older_server_put_begins_with_what_it_is(tmp_path: Path) -> None:
    def put(tx: Transaction) -> None:
        tx.put_resource(app("a", version="7"))
        tx.put_resource(config("c"))
        tx.put_resource(secret("s"))
        tx.put_resource(registry("r"))
        tx.put_node(node("n"))

    def begun(tx: Transaction) -> None:
        for kind, noun in (
            ("app", app("a", version="7")),
            ("config", config("c")),
            ("secret", secret("s")),
            ("registry", registry("r")),
        ):
            thing = Thing(kind, "default", noun.name)
            assert tx.revision(thing, 1) == StoredRevision(first_revision(noun), noun.spec)
            assert tx.count_revisions(thing) == 1

    async with open_store(tmp_path) as store:
        await store.write(put)
    with closing(sqlite3.connect(tmp_path / "edgesync.db", isolation_level=None)) as connection:
        connection.execute("DROP TABLE resource_revision")
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = '0017_revisions'")
    async with open_store(tmp_path) as store:
        await store.read(begun)

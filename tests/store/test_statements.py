"""Every statement, checked against both databases."""

import importlib
import pkgutil
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import psycopg
import pytest

import cloud.store
from cloud.core.audit import AuditFilter, Chain
from cloud.core.event import EventFilter, EventTypes
from cloud.core.field_selectors import NODE_FIELDS, parse_field_selector
from cloud.core.kinds import CONFIG
from cloud.core.selectors import parse_selector
from cloud.store.cache import StoreCache
from cloud.store.key_encryption import KEY_BYTES
from cloud.store.migrations import migrate
from cloud.store.node_selection import NodeSelection
from cloud.store.parts.documents import DocumentTable
from cloud.store.parts.row_sets import Lookup
from cloud.store.postgres import migrate as migrate_postgres
from cloud.store.rows import Parameters, Row
from cloud.store.sealing import Sealer
from cloud.store.selection import NODE, Selection
from cloud.store.statements import Statement, fragment, joined, numbered, statement
from cloud.store.tables.definition import definition, trigger
from cloud.store.transaction import Transaction
from tests.postgres import NEEDS_POSTGRES, Postgres
from tests.store.conftest import app

NOW = datetime(2026, 1, 2, tzinfo=UTC)
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z_0-9]*)")
_NUMBERS = {"now", "expires"}
"""Parameters that stand where a database cannot see their type."""


NODE_TERMS = (
    "metadata.name!=n,metadata.name notin (n,m),metadata.name=n*,metadata.namespace=d*"
    ",status.state in (online,stale,offline,never),status.deploy=failed,status.agent!=1*"
    ",status.certificate.expires<1d,status.certificate.expires>1d,status.apps.web=failed"
    ",status.apps.web!=pending,status.apps.web in (running,unselected),status.versions.web=1"
    ",status.versions.web in (1,2),status.apps.gone=running,status.apps.gone=pending"
)


class Composed:
    """A `Run` that keeps the statements, which count one thing and find none."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []

    def __call__(self, statement: Statement, _parameters: Parameters, /) -> Sequence[Row]:
        self.statements.append(statement)
        return [(1, 1)] if "count(*)" in statement.sqlite else []

    def each(self, statement: Statement, _rows: Sequence[Parameters], /) -> None:
        self.statements.append(statement)


def composed_statements() -> Sequence[Statement]:
    """What is put together while the program runs, with every fragment."""
    run = Composed()
    terms = "a,a=1,a in (1,2),a>1,a<9,!b,b!=1,b notin (1,2)"
    fields = parse_field_selector("metadata.name in (n,n*),metadata.namespace!=m")
    for selector in ("", terms):
        for kind in (NODE, "app"):
            selection = Selection(run, kind, "default", parse_selector(selector), fields)
            selection.total()
            selection.page((NOW, "n"), 10, 100)
        Selection(run, "app", "default", parse_selector(selector), used=(CONFIG, "c")).total()
        Selection(run, NODE, "default", parse_selector(selector)).mark_pending()
    of_nodes = parse_field_selector(NODE_TERMS, NODE_FIELDS)
    apps = {"web": app("web")}
    for selector in ("", terms):
        for few, governed in ((0, ()), (5, ()), (5, ("web",))):
            chosen = NodeSelection(
                run,
                "default",
                parse_selector(selector),
                of_nodes,
                now=NOW,
                apps=apps,
                governed=governed,
                few=few,
            )
            chosen.found(None, 10)
            chosen.total_with(lambda: 9)
    tx = Transaction(run, Sealer(bytes(KEY_BYTES)), StoreCache(), Chain(b"key"))
    for is_governed in (False, True):
        tx.count_away("default", terms, "app", "1", NOW, is_governed=is_governed)
    audit = AuditFilter("default", "actor", "create", "node", "n", "id", NOW, NOW)
    tx.audit_links(audit, below=9, limit=9)
    tx.count_audit(audit)
    types = EventTypes(frozenset({"node.ready"}), frozenset({"node"}))
    events = EventFilter("default", types, "node", "n", NOW)
    tx.newest_events(events, limit=9)
    tx.next_events(events, above=1, limit=9)
    tx.count_events(events)
    return run.statements


def named_statements(*, databases: str) -> Mapping[str, Statement]:
    """All that stand in the modules of the store, by their names; those of both *databases*."""
    found = {}
    for module in pkgutil.walk_packages(cloud.store.__path__, "cloud.store."):
        if databases == "both" and module.name.startswith("cloud.store.postgres"):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, Statement):
                found[f"{module.name}.{name}"] = value
            if isinstance(value, DocumentTable):
                for each in fields(value):
                    one = getattr(value, each.name)
                    if isinstance(one, Statement):
                        found[f"{module.name}.{name}.{each.name}"] = one
    return found


@pytest.fixture(scope="module")
def sqlite() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        migrate(connection)
        yield connection


def tables_of(
    connection: sqlite3.Connection, statement: Statement
) -> tuple[frozenset[str], frozenset[str]]:
    """The tables that SQLite asks its authorizer for, to read (alone) and to write."""
    reads: set[str] = set()
    writes: set[str] = set()
    changing = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}

    def authorize(action: int, table: str | None, *_: str | None) -> int:
        if table and action == sqlite3.SQLITE_READ and table not in {"json_each", "sqlite_master"}:
            reads.add(table)
        # The first that uses json_each makes it known to the connection.
        if table and action in changing and table != "sqlite_master":
            writes.add(table)
        return sqlite3.SQLITE_OK

    connection.set_authorizer(authorize)
    try:
        connection.execute(f"EXPLAIN {statement.sqlite}", dict.fromkeys(parameters_of(statement)))
    finally:
        connection.set_authorizer(None)
    return frozenset(reads - writes), frozenset(writes)


def parameters_of(statement: Statement) -> set[str]:
    return set(_PARAMETER.findall(statement.sqlite))


def test_the_statements_of_all_nouns_are_found() -> None:
    assert len(named_statements(databases="both")) > 150


@pytest.mark.parametrize("name", named_statements(databases="both"))
def test_a_statement_declares_the_tables_that_it_reads_and_writes(
    sqlite: sqlite3.Connection, name: str
) -> None:
    """As SQLite sees it when it compiles the statement, with triggers and foreign keys."""
    one = named_statements(databases="both")[name]
    assert (one.reads, one.writes) == tables_of(sqlite, one)


def test_a_composed_statement_declares_the_tables_of_its_fragments(
    sqlite: sqlite3.Connection,
) -> None:
    for one in composed_statements():
        reads, writes = tables_of(sqlite, one)
        # A foreign key that is checked is no part of a fragment.
        assert one.writes == writes
        assert reads - {"node"} <= one.reads <= reads, one.sqlite


class TestPostgres:
    """The same statements, on PostgreSQL."""

    pytestmark: ClassVar = NEEDS_POSTGRES

    def test_every_statement_is_taken(self, postgres: Postgres, tmp_path: Path) -> None:
        with psycopg.connect(postgres.schema_of(tmp_path), autocommit=True) as connection:
            with connection.transaction():
                migrate_postgres(connection)
            for one in [*named_statements(databases="PostgreSQL").values(), *composed_statements()]:
                values = {name: 1 if name in _NUMBERS else None for name in parameters_of(one)}
                values["rows"] = None
                assert connection.execute(f"EXPLAIN {one.postgres}".encode(), values).fetchall()


def test_a_lookup_of_many_nodes_reads_the_tables_that_it_reads_of_one() -> None:
    """What is known of nodes is forgotten by the tables of the one."""
    lookups = {
        f"{module.name}.{name}": value
        for module in pkgutil.walk_packages(cloud.store.__path__, "cloud.store.")
        for name, value in vars(importlib.import_module(module.name)).items()
        if isinstance(value, Lookup)
    }
    assert len(lookups) > 5
    assert [
        name for name, one in lookups.items() if one.many and one.one.reads != one.many.reads
    ] == []


@pytest.mark.parametrize(
    ("text", "sqlite", "postgres"),
    [
        ("a = :b AND c = :b_2", "a = :b AND c = :b_2", "a = %(b)s AND c = %(b_2)s"),
        ("'5 %'", "'5 %'", "'5 %%'"),
        ("CAST(:a AS bigint)::text", "CAST(:a AS bigint)::text", "CAST(%(a)s AS bigint)::text"),
        ("{position}(name, :part)", "instr(name, :part)", "strpos(name, %(part)s)"),
        (
            "SELECT given.value FROM {elements[values_1]}",
            "SELECT given.value FROM json_each(:values_1) AS given",
            "SELECT given.value FROM json_array_elements_text(CAST(%(values_1)s AS json))"
            " AS given (value)",
        ),
        (
            "SELECT given.key FROM {members[names]}",
            "SELECT given.key FROM json_each(:names) AS given",
            "SELECT given.key FROM json_each_text(CAST(%(names)s AS json)) AS given (key, value)",
        ),
        ("{exists} (SELECT 1)", "EXISTS (SELECT 1)", "TRUE = EXISTS (SELECT 1)"),
        ("LIMIT 1{skip_locked}", "LIMIT 1", "LIMIT 1FOR UPDATE SKIP LOCKED"),
    ],
)
def test_a_marker_has_a_text_for_each_database(text: str, sqlite: str, postgres: str) -> None:
    one = statement(text)
    assert (one.sqlite, one.postgres) == (sqlite, postgres)


def test_an_unknown_marker_is_refused() -> None:
    with pytest.raises(KeyError):
        statement("SELECT 1 {skip_lock}")
    with pytest.raises(KeyError):
        definition("CREATE TABLE a (b {string})")


def test_fragments_are_joined_with_their_tables_and_parameters_of_their_own() -> None:
    beginning = fragment("INSERT INTO a ", writes={"a"})
    part = fragment("SELECT b FROM b, a WHERE b = :b_#", reads={"a", "b"})
    one = joined(beginning, numbered(part, 7))
    assert one.sqlite == "INSERT INTO a SELECT b FROM b, a WHERE b = :b_7"
    assert one.postgres == "INSERT INTO a SELECT b FROM b, a WHERE b = %(b_7)s"
    assert (one.reads, one.writes) == (frozenset("b"), frozenset("a"))


@pytest.mark.parametrize(
    ("text", "sqlite", "postgres"),
    [
        (
            "CREATE TABLE a (id {integer} PRIMARY KEY, b {text} NOT NULL){strict_by_key}",
            "CREATE TABLE a (id INTEGER PRIMARY KEY, b TEXT NOT NULL) STRICT, WITHOUT ROWID",
            'CREATE TABLE a (id BIGINT PRIMARY KEY, b TEXT COLLATE "C" NOT NULL)',
        ),
        (
            "ALTER TABLE a ADD COLUMN c {text}",
            "ALTER TABLE a ADD COLUMN c TEXT",
            'ALTER TABLE a ADD COLUMN c TEXT COLLATE "C"',
        ),
        ("CREATE INDEX i ON a (b)", "CREATE INDEX i ON a (b)", "CREATE INDEX i ON a (b)"),
    ],
)
def test_a_definition_has_a_text_for_each_database(text: str, sqlite: str, postgres: str) -> None:
    one = definition(text)
    assert (one.sqlite, one.postgres) == (sqlite, postgres)


def test_a_trigger_of_postgresql_is_a_function_and_a_trigger() -> None:
    one = trigger(
        "stays",
        before="DELETE",
        on="a",
        when="old.id > (SELECT max(id) FROM b)",
        message="it stays",
    )
    assert "IF old.id > (SELECT max(id) FROM b) THEN RAISE EXCEPTION 'it stays'" in one.postgres
    assert "CREATE TRIGGER stays BEFORE DELETE ON a FOR EACH ROW" in one.postgres
    assert (
        "WHEN old.id > (SELECT max(id) FROM b)\nBEGIN SELECT RAISE(ABORT, 'it stays')" in one.sqlite
    )

"""A schema of PostgreSQL for each directory that asks: far cheaper than a database.

Making the tables of a server takes more CPU than most tests. Those of tests that have ended are
emptied and used again.
"""

import contextlib
import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg

from cloud.store.postgres import bring_up_to_date

_LARGE = 1_000_000
"""Bytes from which on tables are made anew."""

_LOOK = """
SELECT md5(array_agg((relname, relnatts, relchecks, triggers) ORDER BY relname)::text),
    sum(size)::bigint,
    coalesce(array_agg(relname) FILTER (WHERE size > 0), '{{}}'),
    coalesce(array_agg(relname) FILTER (WHERE relkind = 'S'), '{{}}')
FROM (
    SELECT *,
        CASE relkind WHEN 'r' THEN pg_relation_size(oid) ELSE 0 END AS size,
        CASE WHEN relhastriggers THEN (
            SELECT array_agg((tgname, tgenabled) ORDER BY tgname)
            FROM pg_trigger WHERE tgrelid = pg_class.oid AND NOT tgisinternal
        ) END AS triggers
    FROM pg_class WHERE relnamespace = '{0}'::regnamespace
) AS mine
"""


@dataclass(frozen=True)
class _Tables:
    """What is in a schema."""

    shape: str
    """A digest of tables with their columns, indexes and triggers."""
    size: int
    """Bytes of the tables."""
    written: list[str]
    """Tables that have any."""
    sequences: list[str]


@dataclass
class SchemaPool:
    """The schemas of the database at *url*."""

    url: str
    _by_directory: dict[Path, str] = field(default_factory=dict)
    _with_tables: set[str] = field(default_factory=set)
    # Those of `_with_tables` that no directory has.
    _free: list[str] = field(default_factory=list)
    _connection: psycopg.Connection | None = None

    def schema_of(self, directory: Path) -> str:
        """URL of what belongs to *directory* alone; there is nothing in it at first."""
        if directory not in self._by_directory:
            self._by_directory[directory] = self._new(directory)
        return self._url_of(self._by_directory[directory])

    def tables_of(self, directory: Path) -> str:
        """The same with the tables of a server, as before it is started; until `release`."""
        if directory not in self._by_directory:
            self._by_directory[directory] = self._cleaned() or self._migrated(directory)
        return self._url_of(self._by_directory[directory])

    def release(self, under: Path) -> None:
        """Let other tests have the tables of all directories *under* one."""
        for directory in [one for one in self._by_directory if one.is_relative_to(under)]:
            name = self._by_directory.pop(directory)
            if name in self._with_tables:
                self._free.append(name)

    def close(self) -> None:
        """Close its connection, until it is needed again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _url_of(self, schema: str) -> str:
        return f"{self.url}?options=-csearch_path%3D{schema}"

    def _new(self, directory: Path) -> str:
        name = f"t_{hashlib.sha256(str(directory).encode()).hexdigest()[:20]}"
        self._ask(f"CREATE SCHEMA IF NOT EXISTS {name}")
        return name

    def _migrated(self, directory: Path) -> str:
        name = self._new(directory)
        bring_up_to_date(self._url_of(name))
        self._with_tables.add(name)
        return name

    def _cleaned(self) -> str | None:
        """A schema that is free, emptied; None if none is left as migrations made it."""
        while self._free:
            name = self._free.pop()
            found = self._look(name)
            if found.shape == self._as_made.shape and found.size < _LARGE:
                # A process that was killed lets go of its locks a moment later, or never.
                with contextlib.suppress(psycopg.errors.LockNotAvailable):
                    self._clean(name, found.written)
                    return name
        return None

    @cached_property
    def _model(self) -> str:
        """A schema that no server has opened."""
        return self._migrated(Path("model"))

    @cached_property
    def _as_made(self) -> _Tables:
        return self._look(self._model)

    @cached_property
    def _filled(self) -> list[str]:
        """The tables that have rows in the model."""
        tables = self._as_made.written
        return [name for name in tables if self._ask(f"SELECT 1 FROM {self._model}.{name}")]  # noqa: S608

    def _clean(self, schema: str, written: list[str]) -> None:
        """Give *schema*, in which these tables were *written*, the rows of the model."""
        statements = [
            "SET LOCAL session_replication_role = replica",  # no triggers
            "SET LOCAL lock_timeout = '1s'",
            *(f"DELETE FROM {schema}.{name}" for name in written),  # noqa: S608
            *(
                f"INSERT INTO {schema}.{name} SELECT * FROM {self._model}.{name}"  # noqa: S608
                for name in self._filled
            ),
            # A quarter of the CPU of ALTER SEQUENCE.
            *(f"SELECT setval('{schema}.{name}', 1, FALSE)" for name in self._as_made.sequences),
        ]
        self._ask("; ".join(statements))

    def _look(self, schema: str) -> _Tables:
        (found,) = self._ask(_LOOK.format(schema))
        return _Tables(*found)

    def _ask(self, text: str) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = psycopg.connect(self.url, autocommit=True)
        cursor = self._connection.execute(text.encode())
        return cursor.fetchall() if cursor.description is not None else []

"""A schema of PostgreSQL for each directory that asks: far cheaper than a database.

Making the tables of a server takes more CPU than most tests. Those of tests that have ended are
emptied and used again.
"""

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg

from cloud.store.postgres import bring_up_to_date

_LARGE = 2_000_000
"""Bytes from which on tables are made anew."""


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
            if self._shape(name) == self._shape(self._model):
                # A process that was killed lets go of its locks a moment later, or never.
                with contextlib.suppress(psycopg.errors.LockNotAvailable):
                    self._ask("; ".join(text.format(name) for text in self._cleaning))
                    return name
        return None

    @cached_property
    def _model(self) -> str:
        """A schema that no server has opened."""
        return self._migrated(Path("model"))

    @cached_property
    def _cleaning(self) -> list[str]:
        """Statements after which a schema has the rows of the model, whatever its triggers do."""
        here = f"relnamespace = '{self._model}'::regnamespace"
        kinds = self._ask(f"SELECT relname, relkind FROM pg_class WHERE {here}")  # noqa: S608
        tables = [name for name, kind in kinds if kind == "r"]
        filled = [name for name in tables if self._ask(f"SELECT 1 FROM {self._model}.{name}")]  # noqa: S608
        return [
            "SET LOCAL session_replication_role = replica",
            "SET LOCAL lock_timeout = '1s'",
            *(f"DELETE FROM {{0}}.{name}" for name in tables),  # noqa: S608
            *(f"INSERT INTO {{0}}.{name} SELECT * FROM {self._model}.{name}" for name in filled),  # noqa: S608
            *(f"ALTER SEQUENCE {{0}}.{name} RESTART" for name, kind in kinds if kind == "S"),
        ]

    def _shape(self, schema: str) -> Sequence[Any]:
        """Tables with their columns, indexes, triggers; and whether they are large."""
        here = f"relnamespace = '{schema}'::regnamespace"
        return self._ask(
            f"SELECT sum(pg_relation_size(oid)) > {_LARGE},"  # noqa: S608
            " array_agg((relname, relnatts, relchecks) ORDER BY relname),"
            " (SELECT array_agg((relname, tgname, tgenabled) ORDER BY relname, tgname)"
            f" FROM pg_trigger JOIN pg_class ON tgrelid = pg_class.oid AND {here}"
            " WHERE NOT tgisinternal)"
            f" FROM pg_class WHERE {here}"
        )

    def _ask(self, text: str) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = psycopg.connect(self.url, autocommit=True)
        cursor = self._connection.execute(text.encode())
        return cursor.fetchall() if cursor.description is not None else []

"""A PostgreSQL database, as commands use it: a `Database` of `upkeep`."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from psycopg import errors, sql

from cloud.store.migrations import STEPS, Step
from cloud.store.parts.part import Run
from cloud.store.postgres import PATIENCE, bring_up_to_date, take_part
from cloud.store.postgres_connection import (
    READ,
    WRITE,
    PostgresConnection,
    open_connection,
    translating_errors,
)
from cloud.store.rows import Row
from cloud.store.statements import Statement, statement
from cloud.store.upkeep import Rows

T = TypeVar("T")

_FETCHED = 2000
"""Rows of a look that are in memory."""


_READ_FOR = timedelta(minutes=1)
_SIZE = statement(
    "SELECT CAST(coalesce(sum(pg_total_relation_size("
    "quote_ident(schemaname) || '.' || quote_ident(tablename))), 0) AS BIGINT)"
    " FROM pg_tables WHERE schemaname = current_schema()"
)
_TIMEOUT = b"SELECT set_config('statement_timeout', %s, true)"


class PostgresDatabase:
    """A `Database` at *url* (libpq's URI)."""

    steps = statement("SELECT name FROM migration ORDER BY name")
    tables = statement("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")

    def __init__(self, url: str) -> None:
        self._url = url

    def missing(self) -> Path | None:
        """As in `Database`: every use raises Unavailable with the reason."""
        return None

    @contextlib.contextmanager
    def held(self, *, alone: bool) -> Iterator[None]:
        """As in `Database`."""
        with translating_errors():
            taken = take_part(self._url, alone=alone)
        with contextlib.closing(taken):
            yield

    def in_transaction(self, work: Callable[[Run], T], steps: tuple[Step, ...] = STEPS) -> T:
        """As in `Database`."""
        with translating_errors():
            bring_up_to_date(self._url, steps)
        connection = PostgresConnection(self._url, WRITE, patience=PATIENCE)
        with contextlib.closing(connection):
            return connection.in_transaction(work)

    @contextlib.contextmanager
    def look(self) -> Iterator[Rows]:
        """As in `Database`."""
        with translating_errors(), contextlib.closing(open_connection(self._url)) as connection:
            connection.execute(READ[0].encode())

            def rows(statement: Statement) -> Iterator[Row]:
                with connection.cursor("look") as cursor:
                    cursor.itersize = _FETCHED
                    yield from cursor.execute(statement.postgres.encode())

            yield rows

    def table_names(self) -> Sequence[str]:
        """As in `Database`."""
        with self.look() as rows:
            return sorted(row[0] for row in rows(self.tables))

    def damage(self, table: str, stop: threading.Event) -> str:
        """As in `Database`: each value of each row is read, whose checksums PostgreSQL then checks.

        Only where the cluster has them (`data_checksums`); indexes are not looked at. What takes
        longer than _READ_FOR is not looked at to its end.
        """
        if stop.is_set():
            return ""
        query = sql.SQL("SELECT sum(length(CAST(own AS text))) FROM {} AS own")
        with contextlib.closing(open_connection(self._url)) as connection:
            connection.execute(READ[0].encode())
            connection.execute(_TIMEOUT, (f"{_READ_FOR.total_seconds():.0f}s",))
            try:
                connection.execute(query.format(sql.Identifier(table)))
            except errors.QueryCanceled:
                return ""
            except (errors.DataCorrupted, errors.IndexCorrupted, errors.InternalError_) as error:
                return str(error).strip()
        return ""

    def size(self) -> int:
        """As in `Database`: of the tables in its schema, with their indexes."""
        with self.look() as rows:
            [(found,)] = rows(_SIZE)
            return int(found)

    def wipe(self) -> None:
        """As in `Database`; what the log of PostgreSQL itself holds goes in its time."""
        with translating_errors(), contextlib.closing(open_connection(self._url)) as connection:
            connection.execute(
                "VACUUM (FULL) resource, resource_revision, pinned_body, batch, callback, sealing,"
                " node_command, local_user, secret_source"
            )

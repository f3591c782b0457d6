"""A database, as commands use it beside a server or without one."""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Protocol, TypeVar

from cloud.errors import Unavailable
from cloud.store.migrations import STEPS, Step, migrate
from cloud.store.ownership import Ownership
from cloud.store.parts.part import Run
from cloud.store.rows import Row
from cloud.store.sqlite_connection import SqliteConnection, open_connection
from cloud.store.statements import Statement, statement

T = TypeVar("T")

LOCK_WAIT = timedelta(seconds=5)
"""How long to wait while another process locks the database."""

Rows = Callable[[Statement], Iterable[Row]]
"""All rows of a statement without parameters, a few at a time."""


_MIGRATIONS = frozenset({"_sqlite_migrations", "migration"})
_QUICK_CHECK = "SELECT quick_check FROM pragma_quick_check(?) LIMIT 3"
_STEPS_TO_STOP = 10_000
"""Steps of SQLite's machine between two looks at whether to stop: about a millisecond."""


class Database(Protocol):
    """Where a server keeps everything; Unavailable from any method that cannot get to it."""

    steps: Statement
    """Statement that reads the ids of the migrations that were made, in their order."""

    tables: Statement
    """Statement that reads the names of all tables."""

    def missing(self) -> Path | None:
        """The file that is not there; None if there is nothing of the kind to miss."""
        ...

    def held(self, *, alone: bool) -> AbstractContextManager[None]:
        """Hold a shared lock on the database, or an exclusive one; Unavailable if that fails."""
        ...

    def in_transaction(self, work: Callable[[Run], T], steps: tuple[Step, ...] = STEPS) -> T:
        """Run *work* on the database, which first takes those of *steps* that it has not taken."""
        ...

    def look(self) -> AbstractContextManager[Rows]:
        """Read what is there at one moment and change nothing, also while servers write."""
        ...

    def size(self) -> int:
        """Bytes that it takes on the disk."""
        ...

    def wipe(self) -> None:
        """Leave nothing in it of what was replaced or removed."""
        ...

    def table_names(self) -> Sequence[str]:
        """Every table of the server's, and of its migrations."""
        ...

    def damage(self, table: str, stop: threading.Event) -> str:
        """The damage of *table* as stored; empty: none was found.

        Nothing that writes waits for it. It ends early, and finds nothing, once *stop* is set.
        """
        ...


def taken_steps(database: Database) -> list[str]:
    """Ids of the migrations that *database* has taken, in order; none where no server used it."""
    if database.missing() or _MIGRATIONS.isdisjoint(database.table_names()):
        return []
    with database.look() as rows:
        return [name for (name,) in rows(database.steps)]


class SqliteDatabase:
    """A `Database` in the file *path*."""

    steps = statement("SELECT name FROM _sqlite_migrations ORDER BY name")
    tables = statement("SELECT name FROM sqlite_master WHERE type = 'table'")

    def __init__(self, path: Path) -> None:
        self._path = path

    def missing(self) -> Path | None:
        """As in `Database`."""
        return None if self._path.exists() else self._path

    @contextlib.contextmanager
    def held(self, *, alone: bool) -> Iterator[None]:
        """As in `Database`; the lock of a file is always exclusive."""
        ownership = Ownership(self._path)
        try:
            yield
        finally:
            ownership.release()

    def in_transaction(self, work: Callable[[Run], T], steps: tuple[Step, ...] = STEPS) -> T:
        """As in `Database`."""
        with contextlib.closing(open_connection(self._path, lock_wait=LOCK_WAIT)) as prepared:
            migrate(prepared, steps)
        connection = SqliteConnection(self._path, lock_wait=LOCK_WAIT, read_only=False)
        with contextlib.closing(connection):
            return connection.in_transaction(work)

    @contextlib.contextmanager
    def look(self) -> Iterator[Rows]:
        """As in `Database`; text that is none has replacement characters in it."""
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        try:
            with contextlib.closing(
                sqlite3.connect(uri, uri=True, isolation_level=None)
            ) as connection:
                connection.text_factory = lambda text: text.decode(errors="replace")
                connection.execute("BEGIN")
                yield lambda statement: connection.execute(statement.sqlite)
        except sqlite3.Error as error:
            raise Unavailable(f"{self._path} cannot be read: {error}") from error

    def table_names(self) -> Sequence[str]:
        """As in `Database`."""
        with self.look() as rows:
            return sorted(row[0] for row in rows(self.tables))

    def damage(self, table: str, stop: threading.Event) -> str:
        """As in `Database`: PRAGMA quick_check of the table and its indexes."""
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        try:
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
                connection.set_progress_handler(stop.is_set, _STEPS_TO_STOP)
                found = connection.execute(_QUICK_CHECK, (table,)).fetchall()
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                return ""
            return str(error)
        return "; ".join(row[0] for row in found if row[0] != "ok")

    def size(self) -> int:
        """As in `Database`."""
        files = [self._path, self._path.with_name(f"{self._path.name}-wal")]
        return sum(file.stat().st_size for file in files if file.exists())

    def wipe(self) -> None:
        """As in `Database`."""
        with contextlib.closing(open_connection(self._path, lock_wait=LOCK_WAIT)) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

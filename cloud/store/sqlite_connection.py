"""One connection to SQLite that translates errors and recovers after trouble."""

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from cloud.errors import Unavailable
from cloud.store.parts.part import BrokenReference, DuplicateKey, Run, check_parameters
from cloud.store.rows import Parameters, Row
from cloud.store.statements import SetStatement, Statement

T = TypeVar("T")

logger = logging.getLogger(__name__)

_STATEMENTS_KEPT = 256
# The narrow rows of 100,000 nodes are 13 MB: what looks through them must not push out the rest.
_READ_ONLY = ("PRAGMA query_only = ON", "PRAGMA cache_size = -32768")
_READ_AND_WRITE = ("PRAGMA query_only = OFF",)
_UNIQUE = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}


class SqliteConnection:
    """Owns a connection to the database *path*; used by one thread at a time.

    It is opened when it is first needed. After trouble (disk full, locked, corrupt) it is closed,
    and opened anew when it is next needed, so that nothing of the trouble stays.
    """

    def __init__(self, path: Path, *, lock_wait: timedelta, read_only: bool) -> None:
        self._path = path
        self._lock_wait = lock_wait
        self._read_only = read_only
        # None until it is needed, and after trouble.
        self._open: sqlite3.Connection | None = None
        self._opened_count = 0

    def revision(self) -> int | None:
        """Another number after each commit of another connection, of this process or not.

        None if the database cannot be read now.
        """
        try:
            # Is comparable for one connection alone.
            (version,) = self._opened().execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            self.close()
            return None
        return self._opened_count << 32 | int(version)

    def in_transaction(self, work: Callable[[Run], T]) -> T:
        """Commit what *work* ran, then return its result; roll back if it raises.

        Trouble that *work* met is raised in any case, also if it went on regardless or raised
        something else.
        """
        try:
            connection = self._opened()
        except sqlite3.Error as error:
            raise self._translated(error) from error
        run = _SqliteRun(connection, self._translated)
        try:
            run.control("BEGIN" if self._read_only else "BEGIN IMMEDIATE")
            result = work(run)
            run.control("COMMIT")
        except BaseException as error:
            self._undo(connection, for_good=run.trouble is not None)
            # Work may have made something else of it.
            if run.trouble not in (None, error) and isinstance(error, Exception):
                raise run.trouble from error
            raise
        return result

    def close(self) -> None:
        """Close it, if it is open; used again it would be opened again."""
        if self._open is not None:
            connection, self._open = self._open, None
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _opened(self) -> sqlite3.Connection:
        if self._open is None:
            connection = open_connection(self._path, lock_wait=self._lock_wait)
            for pragma in _READ_ONLY if self._read_only else _READ_AND_WRITE:
                connection.execute(pragma)
            self._open = connection
            self._opened_count += 1
        return self._open

    def _undo(self, connection: sqlite3.Connection, *, for_good: bool) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            logger.warning("cannot roll back, opening the database anew: %s", error)
            for_good = True
        if for_good:
            self.close()

    def _translated(self, error: sqlite3.Error) -> Exception:
        """*error* as the rest of the server knows it; defects stay as they are."""
        code = getattr(error, "sqlite_errorcode", None)
        if code in _UNIQUE:
            return DuplicateKey(str(error))
        if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
            return BrokenReference(str(error))
        if code == sqlite3.SQLITE_READONLY and self._read_only:
            return RuntimeError("work that only reads may not change anything")
        return trouble_of(error) or error


class _SqliteRun:
    """The `Run` of one transaction."""

    def __init__(
        self, connection: sqlite3.Connection, translated: Callable[[sqlite3.Error], Exception]
    ) -> None:
        self._connection = connection
        self._translated = translated
        # What ended the transaction, whether or not the work has noticed: SQLite may have rolled
        # back, and what comes then would be committed on its own.
        self.trouble: Unavailable | None = None

    def control(self, text: str) -> None:
        """Begin or end the transaction."""
        self._check({})
        try:
            self._connection.execute(text)
        except sqlite3.Error as error:
            raise self._noted(error) from error

    def __call__(self, statement: Statement, parameters: Parameters, /) -> Sequence[Row]:
        """As in `Run`."""
        self._check(parameters)
        try:
            return self._connection.execute(statement.sqlite, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._noted(error) from error

    def each(self, statement: Statement, rows: Sequence[Parameters], /) -> None:
        """As in `Run`; one call for all: each would let go of the interpreter several times."""
        self._check({})
        # Those of a set are checked when they are put.
        for row in () if isinstance(statement, SetStatement) else rows:
            check_parameters(row)
        try:
            self._connection.executemany(statement.sqlite, rows)
        except sqlite3.Error as error:
            raise self._noted(error) from error

    def _check(self, parameters: Parameters) -> None:
        if self.trouble is not None:
            raise self.trouble
        check_parameters(parameters)

    def _noted(self, error: sqlite3.Error) -> Exception:
        ours = self._translated(error)
        if isinstance(ours, Unavailable):
            self.trouble = ours
        return ours


def trouble_of(error: sqlite3.Error) -> Unavailable | None:
    """Unavailable, if *error* is about the disk or the file; None if about a statement."""
    if isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError:
        return Unavailable(f"the database cannot be used: {error}")
    return None


def open_connection(path: Path, *, lock_wait: timedelta) -> sqlite3.Connection:
    """A connection to a database that is there, durable and with its references checked.

    Transactions are begun and ended by statements. One thread at a time may use it.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=lock_wait.total_seconds(),
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS_KEPT,
    )
    try:
        for pragma in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "PRAGMA foreign_keys = ON",
            "PRAGMA trusted_schema = OFF",
            "PRAGMA journal_size_limit = 67108864",
            # A group of reports must not spill (2 MB by default), and pages that many groups
            # write are copied into the database once (every 4 MB by default).
            "PRAGMA cache_size = -16384",
            "PRAGMA wal_autocheckpoint = 4000",
        ):
            connection.execute(pragma).fetchall()
    except BaseException:
        connection.close()
        raise
    return connection

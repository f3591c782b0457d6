"""One connection to PostgreSQL that translates errors and recovers after trouble."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from cloud.errors import Unavailable
from cloud.store.parts.part import BrokenReference, DuplicateKey, Run, check_parameters
from cloud.store.rows import Parameters, Row
from cloud.store.statements import SetStatement, Statement

T = TypeVar("T")

LOCKS = 0x65646773
"""The class of this program's advisory locks: "edgs"."""

logger = logging.getLogger(__name__)

_NOTHING: Parameters = {}
READ = ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",)
"""How a transaction begins that only reads: it sees one moment."""

CONCURRENT = ("BEGIN ISOLATION LEVEL REPEATABLE READ",)
"""How a concurrent one begins: it sees one moment; of two that change one row one is run again."""

WRITE = ("BEGIN ISOLATION LEVEL READ COMMITTED", f"SELECT pg_advisory_xact_lock({LOCKS}, 3)")
"""How a serial one begins: one at a time; each statement sees what was committed before it."""


class Interrupted(Exception):
    """Another transaction was faster: nothing was done, and the same may be tried again."""


class _NeedsSavepoints(Exception):
    """A statement met a constraint that the work may go on after; that takes savepoints."""


class PostgresConnection:
    """Owns a connection to the database at *url*; used by one thread at a time.

    It is opened when it is first needed. After trouble (server gone, disk full) it is closed, and
    opened anew when it is next needed.
    """

    def __init__(self, url: str, begin: Sequence[str], *, patience: timedelta) -> None:
        self._url = url
        self._begin = begin
        self._patience = patience
        # None until it is needed, and after trouble.
        self._open: psycopg.Connection | None = None

    def in_transaction(self, work: Callable[[Run], T]) -> T:
        """Commit what *work* ran, then return its result; roll back if it raises.

        Work is run again when another transaction was faster, until it succeeds or patience ends:
        then Unavailable. It is also run again after a statement that met a constraint, so that it
        can go on after that: every statement is then a little transaction of its own. Trouble that
        *work* met is raised in any case, also if it went on regardless or raised something else.
        """
        savepoints = False
        pauses = _pauses(self._patience)
        while True:
            try:
                return self._once(work, savepoints=savepoints)
            except _NeedsSavepoints:
                savepoints = True
            except Interrupted as error:
                pause = next(pauses, None)
                if pause is None:
                    raise Unavailable(f"the database is busy: {error}") from error
                time.sleep(pause)

    def _once(self, work: Callable[[Run], T], *, savepoints: bool) -> T:
        connection, run = self._begun(savepoints=savepoints)
        try:
            result = work(run)
            run.control("COMMIT")
        except BaseException as error:
            self._undo(connection, for_good=isinstance(run.trouble, Unavailable))
            # Work may have made something else of it.
            if run.trouble not in (None, error) and isinstance(error, Exception):
                raise run.trouble from error
            raise
        return result

    def _begun(self, *, savepoints: bool) -> tuple[psycopg.Connection, "_PostgresRun"]:
        """A transaction that has begun; a connection that broke while it was idle is replaced."""
        while True:
            was_idle = self._open is not None
            try:
                connection = self._opened()
            except psycopg.Error as error:
                raise _translated(error) from error
            run = _PostgresRun(connection, savepoints=savepoints)
            try:
                for text in self._begin:
                    run.control(text)
            except BaseException as error:
                broke = isinstance(error, Unavailable)
                self._undo(connection, for_good=broke)
                if not (broke and was_idle):
                    raise
            else:
                return connection, run

    def close(self) -> None:
        """Close it, if it is open; used again it would be opened again."""
        if self._open is not None:
            connection, self._open = self._open, None
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def _opened(self) -> psycopg.Connection:
        if self._open is None:
            self._open = open_connection(self._url)
        return self._open

    def _undo(self, connection: psycopg.Connection, *, for_good: bool) -> None:
        try:
            if connection.info.transaction_status is not TransactionStatus.IDLE:
                connection.execute("ROLLBACK")
        except psycopg.Error as error:
            logger.warning("cannot roll back, connecting to the database anew: %s", error)
            for_good = True
        if for_good:
            self.close()


class _PostgresRun:
    """The `Run` of one transaction."""

    def __init__(self, connection: psycopg.Connection, *, savepoints: bool) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._savepoints = savepoints
        # What ended the transaction, whether or not the work has noticed.
        self.trouble: Exception | None = None

    def control(self, text: str) -> None:
        """Begin or end the transaction."""
        if self.trouble is not None:
            raise self.trouble
        with self._translating_errors():
            self._attempt(text, _NOTHING)

    def __call__(self, statement: Statement, parameters: Parameters, /) -> Sequence[Row]:
        """As in `Run`."""
        if self.trouble is not None:
            raise self.trouble
        check_parameters(parameters)
        with self._translating_errors():
            return self._attempt(statement.postgres, parameters)

    def each(self, statement: Statement, rows: Sequence[Parameters], /) -> None:
        """As in `Run`; all are on their way before the first is answered."""
        if self.trouble is not None:
            raise self.trouble
        if isinstance(statement, SetStatement):
            if rows:
                with self._translating_errors():
                    self._attempt(statement.postgres, _parameters_of(statement, rows))
            return
        if self._savepoints:
            for row in rows:
                self(statement, row)
            return
        for row in rows:
            check_parameters(row)
        with self._translating_errors():
            self._cursor.executemany(statement.postgres.encode(), rows)

    @contextlib.contextmanager
    def _translating_errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            ours = _translated(error)
            if isinstance(ours, (DuplicateKey, BrokenReference)) and not self._savepoints:
                ours = _NeedsSavepoints()
            if isinstance(ours, (Unavailable, Interrupted, _NeedsSavepoints)):
                self.trouble = ours
            if ours is error:
                raise
            raise ours from error

    def _attempt(self, text: str, parameters: Mapping[str, Any]) -> Sequence[Row]:
        if not self._savepoints or self._status is not TransactionStatus.INTRANS:
            return self._execute(text, parameters)
        self._execute("SAVEPOINT statement", _NOTHING)
        try:
            rows = self._execute(text, parameters)
        except errors.IntegrityError:
            self._execute("ROLLBACK TO SAVEPOINT statement", _NOTHING)
            self._execute("RELEASE SAVEPOINT statement", _NOTHING)
            raise
        if self._status is TransactionStatus.INTRANS:
            self._execute("RELEASE SAVEPOINT statement", _NOTHING)
        return rows

    def _execute(self, text: str, parameters: Mapping[str, Any]) -> Sequence[Row]:
        self._cursor.execute(text.encode(), parameters)
        return self._cursor.fetchall() if self._cursor.description is not None else []

    @property
    def _status(self) -> TransactionStatus:
        return self._connection.info.transaction_status


def _parameters_of(statement: SetStatement, rows: Sequence[Parameters]) -> Mapping[str, Any]:
    """The parameters of *statement* for all of *rows*, which were checked when they were put."""
    lists = {name: [row[name] for row in rows] for name in statement.apart}
    if lists:
        rows = [{name: value for name, value in row.items() if name not in lists} for row in rows]
    return {"rows": msgspec.json.encode(rows).decode(), **lists}


def _pauses(patience: timedelta) -> Iterator[float]:
    """Seconds to wait between attempts: a little more each time, *patience* in all."""
    left, pause = patience.total_seconds(), 0.001
    while left > 0:
        yield pause
        left -= pause
        pause = min(pause * 1.5, 0.25)


DEFAULTS = {
    "application_name": "edgesync",
    "connect_timeout": "10",
    # Of several hosts the one that takes writes, which is another one after a failover.
    "target_session_attrs": "read-write",
    # A host that has disappeared is noticed within 30 seconds, also while nothing is sent to it.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "30000",
}
"""Parameters of libpq, where the URL has no other ones."""

_LZ4_VERSION = 14_00_00
"""That of PostgreSQL from which on it compresses with lz4, if it was built so."""


def open_connection(url: str) -> psycopg.Connection:
    """A connection whose transactions are begun and ended by statements."""
    wanted = {**DEFAULTS, **conninfo_to_dict(url)}
    connection = psycopg.connect(make_conninfo("", **wanted), autocommit=True)
    # Compiling a statement takes 100 ms, and longer than running any of these.
    connection.execute("SET jit = off")
    # Compressing 64 reports of 2 kB takes 0.6 ms less. Asking first takes 1.2 ms of each opening.
    if connection.info.server_version >= _LZ4_VERSION:
        with contextlib.suppress(errors.InvalidParameterValue):
            connection.execute("SET default_toast_compression = lz4")
    return connection


@contextlib.contextmanager
def translating_errors() -> Iterator[None]:
    """Raise Unavailable for every error of the database."""
    try:
        yield
    except psycopg.Error as error:
        raise Unavailable(f"the database cannot be used: {str(error).strip()}") from error


def _translated(error: psycopg.Error) -> Exception:
    """*error* as the rest of the server knows it; defects stay as they are."""
    match error:
        case errors.UniqueViolation():
            return DuplicateKey(str(error))
        case errors.ForeignKeyViolation():
            return BrokenReference(str(error))
        case errors.SerializationFailure() | errors.DeadlockDetected():
            return Interrupted(str(error))
        case errors.ReadOnlySqlTransaction():
            return RuntimeError("work that only reads may not change anything")
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return Unavailable(f"the database cannot be used: {str(error).strip()}")
        case _:
            return error

"""The store on PostgreSQL: any number of servers on one database.

Writes are one at a time among all servers, as on SQLite, so that what work has looked at stays as
it was until it has written. Reports of nodes are written concurrently (`write_concurrent`): of two
writes that change the same row the later one is run again. `NOTIFY` wakes other servers.
"""

import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import psycopg
from psycopg import errors

from cloud.errors import Unavailable
from cloud.store.migrations import STEPS, Step, refuse_unknown
from cloud.store.parts.part import Run
from cloud.store.postgres_connection import (
    CONCURRENT,
    LOCKS,
    READ,
    WRITE,
    PostgresConnection,
    open_connection,
)
from cloud.store.sealing import Sealer
from cloud.store.statements import statement
from cloud.store.threads import EVENTS, PENDING, ThreadedStore
from cloud.store.witness import Witness

logger = logging.getLogger(__name__)

WRITERS = 2
"""Threads that write: while one waits for the disk the other prepares."""

CONCURRENT_WRITERS = 4
"""Threads of `write_concurrent`."""

READERS = 4
"""Threads that read."""

PATIENCE = timedelta(seconds=10)
"""How long work is tried again while others are faster."""

CHANNELS = {PENDING: "edgesync_stale", EVENTS: "edgesync_events"}
"""Channels of the notices between servers; their names are those of older versions."""

MIGRATION_ATTEMPTS = 10
"""How often a migration begins, if it and other servers wait for each other."""

_CLOSING_SECONDS = 1
"""How long a connection that was closed may keep its lock: PostgreSQL ends its process later."""

_NOTIFY = statement("SELECT pg_notify(:channel, :server)")
_WHAT = {channel: what for what, channel in CHANNELS.items()}
_LISTEN_SECONDS = 0.05
_RECONNECT_SECONDS = 1.0
_ONE_MIGRATES = f"SELECT pg_advisory_xact_lock({LOCKS}, 1)"
_ONE_OF_MANY = f"SELECT pg_advisory_lock_shared({LOCKS}, 2)"
_THE_ONLY_ONE = f"SELECT pg_advisory_lock({LOCKS}, 2)"
_MIGRATIONS = """
CREATE TABLE IF NOT EXISTS migration (name TEXT COLLATE "C" NOT NULL PRIMARY KEY)
"""


@contextlib.asynccontextmanager
async def open_postgres_store(
    url: str,
    *,
    sealer: Sealer,
    witness: Witness,
    alone: bool = False,
    patience: timedelta = PATIENCE,
) -> AsyncIterator["PostgresStore"]:
    """Open the database at *url* (libpq's URI), which has to be there, and close it at the end.

    *alone* keeps other servers out, for as long as this one is connected. Unavailable if they are
    there already or want to be alone, if the database cannot be reached, was sealed with another
    key, was written by a newer version or does not keep text as UTF-8.
    """
    store = PostgresStore(url, sealer=sealer, witness=witness, alone=alone, patience=patience)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


class PostgresStore(ThreadedStore):
    """A `Store` that any number of servers can have; made by `open_postgres_store`."""

    def __init__(
        self, url: str, *, sealer: Sealer, witness: Witness, alone: bool, patience: timedelta
    ) -> None:
        def connections(count: int, begin: Sequence[str]) -> list[PostgresConnection]:
            return [PostgresConnection(url, begin, patience=patience) for _ in range(count)]

        super().__init__(
            sealer=sealer,
            witness=witness,
            writers=connections(WRITERS, WRITE),
            concurrent_writers=connections(CONCURRENT_WRITERS, CONCURRENT),
            readers=connections(READERS, READ),
        )
        self._url = url
        self._alone = alone
        # Holds the right to use the database, and receives notices.
        self._listening: psycopg.Connection | None = None
        self._listener = threading.Thread(target=self._listen, name="store-listener", daemon=True)
        self._ended = threading.Event()
        # Identifies this server among the others on the database.
        self._number = 0

    def _prepare(self) -> None:
        try:
            self._listening = self._take_part()
            _take_steps(self._listening, STEPS)
        except psycopg.Error as error:
            raise Unavailable(f"the database cannot be opened: {str(error).strip()}") from error
        self._listener.start()

    def _release(self) -> None:
        self._ended.set()
        if self._listener.is_alive():
            self._listener.join()
        if self._listening is not None:
            self._listening.close()

    def _announce(self, run: Run, what: str) -> None:
        run(_NOTIFY, {"channel": CHANNELS[what], "server": str(self._number)})

    def _take_part(self) -> psycopg.Connection:
        connection = take_part(self._url, alone=self._alone)
        try:
            for channel in CHANNELS.values():
                connection.execute(f"LISTEN {channel}".encode())
            self._number = connection.info.backend_pid
        except BaseException:
            connection.close()
            raise
        return connection

    def _listen(self) -> None:
        """Pass on the notices of other servers; connect again and again.

        Notices that are missed meanwhile are made up for by polling.
        """
        while not self._ended.is_set():
            try:
                if self._listening is None:
                    self._listening = self._take_part()
                    for what in CHANNELS:
                        self._wake(what)
                for notice in self._listening.notifies(timeout=_LISTEN_SECONDS):
                    if notice.payload != str(self._number):
                        self._wake(_WHAT[notice.channel])
            except (psycopg.Error, Unavailable) as error:
                logger.warning("cannot hear of other servers, trying again: %s", error)
                if self._listening is not None:
                    self._listening.close()
                    self._listening = None
                self._ended.wait(_RECONNECT_SECONDS)


def take_part(url: str, *, alone: bool) -> psycopg.Connection:
    """A connection that holds the right to use the database, for as long as it is open.

    Unavailable if others still do after _CLOSING_SECONDS and one of them wants to be *alone*, or
    if text is not stored as UTF-8.
    """
    connection = open_connection(url)
    try:
        _check_encoding(connection)
        _own(connection, _THE_ONLY_ONE if alone else _ONE_OF_MANY)
    except BaseException:
        connection.close()
        raise
    return connection


def bring_up_to_date(url: str, steps: tuple[Step, ...] = STEPS) -> None:
    """Take those of *steps* that the database has not taken yet."""
    with contextlib.closing(open_connection(url)) as connection:
        _take_steps(connection, steps)


def _take_steps(connection: psycopg.Connection, steps: tuple[Step, ...]) -> None:
    """Migrate in a transaction, beside servers of the version before.

    They read a table and then write it: with a step that locks the table in between, each waits for
    the other. PostgreSQL ends one of both; if that is this one, it begins again.
    """
    for _ in range(MIGRATION_ATTEMPTS - 1):
        with contextlib.suppress(errors.DeadlockDetected):
            _migrate_once(connection, steps)
            return
    _migrate_once(connection, steps)


def _migrate_once(connection: psycopg.Connection, steps: tuple[Step, ...]) -> None:
    with connection.transaction():
        # Waits for another server that migrates, where taking part waits for a moment.
        connection.execute("SET LOCAL lock_timeout = 0")
        migrate(connection, steps)


def _check_encoding(connection: psycopg.Connection) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise Unavailable(f"the database keeps text as {encoding}, not as UTF8")


def _own(connection: psycopg.Connection, ownership: str) -> None:
    connection.execute(f"SET lock_timeout = '{_CLOSING_SECONDS}s'".encode())
    try:
        connection.execute(ownership.encode())
    except errors.LockNotAvailable:
        reason = "another server is using the database, and one of them is to be alone"
        raise Unavailable(reason) from None


def migrate(connection: psycopg.Connection, steps: tuple[Step, ...] = STEPS) -> None:
    """Take the steps the database has not taken yet, all in the transaction that is open.

    One server at a time does. Unavailable as for SQLite.
    """
    connection.execute(_ONE_MIGRATES.encode())
    connection.execute(_MIGRATIONS)
    taken = {name for (name,) in connection.execute("SELECT name FROM migration").fetchall()}
    refuse_unknown(taken, steps)
    for name, definitions in steps:
        if name not in taken:
            for definition in definitions:
                connection.execute(definition.postgres.encode())
            connection.execute("INSERT INTO migration (name) VALUES (%s)", (name,))

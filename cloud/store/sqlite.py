"""The store on SQLite: one thread that writes, a few that read, one server for one database."""

import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

from cloud.errors import Unavailable
from cloud.store.migrations import migrate
from cloud.store.ownership import Ownership
from cloud.store.parts.part import Run
from cloud.store.sealing import Sealer, sync_directory
from cloud.store.sqlite_connection import SqliteConnection, open_connection, trouble_of
from cloud.store.threads import ThreadedStore
from cloud.store.witness import Witness

READERS = 2
"""Threads that read; more of them fight for the one interpreter: four did half as much."""

LOCK_WAIT = timedelta(seconds=5)
"""How long a transaction waits while a tool outside of the server locks the database."""


@contextlib.asynccontextmanager
async def open_sqlite_store(
    path: Path, *, sealer: Sealer, witness: Witness, lock_wait: timedelta = LOCK_WAIT
) -> AsyncIterator["SqliteStore"]:
    """Open the database in the file *path*, made if it is not there, and close it at the end.

    Unavailable if another server uses it, if it was sealed with another key, if a newer version has
    written it, or if it is no database.
    """
    store = SqliteStore(path, sealer=sealer, witness=witness, lock_wait=lock_wait)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


class SqliteStore(ThreadedStore):
    """A `Store`; made by `open_sqlite_store` and used from one event loop.

    Writes are done one after the other in the order they were asked for. What waits for the writer
    is what callers await, no more.
    """

    def __init__(
        self, path: Path, *, sealer: Sealer, witness: Witness, lock_wait: timedelta
    ) -> None:
        self._looks = SqliteConnection(path, lock_wait=timedelta(), read_only=True)
        super().__init__(
            sealer=sealer,
            witness=witness,
            writers=[SqliteConnection(path, lock_wait=lock_wait, read_only=False)],
            readers=[
                SqliteConnection(path, lock_wait=lock_wait, read_only=True) for _ in range(READERS)
            ],
            short_reader=self._looks,
        )
        self._path = path
        self._lock_wait = lock_wait
        # Held while the store is opened; None before and after.
        self._ownership: Ownership | None = None

    def revision(self) -> int | None:
        """As in `NotifyingStore`; commands beside the server change things, too."""
        return None if self._closed else self._looks.revision()

    def _prepare(self) -> None:
        try:
            _make_private_file(self._path)
            self._ownership = Ownership(self._path)
            connection = open_connection(self._path, lock_wait=self._lock_wait)
            try:
                migrate(connection)
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise trouble_of(error) or error from error
        except OSError as error:
            raise Unavailable(f"the database cannot be opened: {error}") from error

    def _announce(self, run: Run, what: str) -> None:
        """There are no other servers."""

    def _release(self) -> None:
        if self._ownership is not None:
            self._ownership.release()


def _make_private_file(path: Path) -> None:
    """Let only the owner use the database; SQLite gives its other files the same mode."""
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(number, 0o600)
    finally:
        os.close(number)
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).chmod(0o600)
    sync_directory(path.parent)

"""The store on SQLite: one thread that writes, a few that read, one server for one database."""

import asyncio
import contextlib
import contextvars
import os
import queue
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from cloud.errors import Unavailable
from cloud.store import sql
from cloud.store.connection import Connection, open_connection, trouble_of
from cloud.store.interface import Transaction
from cloud.store.memory import Memory
from cloud.store.migrations import migrate
from cloud.store.ownership import Ownership
from cloud.store.parts.part import Run
from cloud.store.sealing import CHECK_PLACE, Sealer, sync_directory
from cloud.store.transaction import SqlTransaction

T = TypeVar("T")

READERS = 4
"""Threads that read."""

LOCK_WAIT = timedelta(seconds=5)
"""How long a transaction waits while a tool outside of the server locks the database."""


@contextlib.asynccontextmanager
async def open_sqlite_store(
    path: Path, *, sealer: Sealer, lock_wait: timedelta = LOCK_WAIT
) -> AsyncIterator["SqliteStore"]:
    """Open the database in the file *path*, made if it is not there, and close it at the end.

    Unavailable if another server uses it, if it was sealed with another key, if a newer version has
    written it, or if it is no database.
    """
    store = SqliteStore(path, sealer=sealer, lock_wait=lock_wait)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


class SqliteStore:
    """A `Store`; made by `open_sqlite_store` and used from one event loop.

    Writes are done one after the other in the order they were asked for. What waits for the writer
    is what callers await, no more.
    """

    def __init__(self, path: Path, *, sealer: Sealer, lock_wait: timedelta) -> None:
        self._path = path
        self._sealer = sealer
        self._lock_wait = lock_wait
        self._memory = Memory()
        self._writer = Connection(path, lock_wait=lock_wait, read_only=False)
        self._writing = ThreadPoolExecutor(1, "store-writer")
        self._reading = ThreadPoolExecutor(READERS, "store-reader")
        # Connections of readers that have nothing to do: one for each thread.
        self._readers: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        for _ in range(READERS):
            self._readers.put(Connection(path, lock_wait=lock_wait, read_only=True))
        # Held while the store is opened; None before and after.
        self._ownership: Ownership | None = None
        # Set after the commit of a transaction that marked nodes stale.
        self._stale = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        # No more work is taken once this is set.
        self._closed = False
        self._closing = threading.Lock()

    async def open(self) -> None:
        """Make the database ready; to be called once, before anything else."""
        await self._submit(self._writing, self._prepare)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """As in `Store`."""
        return await self._submit(self._writing, lambda: self._write(work))

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """As in `Store`."""
        return await self._submit(self._reading, lambda: self._read(work))

    async def wait_for_stale(self) -> None:
        """As in `Store`; at once after opening a database that has such nodes."""
        await self._stale.wait()
        self._stale.clear()

    async def close(self) -> None:
        """Take no more work, finish what was taken, let go of the database; may be repeated."""
        self._closed = True
        done = self._loop.run_in_executor(None, self._finish)
        try:
            await asyncio.shield(done)
        except asyncio.CancelledError:
            await done
            raise

    async def _submit(self, threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        if self._closed:
            raise Unavailable("the store is closed")
        # What the threads log is about whatever the caller works for.
        context = contextvars.copy_context()
        return await self._loop.run_in_executor(threads, context.run, call)

    # on the writer's thread
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
        if self._writer.in_transaction(self._check):
            self._loop.call_soon_threadsafe(self._stale.set)

    def _check(self, run: Run) -> bool:
        """Refuse another key than the first one, finish migrating; whether nodes are stale."""
        found = run(sql.SEALED_CHECK, {})
        if found:
            self._sealer.unseal(found[0][0], *CHECK_PLACE)
        else:
            run(sql.PUT_SEALED_CHECK, {"sealed": self._sealer.seal(b"edgesync", *CHECK_PLACE)})
        SqlTransaction(run, self._sealer, self._memory).label_all()
        return bool(run(sql.ANY_STALE, {}))

    def _write(self, work: Callable[[Transaction], T]) -> T:
        result, marked_stale = self._writer.in_transaction(lambda run: self._carry_out(work, run))
        if marked_stale:
            self._loop.call_soon_threadsafe(self._stale.set)
        return result

    # on a reader's thread
    def _read(self, work: Callable[[Transaction], T]) -> T:
        reader = self._readers.get()
        try:
            return reader.in_transaction(lambda run: self._carry_out(work, run))[0]
        finally:
            self._readers.put(reader)

    # on any thread
    def _carry_out(self, work: Callable[[Transaction], T], run: Run) -> tuple[T, bool]:
        tx = SqlTransaction(run, self._sealer, self._memory)
        try:
            return work(tx), tx.marked_stale
        except StopIteration as error:
            # No future can carry it: whoever awaits would wait for ever.
            raise RuntimeError("work raised StopIteration") from error
        finally:
            tx.end()

    def _finish(self) -> None:
        with self._closing:
            self._reading.shutdown()
            self._writing.shutdown()
            while not self._readers.empty():
                self._readers.get().close()
            self._writer.close()
            if self._ownership is not None:
                self._ownership.release()


def _make_private_file(path: Path) -> None:
    """Let nobody but the owner use the database; SQLite gives its other files the same mode."""
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(number, 0o600)
    finally:
        os.close(number)
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).chmod(0o600)
    sync_directory(path.parent)

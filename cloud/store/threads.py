"""The base of both stores: work goes to threads, each with a connection of its own."""

import asyncio
import contextvars
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from cloud.errors import Unavailable
from cloud.store.cache import StoreCache
from cloud.store.outcomes import WriteOutcomes
from cloud.store.parts.part import NOTHING, Run
from cloud.store.parts.pending_nodes import ANY_PENDING
from cloud.store.sealing import CHECK_PLACE, PUT_SEALED_CHECK, SEALED_CHECK, Sealer
from cloud.store.transaction import Transaction
from cloud.store.witness import Witness

T = TypeVar("T")

PENDING = "pending"
EVENTS = "events"
"""Notices between servers: there are pending nodes; events have been numbered."""

ROLLOUTS = "rollouts"
"""A notice within a server: rollouts or assignments have changed."""


class DatabaseConnection(Protocol):
    """Runs work in a transaction; used by one thread at a time."""

    def in_transaction(self, work: Callable[[Run], T]) -> T:
        """Commit what *work* ran, then return its result; roll back if it raises."""
        ...

    def close(self) -> None:
        """Close it, if it is open; used again it would be opened again."""
        ...


class _Pool:
    """Threads, and a connection for each."""

    def __init__(self, connections: Sequence[DatabaseConnection], name: str) -> None:
        self.threads = ThreadPoolExecutor(len(connections), name)
        # Those of threads that have nothing to do. The one that was used last is used next: others
        # are opened when there is work for them, and its statements are prepared.
        self._idle = deque(connections)

    def in_transaction(self, work: Callable[[Run], T]) -> T:
        """Run *work*; to be called on one of the threads."""
        connection = self._idle.pop()
        try:
            return connection.in_transaction(work)
        finally:
            self._idle.append(connection)

    def close(self) -> None:
        """Finish what was taken, then close the connections; may be repeated."""
        self.threads.shutdown()
        while self._idle:
            self._idle.pop().close()


class ThreadedStore(ABC):
    """A `Store` over connections that block; used from one event loop."""

    def __init__(
        self,
        *,
        sealer: Sealer,
        witness: Witness,
        writers: Sequence[DatabaseConnection],
        concurrent_writers: Sequence[DatabaseConnection] = (),
        readers: Sequence[DatabaseConnection],
        short_reader: DatabaseConnection | None = None,
    ) -> None:
        """*concurrent_writers* run `write_concurrent`; without them *writers* do.

        *short_reader* is used by the event loop itself, and waits for nothing.
        """
        self._sealer = sealer
        self._witness = witness
        self._cache = StoreCache()
        self._writing = _Pool(writers, "store-writer")
        self._concurrent = (
            _Pool(concurrent_writers, "store-concurrent") if concurrent_writers else self._writing
        )
        self._reading = _Pool(readers, "store-reader")
        self._short_reader = short_reader
        # What came of the transactions that may write.
        self.outcomes = WriteOutcomes()
        # Set after the commit of a transaction that marked nodes as pending.
        self._pending = asyncio.Event()
        # Set after the commit of one that recorded events.
        self._events = asyncio.Event()
        # Set after the commit of one that changed rollouts or assignments.
        self._rollouts = asyncio.Event()
        self._notices = {
            PENDING: self._pending,
            EVENTS: self._events,
            ROLLOUTS: self._rollouts,
        }
        self._loop = asyncio.get_running_loop()
        # No more work is taken once this is set.
        self._closed = False
        self._closing = threading.Lock()

    async def open(self) -> None:
        """Make the database ready; to be called once, before anything else."""
        await self._submit(self._writing, self._open)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """As in `Store`."""
        return await self._submit(self._writing, lambda: self._write(self._writing, work))

    async def write_concurrent(self, work: Callable[[Transaction], T]) -> T:
        """As in `Store`."""
        return await self._submit(self._concurrent, lambda: self._write(self._concurrent, work))

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """As in `Store`."""
        return await self._submit(self._reading, lambda: self._read(work))

    async def read_short(self, work: Callable[[Transaction], T]) -> T:
        """As in `Store`."""
        if self._short_reader is not None and not self._closed:
            try:
                return self._short_reader.in_transaction(lambda run: self._carry_out(work, run))[0]
            except Unavailable:
                # Something has locked the database, or it has trouble: a thread may wait for it.
                pass
        return await self.read(work)

    def revision(self) -> int | None:
        """As in `NotifyingStore`."""
        return None

    async def wait_for_pending(self) -> None:
        """As in `NotifyingStore`; at once after opening a database that has such nodes."""
        await self._pending.wait()
        self._pending.clear()

    async def wait_for_events(self) -> None:
        """As in `NotifyingStore`."""
        await self._events.wait()
        self._events.clear()

    async def wait_for_rollouts(self) -> None:
        """As in `NotifyingStore`."""
        await self._rollouts.wait()
        self._rollouts.clear()

    async def close(self) -> None:
        """Take no more work, finish the rest, release the database; may be repeated."""
        self._closed = True
        done = self._loop.run_in_executor(None, self._finish)
        try:
            await asyncio.shield(done)
        except asyncio.CancelledError:
            await done
            raise

    async def _submit(self, pool: _Pool, call: Callable[[], T]) -> T:
        if self._closed:
            raise Unavailable("the store is closed")
        # What the threads log is about whatever the caller works for.
        context = contextvars.copy_context()
        return await self._loop.run_in_executor(pool.threads, context.run, call)

    # on a thread
    @abstractmethod
    def _prepare(self) -> None:
        """Take the database for this server and migrate it."""

    @abstractmethod
    def _release(self) -> None:
        """Undo `_prepare`, as far as it got; may be repeated."""

    @abstractmethod
    def _announce(self, run: Run, what: str) -> None:
        """Send a notice, PENDING or EVENTS, to other servers with the commit."""

    def _wake(self, what: str = PENDING) -> None:
        """Let the `wait_for_` method of that notice return."""
        self._loop.call_soon_threadsafe(self._notices[what].set)

    def _open(self) -> None:
        self._prepare()
        if self._writing.in_transaction(self._check):
            self._wake()

    def _check(self, run: Run) -> bool:
        """Refuse another key than the first one, finish migrating; whether nodes are pending."""
        found = run(SEALED_CHECK, NOTHING)
        if found:
            self._sealer.unseal(found[0][0], *CHECK_PLACE)
        else:
            run(PUT_SEALED_CHECK, {"sealed": self._sealer.seal(b"edgesync", *CHECK_PLACE)})
        tx = self._transaction(run)
        tx.label_all()
        tx.begin_audit()
        tx.check_audit_key(is_new=self._witness.has_new_key)
        tx.finish()
        return bool(run(ANY_PENDING, NOTHING))

    def _write(self, pool: _Pool, work: Callable[[Transaction], T]) -> T:
        def carry_out(run: Run) -> tuple[T, Transaction]:
            result, tx = self._carry_out(work, run)
            if tx.marked_pending:
                self._announce(run, PENDING)
            if tx.numbered_events:
                self._announce(run, EVENTS)
            if tx.on_commit is not None:
                self._loop.call_soon_threadsafe(tx.on_commit)
            return result, tx

        try:
            result, tx = pool.in_transaction(carry_out)
        except Unavailable as error:
            self.outcomes.record(error.reason)
            raise
        self.outcomes.record()
        tx.remember()
        if tx.marked_pending:
            self._wake(PENDING)
        if tx.recorded_events:
            self._wake(EVENTS)
        if tx.changed_rollouts:
            self._wake(ROLLOUTS)
        if tx.appended is not None:
            self._witness.record(tx.appended)
        return result

    def _read(self, work: Callable[[Transaction], T]) -> T:
        return self._reading.in_transaction(lambda run: self._carry_out(work, run))[0]

    def _transaction(self, run: Run) -> Transaction:
        return Transaction(run, self._sealer, self._cache, self._witness.chain)

    def _carry_out(self, work: Callable[[Transaction], T], run: Run) -> tuple[T, Transaction]:
        tx = self._transaction(run)
        try:
            result = work(tx)
            tx.finish()
        except StopIteration as error:
            # No future can carry it: the caller would wait for ever.
            raise RuntimeError("work raised StopIteration") from error
        else:
            return result, tx
        finally:
            tx.end()

    def _finish(self) -> None:
        with self._closing:
            for pool in (self._reading, self._concurrent, self._writing):
                pool.close()
            if self._short_reader is not None:
                self._short_reader.close()
            self._release()

"""Send deliveries from their queue: at least once, with exponential backoff.

The queue is a table, so a delivery survives the death of the server; of several servers one claims
it. Each receiver has a task of its own, so a slow or unreachable one does not delay others.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from cloud.core.sending import Delivery, DeliveryAttempt
from cloud.errors import Unavailable
from cloud.operations.deliveries import Outbox, next_group, record_attempts
from cloud.store.transaction import Store, Transaction

logger = logging.getLogger(__name__)

SERVED = 16
"""Receivers of one queue with a request in flight at the same time."""

POLL_EVERY = timedelta(seconds=60)
"""Longest delay of a delivery whose wake-up was lost."""

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class DeliveryClient(Protocol[T_contra]):
    """Makes attempts, several at a time; an error is in the attempt, not raised."""

    async def attempt(
        self, target: T_contra, delivery: Delivery, *, now: datetime
    ) -> DeliveryAttempt:
        """One attempt, at *now*."""
        ...


OpenClient = Callable[[], contextlib.AbstractAsyncContextManager[DeliveryClient[T]]]
"""Opens a client, with the first delivery that is due: it loads what takes time."""


class DeliverySender(Generic[T]):
    """Owns the delivery from a queue to the receivers; *jitter* returns a number from 0 to 1."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox[T],
        open_client: OpenClient[T],
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._open = open_client
        self._clock = clock
        self._jitter = jitter
        self._changed = asyncio.Event()
        self._slots = asyncio.Semaphore(SERVED)
        # Receivers with a task.
        self._busy: set[tuple[str, str]] = set()

    def wake(self) -> None:
        """Read the queue now: it has a new delivery."""
        self._changed.set()

    async def try_now(self, target: T, delivery: Delivery) -> DeliveryAttempt:
        """Make one attempt at once, beside the queue."""
        async with self._open() as client:
            return await client.attempt(target, delivery, now=self._clock())

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            client: DeliveryClient[T] | None = None
            while True:
                self._changed.clear()
                pause = POLL_EVERY.total_seconds()
                try:
                    due, pause = await self._look()
                except Unavailable as error:
                    logger.warning("cannot read due deliveries, trying again: %s", error.reason)
                    due = []
                if due and client is None:
                    client = await stack.enter_async_context(self._open())
                for target in due:
                    if client is not None and target not in self._busy:
                        self._busy.add(target)
                        tasks.create_task(self._serve(client, *target), name=self._outbox.queue)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._changed.wait()

    async def _look(self) -> tuple[list[tuple[str, str]], float]:
        """Receivers with a due delivery, and seconds until the next is due."""
        now = self._clock()

        def look(tx: Transaction) -> tuple[list[tuple[str, str]], datetime | None]:
            queue = self._outbox.queue
            return list(tx.due_receivers(now, queue)), tx.next_due(now, queue)

        due, then = await self._store.read(look)
        until = min(then - now, POLL_EVERY) if then else POLL_EVERY
        return due, until.total_seconds()

    async def _serve(self, client: DeliveryClient[T], namespace: str, name: str) -> None:
        """Deliver one group of what is due for one receiver."""
        try:
            async with self._slots:
                await self._deliver(client, namespace, name)
        except Unavailable as error:
            queue = self._outbox.queue
            logger.warning("%s %s/%s is delayed: %s", queue, namespace, name, error.reason)
            await asyncio.sleep(1)
        finally:
            self._busy.discard((namespace, name))
            self.wake()

    async def _deliver(self, client: DeliveryClient[T], namespace: str, name: str) -> None:
        """Try what is due, unless another server does."""
        now, outbox = self._clock(), self._outbox
        found = await self._store.write_concurrent(
            lambda tx: next_group(tx, outbox, namespace, name, now=now)
        )
        if found is None:
            return
        target, group = found
        attempts = await asyncio.gather(*(client.attempt(target, each, now=now) for each in group))
        now = self._clock()
        given_up = await self._store.write(
            lambda tx: record_attempts(tx, outbox, attempts, now=now, jitter=self._jitter)
        )
        for attempt in attempts:
            if attempt.error:
                where = (outbox.queue, namespace, name, attempt.delivery.id)
                logger.info("%s %s/%s: %s: %s", *where, attempt.error)
        for delivery in given_up:
            where = (outbox.queue, namespace, name, delivery.id)
            logger.warning("%s %s/%s: gave up on delivery %s", *where)

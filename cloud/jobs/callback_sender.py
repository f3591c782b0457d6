"""Deliver callbacks (webhooks) from the queue: signed, at least once, with exponential backoff.

The queue is a table, so a delivery survives the death of the server. Each callback has a task of
its own, so a slow or unreachable receiver does not delay others.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cloud.errors import Unavailable
from cloud.operations.callbacks import next_group, record_attempts
from cloud.store.transaction import Store, Transaction

if TYPE_CHECKING:
    from cloud.jobs.callback_client import CallbackClient

logger = logging.getLogger(__name__)

SERVED = 16
"""Callbacks with a request in flight at the same time."""

POLL_EVERY = timedelta(seconds=60)
"""Longest delay of a delivery whose wake-up was lost."""


class CallbackSender:
    """Owns the delivery from the queue to the receivers; *jitter* returns a number from 0 to 1."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
    ) -> None:
        self._store = store
        self._clock = clock
        self._jitter = jitter
        self._changed = asyncio.Event()
        self._slots = asyncio.Semaphore(SERVED)
        # Callbacks with a task.
        self._busy: set[tuple[str, str]] = set()

    def wake(self) -> None:
        """Read the queue now: it has a new delivery."""
        self._changed.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            client: CallbackClient | None = None
            while True:
                self._changed.clear()
                pause = POLL_EVERY.total_seconds()
                try:
                    due, pause = await self._look()
                except Unavailable as error:
                    logger.warning("cannot read due callbacks, trying again: %s", error.reason)
                    due = []
                if due and client is None:
                    client = await self._open_client(stack)
                for target in due:
                    if client is not None and target not in self._busy:
                        self._busy.add(target)
                        tasks.create_task(self._serve(client, *target), name="callback")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._changed.wait()

    async def _open_client(self, stack: contextlib.AsyncExitStack) -> "CallbackClient":
        from cloud.jobs.callback_client import open_callback_client

        return await stack.enter_async_context(open_callback_client())

    async def _look(self) -> tuple[list[tuple[str, str]], float]:
        """Callbacks with a due delivery, and seconds until the next is due."""
        now = self._clock()

        def look(tx: Transaction) -> tuple[list[tuple[str, str]], datetime | None]:
            return list(tx.due_callbacks(now)), tx.next_due(now)

        due, then = await self._store.read(look)
        until = min(then - now, POLL_EVERY) if then else POLL_EVERY
        return due, until.total_seconds()

    async def _serve(self, client: "CallbackClient", namespace: str, name: str) -> None:
        """Deliver one group of what is due for one callback."""
        try:
            async with self._slots:
                await self._deliver(client, namespace, name)
        except Unavailable as error:
            logger.warning("callback %s/%s is delayed: %s", namespace, name, error.reason)
            await asyncio.sleep(1)
        finally:
            self._busy.discard((namespace, name))
            self.wake()

    async def _deliver(self, client: "CallbackClient", namespace: str, name: str) -> None:
        now = self._clock()
        found = await self._store.read(lambda tx: next_group(tx, namespace, name, now=now))
        if found is None:
            return
        callback, group = found
        attempts = await asyncio.gather(
            *(client.attempt(callback.spec, each, now=now) for each in group)
        )
        now = self._clock()
        given_up = await self._store.write(
            lambda tx: record_attempts(tx, attempts, now=now, jitter=self._jitter)
        )
        for attempt in attempts:
            if attempt.error:
                identity = attempt.delivery.id
                logger.info("callback %s/%s: %s: %s", namespace, name, identity, attempt.error)
        for delivery in given_up:
            logger.warning("callback %s/%s: gave up on delivery %s", namespace, name, delivery.id)

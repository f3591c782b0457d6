"""Deliver callbacks (webhooks) from the queue: signed, at least once, with exponential backoff.

The queue is a table, so a delivery survives the death of the server. Each callback has a task of
its own, so a slow or unreachable receiver does not delay others.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

import httpx

from cloud.core.callback import CallbackSpec, Delivery, content_of, signed_headers
from cloud.errors import Unavailable
from cloud.operations.callbacks import DeliveryAttempt, next_group, record_attempts
from cloud.store.transaction import Store, Transaction

logger = logging.getLogger(__name__)

TIMEOUT = timedelta(seconds=10)
"""Timeout of one attempt, all in all."""

SERVED = 16
"""Callbacks with a request in flight at the same time."""

POLL_EVERY = timedelta(seconds=60)
"""Longest delay of a delivery whose wake-up was lost."""

USER_AGENT = "edgesync"


@contextlib.asynccontextmanager
async def open_callback_client() -> AsyncIterator[httpx.AsyncClient]:
    """A client that trusts the certificate authorities of this machine.

    Redirects are not followed; proxies, cookies and passwords of the environment are not used.
    """
    async with httpx.AsyncClient(
        verify=ssl.create_default_context(),
        trust_env=False,
        follow_redirects=False,
        timeout=TIMEOUT.total_seconds(),
        headers={"User-Agent": USER_AGENT},
    ) as client:
        yield client


class CallbackSender:
    """Owns the delivery from the queue to the receivers; *jitter* returns a number from 0 to 1."""

    def __init__(
        self,
        store: Store,
        client: httpx.AsyncClient,
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
    ) -> None:
        self._store = store
        self._client = client
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
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                pause = POLL_EVERY.total_seconds()
                try:
                    due, pause = await self._look()
                except Unavailable as error:
                    logger.warning("cannot read due callbacks, trying again: %s", error.reason)
                    due = []
                for target in due:
                    if target not in self._busy:
                        self._busy.add(target)
                        tasks.create_task(self._serve(*target), name="callback")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._changed.wait()

    async def _look(self) -> tuple[list[tuple[str, str]], float]:
        """Callbacks with a due delivery, and seconds until the next is due."""
        now = self._clock()

        def look(tx: Transaction) -> tuple[list[tuple[str, str]], datetime | None]:
            return list(tx.due_callbacks(now)), tx.next_due(now)

        due, then = await self._store.read(look)
        until = min(then - now, POLL_EVERY) if then else POLL_EVERY
        return due, until.total_seconds()

    async def _serve(self, namespace: str, name: str) -> None:
        """Deliver one group of what is due for one callback."""
        try:
            async with self._slots:
                await self._deliver(namespace, name)
        except Unavailable as error:
            logger.warning("callback %s/%s is delayed: %s", namespace, name, error.reason)
            await asyncio.sleep(1)
        finally:
            self._busy.discard((namespace, name))
            self.wake()

    async def _deliver(self, namespace: str, name: str) -> None:
        now = self._clock()
        found = await self._store.read(lambda tx: next_group(tx, namespace, name, now=now))
        if found is None:
            return
        callback, group = found
        attempts = await asyncio.gather(*(self._try(callback.spec, each) for each in group))
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

    async def _try(self, spec: CallbackSpec, delivery: Delivery) -> DeliveryAttempt:
        """One attempt; only the status of the response counts."""
        content = content_of(spec, delivery)
        try:
            async with (
                asyncio.timeout(TIMEOUT.total_seconds()),
                self._client.stream(
                    spec.method.value,
                    httpx.URL(spec.url).copy_merge_params(spec.params),
                    content=content,
                    headers=signed_headers(spec, delivery, content, now=self._clock()),
                ) as answer,
            ):
                error = "" if answer.is_success else f"answered {answer.status_code}"
        except TimeoutError:
            error = f"no answer within {TIMEOUT.total_seconds():.0f} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as failure:
            error = f"{type(failure).__name__}: {failure}".rstrip(": ")
        return DeliveryAttempt(delivery, error)

"""Membership of servers that share a broker: heartbeats, and adoption of a lost server's session.

The broker goes on queueing a share of all node messages for the session of a server that is gone.
Another server adopts the session: it receives what is queued and ends it. A server that returns
resumes its session. There is no leader: the database decides which server adopts.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

from cloud.errors import Unavailable
from cloud.store.transaction import Store

logger = logging.getLogger(__name__)

BEAT = timedelta(seconds=2)
"""Interval of the heartbeat."""

GONE_AFTER = timedelta(seconds=10)
"""Time without a heartbeat after which a server is gone; a restart takes less."""


class Adopter(Protocol):
    """A hub that can take over another server's session; see `broker.client.ClientHub`."""

    def adopt(self, client_id: str) -> Awaitable[bool]:
        """Receive what is queued in that session and end it; False if the server returned."""
        ...


class ClusterMembership:
    """Owns the heartbeat of this server and the adoption of others."""

    def __init__(
        self,
        server_id: str,
        hub: Adopter,
        store: Store,
        clock: Callable[[], datetime],
        *,
        version: str,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._id = server_id
        self._hub = hub
        self._store = store
        self._clock = clock
        self._version = version
        self._pause = pause

    async def run(self) -> None:
        """Take part until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            adoption: asyncio.Task[None] | None = None
            adopted = ""
            while True:
                if adoption is not None and adoption.done():
                    adoption, adopted = None, ""
                try:
                    gone = await self._beat(adopted)
                except Unavailable as error:
                    logger.warning("cannot record the heartbeat of this server: %s", error.reason)
                    gone = None
                if gone is not None:
                    adopted = gone
                    adoption = tasks.create_task(self._adopt(gone), name="adopt a session")
                await self._pause(BEAT.total_seconds())

    async def _beat(self, adopted: str) -> str | None:
        """Record the heartbeat; renew the claim on *adopted*, or claim a lost server."""
        now = self._clock()
        await self._store.write_concurrent(
            lambda tx: tx.record_server(self._id, now, self._version)
        )
        if adopted:
            await self._store.write_concurrent(lambda tx: tx.renew_server(adopted, now))
            return None
        return await self._store.write(lambda tx: tx.claim_server(now - GONE_AFTER, now))

    async def _adopt(self, gone: str) -> None:
        logger.warning("server %s is gone; taking over its messages in the broker", gone)
        if await self._hub.adopt(gone):
            logger.info("took over the session of server %s", gone)
            try:
                await self._store.write(lambda tx: tx.forget_server(gone))
            except Unavailable as error:
                logger.warning("cannot forget server %s: %s", gone, error.reason)

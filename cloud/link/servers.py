"""Servers that share a broker: each says that it is there, and takes over what the gone left.

A server that is gone has a session with the broker, which gives it its share of all that nodes say
until the session ends. Another one adopts it: takes what is kept, and ends it. Whoever comes back
has its session again. There is no leader: who adopts is decided by the database.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

from cloud.errors import Unavailable
from cloud.store.interface import Store

logger = logging.getLogger(__name__)

BEAT = timedelta(seconds=2)
"""How often a server says that it is there."""

GONE_AFTER = timedelta(seconds=10)
"""Silence after which a server is gone; a restart takes less."""


class Adopter(Protocol):
    """A hub that can take over what another server was sent; see `broker.client.ClientHub`."""

    def adopt(self, client_id: str) -> Awaitable[bool]:
        """Receive what the broker keeps for that server and end it; False if it came back."""
        ...


class Servers:
    """Owns the part that this server has in the fleet of servers."""

    def __init__(
        self,
        server_id: str,
        hub: Adopter,
        store: Store,
        clock: Callable[[], datetime],
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._id = server_id
        self._hub = hub
        self._store = store
        self._clock = clock
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
                    logger.warning("cannot say that this server is there: %s", error.reason)
                    gone = None
                if gone is not None:
                    adopted = gone
                    adoption = tasks.create_task(self._adopt(gone), name="adopt a session")
                await self._pause(BEAT.total_seconds())

    async def _beat(self, adopted: str) -> str | None:
        """Note this server, and the one it is adopting; else find one that is gone."""
        now = self._clock()
        await self._store.write_concurrent(lambda tx: tx.record_server(self._id, now))
        if adopted:
            await self._store.write_concurrent(lambda tx: tx.renew_server(adopted, now))
            return None
        return await self._store.write(lambda tx: tx.claim_server(now - GONE_AFTER, now))

    async def _adopt(self, gone: str) -> None:
        logger.warning("server %s is gone; taking over what the broker keeps for it", gone)
        if await self._hub.adopt(gone):
            logger.info("took over all that was left by server %s", gone)
            try:
                await self._store.write(lambda tx: tx.forget_server(gone))
            except Unavailable as error:
                logger.warning("cannot forget server %s: %s", gone, error.reason)

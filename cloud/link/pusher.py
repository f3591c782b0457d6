"""Tell nodes what changed for them: stale nodes in, deltas out.

Level-triggered: what is pushed is computed at that moment. A push that is lost, or taken off the
list by a process that died, is healed by the node's next report. While no node can be reached at
all nothing is taken off the list: others may reach them, and when they can be reached again those
who wait are told first.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from broker.hub import Hub
from broker.messages import Encoding, encode_message
from broker.topics import Channel
from cloud.core.deploys import DEPLOYS_KEPT
from cloud.core.names import node_id
from cloud.errors import Unavailable
from cloud.link.measures import NOT_CONNECTED, NOT_SENT, SENT, Measures, contained
from cloud.link.wire import pushed_delta
from cloud.operations.reports import Push, deltas_for, note_told
from cloud.store.interface import NotifyingStore, Transaction

logger = logging.getLogger(__name__)

GROUP = 200
"""Stale nodes taken at a time."""

POLL_EVERY = timedelta(seconds=5)
"""A wake-up that was lost costs this much at most."""

LOOK_SECONDS = 0.1
"""How often it is looked whether nodes can be reached again."""


class Pusher:
    """Owns the way from the list of stale nodes to the hub."""

    def __init__(
        self,
        hub: Hub,
        store: NotifyingStore,
        clock: Callable[[], datetime],
        *,
        deploys_kept: int = DEPLOYS_KEPT,
        measures: Measures | None = None,
    ) -> None:
        self._hub = hub
        self._store = store
        self._clock = clock
        self._deploys_kept = deploys_kept
        self._measures = measures or Measures()

    async def run(self) -> None:
        """Push until cancelled."""
        while True:
            try:
                async with asyncio.timeout(POLL_EVERY.total_seconds()):
                    await self._store.wait_for_pending()
            except TimeoutError:
                pass
            while not self._hub.is_attached:  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(LOOK_SECONDS)
            try:
                with contained(self._measures, "pusher", "several nodes"):
                    while await self.push_some():
                        pass
            except Unavailable as error:
                logger.warning("cannot read which nodes to tell, trying again: %s", error.reason)

    async def push_some(self) -> bool:
        """Tell the next nodes on the list; False when it is empty or nobody can be told now."""
        if not self._hub.is_attached:
            return False
        taken = await self._store.write_concurrent(lambda tx: list(tx.take_pending(GROUP)))
        told = await self._tell(taken)
        if not self._hub.is_attached:
            rest = [node for node in taken if node_id(*node) not in told]
            await self._store.write_concurrent(lambda tx: _mark_again(tx, rest))
            return False
        return bool(taken)

    async def _tell(self, nodes: Sequence[tuple[str, str]]) -> set[str]:
        """Push to those of *nodes* that are connected and should change; to which it went."""
        here = [node for node in nodes if self._hub.is_connected(node_id(*node))]
        self._measures.pushed(NOT_CONNECTED, len(nodes) - len(here))
        if not here:
            return set()
        now = self._clock()
        sent = set()
        for push in await self._pushes_for(here, now):
            is_sent = False
            with contained(self._measures, "pusher", push.node_id):
                payload = encode_message(pushed_delta(push.delta, now), Encoding(push.encoding))
                is_sent = self._hub.push(push.node_id, Channel.DELTA, payload)
            self._measures.pushed(SENT if is_sent else NOT_SENT)
            if is_sent:
                sent.add(push.node_id)
        return sent

    async def _pushes_for(self, nodes: Sequence[tuple[str, str]], now: datetime) -> Sequence[Push]:
        """Compute what each of *nodes* should change, and record that it is being sent.

        Where that fails each is done alone; the one at fault hears of it with its next report.
        """
        try:
            pushes = await self._store.read(lambda tx: deltas_for(tx, nodes))
            if pushes:
                # Before the node hears of it: its answer has to find that it was sent.
                kept = self._deploys_kept
                await self._store.write(
                    lambda tx: note_told(tx, pushes, now=now, deploys_kept=kept)
                )
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001  # logged as this message's failure
            if len(nodes) == 1:
                self._measures.log_failure("pusher", node_id(*nodes[0]))
                return []
            alone = [await self._pushes_for([node], now) for node in nodes]
            return [push for pushes in alone for push in pushes]
        return pushes


def _mark_again(tx: Transaction, nodes: Sequence[tuple[str, str]]) -> None:
    tx.mark_pending([node for name in nodes if (node := tx.node(*name)) is not None])

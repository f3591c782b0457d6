"""Send pending updates to nodes: the difference between desired and reported state.

Level-triggered: the delta is computed when it is sent. After a lost message, or the death of the
process that took the node off the list, the node's next report brings its state up to date. While
the hub is detached from its broker no node is taken off the list: other servers may reach it.
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
from cloud.operations.reports import DesiredUpdate, deltas_for, record_sent
from cloud.store.transaction import NotifyingStore, Transaction

logger = logging.getLogger(__name__)

GROUP = 200
"""Pending nodes taken at a time."""

POLL_EVERY = timedelta(seconds=5)
"""Longest delay of an update whose wake-up was lost."""

LOOK_SECONDS = 0.1
"""Interval between two checks whether the hub is attached again."""

BACKLOG = 2 * GROUP
"""Messages of nodes that may wait when the next nodes are updated."""

PACE_SECONDS = 0.25
"""Longest wait for that, so that updates go on where nodes send more than can be stored."""

_PACE_LOOK_SECONDS = 0.01


class Pusher:
    """Owns the delivery from the list of pending nodes to the hub."""

    def __init__(
        self,
        hub: Hub,
        store: NotifyingStore,
        clock: Callable[[], datetime],
        *,
        deploys_kept: int = DEPLOYS_KEPT,
        measures: Measures | None = None,
        backlog: Callable[[], int] = lambda: 0,
    ) -> None:
        """*backlog* is how many messages of nodes wait to be carried out."""
        self._backlog = backlog
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
            while not self._hub.is_attached:  # noqa: ASYNC110  # the hub has no event for it
                await asyncio.sleep(LOOK_SECONDS)
            try:
                with contained(self._measures, "pusher", "several nodes"):
                    while await self.push_some():
                        await self._wait_for_answers()
            except Unavailable as error:
                logger.warning("cannot read pending nodes, trying again: %s", error.reason)

    async def _wait_for_answers(self) -> None:
        """Wait while many messages of nodes wait, for a moment at most.

        A node that was updated asks and reports. Where all are updated at once these messages wait
        for longer than nodes wait for an answer (5 s), so that they are sent again.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PACE_SECONDS
        while self._backlog() > BACKLOG and loop.time() < deadline:  # noqa: ASYNC110  # as above
            await asyncio.sleep(_PACE_LOOK_SECONDS)

    async def push_some(self) -> bool:
        """Update the next nodes on the list; False if it is empty or the hub is detached."""
        if not self._hub.is_attached:
            return False
        taken = await self._store.write_concurrent(lambda tx: list(tx.take_pending(GROUP)))
        sent = await self._send(taken)
        if not self._hub.is_attached:
            rest = [node for node in taken if node_id(*node) not in sent]
            await self._store.write_concurrent(lambda tx: _mark_again(tx, rest))
            return False
        return bool(taken)

    async def _send(self, nodes: Sequence[tuple[str, str]]) -> set[str]:
        """Send deltas to those of *nodes* that are connected; return the ids they were sent to."""
        here = [node for node in nodes if self._hub.is_connected(node_id(*node))]
        self._measures.pushed(NOT_CONNECTED, len(nodes) - len(here))
        away = [node for node in nodes if node not in here]
        if away and self._hub.is_attached:
            await self._store.write_concurrent(lambda tx: tx.set_pending_statuses(away))
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

    async def _pushes_for(
        self, nodes: Sequence[tuple[str, str]], now: datetime
    ) -> Sequence[DesiredUpdate]:
        """Compute the deltas of *nodes*, and record that they are being sent.

        They are recorded before they are sent: the node's report has to find the record. If that
        fails, each node is done alone; the one at fault is updated by its next report.
        """
        try:
            pushes = await self._store.write_concurrent(lambda tx: self._recorded(tx, nodes, now))
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001  # logged as this message's failure
            if len(nodes) == 1:
                self._measures.log_failure("pusher", node_id(*nodes[0]))
                return []
            alone = [await self._pushes_for([node], now) for node in nodes]
            return [push for pushes in alone for push in pushes]
        return pushes

    def _recorded(
        self, tx: Transaction, nodes: Sequence[tuple[str, str]], now: datetime
    ) -> Sequence[DesiredUpdate]:
        pushes = deltas_for(tx, nodes, now=now)
        record_sent(tx, pushes, now=now, deploys_kept=self._deploys_kept)
        return pushes


def _mark_again(tx: Transaction, nodes: Sequence[tuple[str, str]]) -> None:
    tx.mark_pending([node for name in nodes if (node := tx.node(*name)) is not None])

"""Send pending commands to connected nodes, at most once.

A command is recorded as sent before it is sent, in a transaction that one server wins; a command
that certainly did not reach its node is pending again. The server that next receives a message of
that node sends it. Commands that a server left pending when it died are sent by the others.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from broker.hub import Hub
from broker.messages import Encoding, encode_message
from broker.topics import Channel
from cloud.core.commands import KEPT_FOR, Command
from cloud.core.names import node_id
from cloud.errors import Unavailable
from cloud.http.notifier import Notifier
from cloud.link.measures import Measures, contained
from cloud.link.wire import command_message
from cloud.store.transaction import Store, Transaction

logger = logging.getLogger(__name__)

GROUP = 100_000
"""Nodes examined in one round, so many that disconnected ones do not delay others."""

POLL_EVERY = timedelta(seconds=2)
"""Longest delay of a command that another server accepted but cannot send."""

FORGET_EVERY = timedelta(hours=1)
"""Interval between two deletions of old commands."""


class CommandSender:
    """Owns the delivery of commands from the table to the hub."""

    def __init__(
        self,
        hub: Hub,
        store: Store,
        clock: Callable[[], datetime],
        measures: Measures | None = None,
    ) -> None:
        self._measures = measures or Measures()
        self._hub = hub
        self._store = store
        self._clock = clock
        # API requests that wait for the response of a node; keys are ids of nodes.
        self.notifier = Notifier()
        self._changed = asyncio.Event()
        # Nodes with a pending command that were not connected at the last attempt.
        self._away: set[str] = set()
        # The node of the current attempt, and whether a message of it arrived meanwhile.
        self._tried = ""
        self._was_heard = False

    def wake(self) -> None:
        """Send now: there is a new command."""
        self._changed.set()

    def heard(self, node: str) -> None:
        """Try again if a command is pending for *node*, an id, of which a message arrived."""
        if node in self._away:
            self._away.discard(node)
            self._changed.set()
        elif node == self._tried:
            self._was_heard = True

    async def run(self) -> None:
        """Send commands, and delete old ones, until cancelled."""
        forget_at = self._clock()
        while True:
            self._changed.clear()
            try:
                with contained(self._measures, "commands", "several nodes"):
                    await self.send_waiting()
                    if self._clock() >= forget_at:
                        forget_at = await self._forget()
            except Unavailable as error:
                logger.warning("cannot read pending commands, trying again: %s", error.reason)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_EVERY.total_seconds()):
                    await self._changed.wait()

    async def _forget(self) -> datetime:
        """Delete old commands; return when to do it again."""
        now = self._clock()
        await self._store.write_concurrent(lambda tx: tx.forget_commands(now - KEPT_FOR))
        return now + FORGET_EVERY

    async def send_waiting(self) -> None:
        """Send all pending commands of nodes not known to be disconnected."""
        now = self._clock()
        nodes = await self._store.read(lambda tx: tx.nodes_to_command(now, GROUP))
        self._away &= {node_id(*node) for node in nodes}
        for namespace, name in nodes:
            node = node_id(namespace, name)
            if node in self._away:
                continue
            self._tried, self._was_heard = node, False
            is_here = False
            with contained(self._measures, "commands", node):
                is_here = self._hub.is_connected(node) and await self._send_to(namespace, name)
            self._tried = ""
            if not is_here and self._was_heard:
                self._changed.set()  # it connected during the attempt
            elif not is_here:
                self._away.add(node)

    async def _send_to(self, namespace: str, name: str) -> bool:
        """Send pending commands of the node; False if it is not connected."""
        now = self._clock()

        def claim(tx: Transaction) -> tuple[list[Command], str | None]:
            claimed = list(tx.claim_commands(namespace, name, now))
            return claimed, tx.encoding_of_node(namespace, name)

        claimed, encoding = await self._store.write_concurrent(claim)
        node, written = node_id(namespace, name), Encoding(encoding or Encoding.JSON)
        for number, command in enumerate(claimed):
            is_here = True  # if sending raises, as it may have been sent
            with contained(self._measures, "commands", node):
                payload = encode_message(command_message(command, now), written)
                left = command.deadline - now
                is_here = await self._hub.send(node, Channel.COMMAND, payload, left)
                if is_here:
                    logger.info("sent %s to %s (%s)", command.command.value, node, command.id)
            if not is_here:
                await self._give_back(claimed[number:])
                return False
        return True

    async def _give_back(self, commands: list[Command]) -> None:
        def work(tx: Transaction) -> None:
            for command in commands:
                tx.give_back_command(command.id)

        await self._store.write_concurrent(work)

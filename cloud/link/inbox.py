"""Messages of nodes: decoded, handed to operations, answered.

Messages are taken in groups: one transaction stores all that a group says, then each is
acknowledged and answered. While a group is being stored the next one gathers in the hub, whose
bounded queue slows the senders when the store is slow. Order is kept for each node.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from broker.errors import MalformedMessage
from broker.hub import Hub, Inbound
from broker.messages import (
    REQUEST_ID,
    Encoding,
    Kind,
    Message,
    decode_message,
    encode_message,
    encoding_of,
)
from broker.topics import Channel
from cloud.core.objects import Presign, cannot_sign
from cloud.core.report import read_order, read_report, read_usage
from cloud.errors import CloudError, Invalid, Unavailable
from cloud.link.wire import desire_answer, error_for, error_message, report_answer
from cloud.operations.desires import deliver, read_infos
from cloud.operations.reports import receive_report, receive_usage
from cloud.store.interface import Store, Transaction

logger = logging.getLogger(__name__)

GROUP = 256
"""Messages stored in one transaction at most."""

RETRY_SECONDS = 1.0
"""Pause before a group is tried again when the store is unavailable."""

_KINDS = {
    Channel.REPORT: Kind.REPORT,
    Channel.STATS: Kind.STATS,
    Channel.DESIRE: Kind.DESIRE,
}

Work = Callable[[Transaction], Message | None]
"""What a message asks for; returns the answer, if there is one. Raises before it writes."""


@dataclass(slots=True)
class _Task:
    """One message on its way: what it asks for, then what it is answered."""

    inbound: Inbound
    encoding: Encoding = Encoding.JSON
    meta: dict[str, Any] = field(default_factory=dict)
    # None when the message could not be read: `answer` says why.
    work: Work | None = None
    answer: Message | None = None

    def carry_out(self, tx: Transaction, now: datetime) -> Message | None:
        """Do the work; what is refused becomes an error answer."""
        if self.work is None:
            return self.answer
        try:
            return self.work(tx)
        except Unavailable:
            raise
        except CloudError as error:
            return error_for(error, now, meta=self.meta)


class Inbox:
    """Owns the way from the hub to the operations and back."""

    def __init__(
        self,
        hub: Hub,
        store: Store,
        clock: Callable[[], datetime],
        *,
        presign: Presign = cannot_sign,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._hub = hub
        self._store = store
        self._clock = clock
        self._presign = presign
        self._pause = pause
        # How often what happened: by channel once handled, and `malformed`, `refused`, `failed`.
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        """Handle messages until cancelled."""
        while True:
            await self.handle(await self._hub.receive(GROUP))

    async def handle(self, group: Sequence[Inbound]) -> None:
        """Store what *group* says, then acknowledge and answer each message."""
        now = self._clock()
        tasks = [self._read(inbound, now) for inbound in group]
        await self._carry_out(self._store.write, _of(tasks, Channel.REPORT, Channel.STATS), now)
        await self._carry_out(self._store.read, _of(tasks, Channel.DESIRE), now)
        for task in tasks:
            task.inbound.ack()
            self.counts[task.inbound.channel.value] += 1
            if task.answer is not None:
                self._send(task.inbound, encode_message(task.answer, task.encoding))

    def _read(self, inbound: Inbound, now: datetime) -> _Task:
        task = _Task(inbound)
        try:
            task.encoding = encoding_of(inbound.payload)
            message = decode_message(inbound.payload)
            task.meta = dict(message.meta)
            task.work = self._work(inbound, message, task.encoding, now)
        except MalformedMessage as error:
            self.counts["malformed"] += 1
            task.answer = error_for(Invalid("", error.reason), now, meta=task.meta)
        except CloudError as error:
            self.counts["refused"] += 1
            task.answer = error_for(error, now, meta=task.meta)
        return task

    def _work(self, inbound: Inbound, message: Message, encoding: Encoding, now: datetime) -> Work:
        """Check *message* and say what has to be done in the store."""
        channel, node_id = inbound.channel, inbound.node_id
        expected = _KINDS.get(channel)
        if expected is None or message.kind != expected.value:
            raise Invalid("kind", f"{message.kind[:40]!r} does not belong on {channel.value}")
        meta = message.meta
        if channel is Channel.REPORT:
            report = read_report(message.content, read_order(meta))

            def store_report(tx: Transaction) -> Message:
                answer = receive_report(tx, node_id, report, encoding.value, now=now)
                return report_answer(answer.delta, answer.warning, now, meta=meta)

            return store_report
        if channel is Channel.STATS:
            usage = read_usage(message.content)
            return lambda tx: receive_usage(tx, node_id, usage, now=now)
        if len(str(meta.get(REQUEST_ID, ""))) > 128:
            raise Invalid(f"meta.{REQUEST_ID}", "is longer than 128 characters")
        infos = read_infos(message.content)

        def find_bodies(tx: Transaction) -> Message:
            bodies = deliver(tx, node_id, infos, presign=self._presign)
            return desire_answer(bodies, now, meta=meta)

        return find_bodies

    async def _carry_out(
        self, run: Callable[[Callable[[Transaction], Any]], Any], tasks: list[_Task], now: datetime
    ) -> None:
        """Do the work of *tasks* in one transaction, again and again while there is no store."""
        todo = [task for task in tasks if task.work is not None]
        while todo:
            try:
                answers = await run(lambda tx: [task.carry_out(tx, now) for task in todo])
            except Unavailable as error:
                logger.warning("cannot store messages, trying again: %s", error.reason)
                await self._pause(RETRY_SECONDS)
                continue
            except Exception:
                if len(todo) == 1:
                    self.counts["failed"] += 1
                    logger.exception("a message of %s failed", todo[0].inbound.node_id)
                    todo[0].answer = error_message(
                        "UnknownError", "The server failed.", now, meta=todo[0].meta
                    )
                    return
                # One of them is at fault; alone, it cannot take the others with it.
                for task in todo:
                    await self._carry_out(run, [task], now)
                return
            for task, answer in zip(todo, answers, strict=True):
                task.answer = answer
            return

    def _send(self, inbound: Inbound, payload: bytes) -> None:
        channel = Channel.DESIRE_RESPONSE if inbound.channel is Channel.DESIRE else Channel.DELTA
        self._hub.push(inbound.node_id, channel, payload)


def _of(tasks: list[_Task], *channels: Channel) -> list[_Task]:
    return [task for task in tasks if task.inbound.channel in channels]

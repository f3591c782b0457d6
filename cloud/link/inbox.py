"""Messages of nodes over MQTT: taken from the hub in groups, carried out, acknowledged, answered.

All messages of a group are stored together, then each is acknowledged and answered. While a group
is being stored the next one gathers in the hub, whose bounded queue slows the senders when the
store is slow; it is read while the one before is committed. With several *groups* one of other
nodes may be stored beside it, and the next one is read meanwhile. Order is kept for each node.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NoReturn

import msgspec

from broker.errors import MalformedMessage
from broker.hub import Hub, Inbound
from broker.messages import Encoding, Message, decode_message, encode_message, encoding_of
from broker.topics import Channel
from cloud.errors import CloudError, Invalid, OverBudget, Unavailable
from cloud.link.concurrent_groups import ConcurrentGroups
from cloud.link.exchange import GROUP, LONG_BYTES, Exchange, Failed, NodeRequest
from cloud.link.long_messages import LongMessages
from cloud.link.measures import FAILED, MALFORMED, OK, REFUSED, Measures, contained
from cloud.link.node_throttle import NodeThrottle
from cloud.link.paced_desires import PacedDesires
from cloud.link.unread_secrets import UnreadSecrets
from cloud.link.wire import error_for
from cloud.store.transaction import Transaction

logger = logging.getLogger(__name__)

Admission = Callable[[Transaction, str, datetime], None]
"""Raises what a node is refused with that may not speak now."""

DESIRES = 128
"""Desires of as many nodes answered together at most; fewer where their answers are large."""

GROUPS_ON_POSTGRESQL = 2
"""Groups stored at the same time there; three were slower than two (measured)."""

RETRY_SECONDS = 1.0
"""Pause before a group is tried again when the store is unavailable."""

_ANSWERED_ON = {
    Channel.DESIRE: Channel.DESIRE_RESPONSE,
    Channel.RENEW: Channel.RENEW_RESPONSE,
    Channel.COMMAND_RESPONSE: Channel.COMMAND,
}
"""Where an answer goes, unless on `delta`."""


class _Received(msgspec.Struct, eq=False):
    """One message on its way; there is no request where it could not be read."""

    inbound: Inbound
    encoding: Encoding = Encoding.JSON
    meta: Mapping[str, Any] = msgspec.field(default_factory=dict)
    request: NodeRequest | None = None
    error: CloudError | None = None
    was_read: bool = True
    # Whether it is carried out again later.
    is_held: bool = False

    @property
    def is_settled(self) -> bool:
        """Return whether there is an answer, or none to come."""
        return self.request is None or self.request.is_done

    @property
    def result(self) -> str:
        """Its outcome, once its request is carried out, as `measures` counts it."""
        outcome = self.request.outcome if self.request else self.error
        if isinstance(outcome, Failed):
            return FAILED
        if isinstance(outcome, CloudError):
            return REFUSED if self.was_read else MALFORMED
        return OK

    def answer(self, now: datetime) -> Message | None:
        """Its response, once its request is carried out."""
        outcome = self.request.outcome if self.request else self.error
        if isinstance(outcome, CloudError):
            return error_for(outcome, now, meta=self.meta)
        return outcome


class NodeInbox:
    """Owns the delivery of messages from the hub to the exchange, and of the responses."""

    def __init__(
        self,
        hub: Hub,
        exchange: Exchange,
        *,
        admission: Admission | None = None,
        throttle: NodeThrottle | None = None,
        on_heard: Callable[[str], None] = lambda _: None,
        measures: Measures | None = None,
        groups: int = 1,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._hub = hub
        self._exchange = exchange
        # Asked of each message where the hub cannot refuse at the door.
        self._admission = admission
        # Where the hub cannot slow a node down.
        self._throttle = throttle or NodeThrottle(0, 0)
        # Called with the id of the node whose message is stored and answered.
        self._on_heard = on_heard
        # Groups stored at the same time: several where the database is another process; in this one
        # they would compete for the interpreter.
        self._groups = groups
        self._pause = pause
        self._desires = PacedDesires(time.monotonic, hub.unread_bytes)
        self._long = LongMessages()
        self._unread = UnreadSecrets(exchange.read_secrets)
        self._measures = measures or Measures()
        self._measures.metrics.limits.declare("node_budget")
        # How many were handled, by channel.
        self.counts: Counter[str] = Counter()

    @property
    def waiting_count(self) -> int:
        """How many messages wait to be carried out here; a broker may hold more."""
        return self._hub.queued_count + self._desires.waiting_count

    async def run(self) -> None:
        """Handle messages until cancelled; others wait neither for desires nor for long ones."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._answer_desires(), name="desires")
            tasks.create_task(self._handle_long(), name="long messages")
            tasks.create_task(self._read_secrets(), name="unread secrets")
            if self._groups == 1:
                await self._one_by_one(tasks)
            groups = ConcurrentGroups(tasks, self._groups)
            while True:
                received, now = await self._next_group()
                nodes = frozenset(each.inbound.node_id for each in received)
                await groups.add(nodes, self._finish(received, now))

    async def _one_by_one(self, tasks: asyncio.TaskGroup) -> NoReturn:
        """Handle groups, each of which is read while the one before it is committed.

        Not while that is being written: both would compete for the interpreter.
        """
        ahead: asyncio.Task[tuple[Sequence[_Received], datetime]] | None = None
        is_over = False

        def read_ahead() -> None:
            nonlocal ahead
            if not is_over:  # a commit may begin after the end
                ahead = ahead or tasks.create_task(self._next_group(), name="next group")

        try:
            while True:
                received, now = await (ahead or self._next_group())
                ahead = None
                await self._finish(received, now, read_ahead)
        finally:
            is_over = True

    async def _next_group(self) -> tuple[Sequence[_Received], datetime]:
        """Wait for messages that are handled together and read them; also when."""
        while True:
            group = await self._hub.receive(GROUP)
            accepted = [inbound for inbound in group if not self._is_refused(inbound)]
            quick = [inbound for inbound in accepted if not self._is_put_apart(inbound)]
            if quick:
                now = self._exchange.clock()
                return await self._read_group(quick, now), now

    def _is_refused(self, inbound: Inbound) -> bool:
        """Charge *inbound* to its node; where the budget is spent it is dropped, and answered once
        a second.
        """
        refusal = self._throttle.take(inbound.node_id, len(inbound.payload))
        if refusal is None:
            return False
        inbound.ack()
        self._measures.metrics.limits.count("node_budget")
        if refusal.is_answered:
            refused = _refused(inbound, OverBudget(refusal.wait))
            self._send(inbound, self._payload(refused, self._exchange.clock()))
        if refusal.is_last:
            logger.warning("%s sends more than twice its budget: disconnected", inbound.node_id)
            self._hub.disconnect(inbound.node_id)
        return True

    def _is_put_apart(self, inbound: Inbound) -> bool:
        if inbound.channel is Channel.DESIRE:
            self._desires.put(inbound)
            return True
        return self._long.put(inbound)

    async def _answer_desires(self) -> None:
        while True:
            await self.handle(await self._desires.take(DESIRES))

    async def _read_secrets(self) -> None:
        while True:
            for desire in await self._unread.take():
                self._desires.put(desire)

    async def _handle_long(self) -> None:
        while True:
            group = await self._long.take()
            await self.handle(group)
            self._long.settle(group)

    async def handle(self, group: Sequence[Inbound]) -> None:
        """Carry out *group*, then acknowledge and answer each message."""
        now = self._exchange.clock()
        await self._finish(await self._read_group(group, now), now)

    async def _read_group(self, group: Sequence[Inbound], now: datetime) -> Sequence[_Received]:
        return [
            # A long one on a thread: others are served meanwhile.
            await asyncio.to_thread(self._read, inbound, now)
            if len(inbound.payload) >= LONG_BYTES and inbound.channel is not Channel.RENEW
            else self._read(inbound, now)
            for inbound in group
        ]

    async def _finish(
        self,
        received: Sequence[_Received],
        now: datetime,
        on_commit: Callable[[], None] | None = None,
    ) -> None:
        """Carry out what was read of a group, then acknowledge and answer each message.

        *on_commit* is called when its commit begins.
        """
        waiting: Sequence[_Received] = received
        while waiting:
            await self._carry_out([each.request for each in waiting if each.request], on_commit)
            for each in waiting:
                if not each.is_settled:
                    continue
                if each.inbound.channel is not Channel.DESIRE:
                    self._answer(each, self._payload(each, now))
                elif not self._is_held(each):
                    self._answer(each, await self._payload_of_desire(each, now))
            waiting = [each for each in waiting if not each.is_settled]
        lag = time.monotonic() - min(each.inbound.received for each in received)
        with contained(self._measures, "inbox", "a group"):
            done = [each for each in received if not each.is_held]
            self._measures.group(((each.inbound.channel, each.result) for each in done), lag)

    def _is_held(self, received: _Received) -> bool:
        request = received.request
        received.is_held = request is not None and self._unread.hold(
            received.inbound, request.outcome
        )
        return received.is_held

    async def _payload_of_desire(self, received: _Received, now: datetime) -> bytes | None:
        """The answer to a desire as bytes; a long one is made on a thread."""
        if received.request is not None and received.request.size >= LONG_BYTES:
            payload = await asyncio.to_thread(self._payload, received, now)
        else:
            payload = self._payload(received, now)
        self._desires.answered(received.inbound.node_id, len(payload or b""))
        return payload

    def _answer(self, received: _Received, payload: bytes | None) -> None:
        """Acknowledge and answer a message that is settled; what fails is this message's alone."""
        inbound, node_id = received.inbound, received.inbound.node_id
        try:
            inbound.ack()
        except Exception:  # noqa: BLE001  # logged as this message's failure
            self._measures.log_failure("inbox", node_id)
        self.counts[inbound.channel] += 1
        self._send(inbound, payload)
        try:
            self._on_heard(node_id)
        except Exception:  # noqa: BLE001  # logged as this message's failure
            self._measures.log_failure("inbox", node_id)
        if received.request is not None:
            received.request.release()

    def _send(self, inbound: Inbound, payload: bytes | None) -> None:
        """Send the answer to *inbound*, if there is one."""
        try:
            if payload is not None:
                channel = _ANSWERED_ON.get(inbound.channel, Channel.DELTA)
                self._hub.push(inbound.node_id, channel, payload)
        except Exception:  # noqa: BLE001  # logged as this message's failure
            self._measures.log_failure("inbox", inbound.node_id)

    def _payload(self, received: _Received, now: datetime) -> bytes | None:
        """The answer as bytes; an error where it cannot be written."""
        try:
            answer = received.answer(now)
            return encode_message(answer, received.encoding) if answer is not None else None
        except Exception:  # noqa: BLE001  # logged as this message's failure
            self._measures.log_failure("inbox", received.inbound.node_id)
        received.error, received.request = Failed(), None
        return encode_message(error_for(received.error, now, meta={}), received.encoding)

    def _read(self, inbound: Inbound, now: datetime) -> _Received:
        received = _Received(inbound)
        try:
            received.encoding = encoding_of(inbound.payload)
            message = decode_message(inbound.payload)
            received.meta = message.meta
            received.request = self._exchange.read(
                inbound.node_id, inbound.channel, message, received.encoding, now
            )
            if (admission := self._admission) is not None:
                received.request.require(lambda tx: admission(tx, inbound.node_id, now))
        except MalformedMessage as error:
            received.error, received.was_read = Invalid("", error.reason), False
        except CloudError as error:
            received.error = error
        except Exception:  # logged as this message's failure
            logger.exception("reading a message of %s failed", inbound.node_id)
            received.error = Failed()
        return received

    async def _carry_out(
        self, requests: Sequence[NodeRequest], on_commit: Callable[[], None] | None
    ) -> None:
        """Carry out *requests*, again and again while there is no store."""
        while True:
            try:
                await self._exchange.carry_out(requests, on_commit)
            except Unavailable as error:
                logger.warning("cannot store messages, trying again: %s", error.reason)
                await self._pause(RETRY_SECONDS)
                continue
            except Exception:  # noqa: BLE001  # logged as this message's failure
                self._measures.log_failure("inbox", "several nodes")
                for request in requests:
                    if not request.is_done:
                        request.settle(Failed())
            break


def _refused(inbound: Inbound, error: CloudError) -> _Received:
    """*inbound*, which is answered with *error* and not read but for its encoding."""
    refused = _Received(inbound, error=error)
    with suppress(MalformedMessage):
        refused.encoding = encoding_of(inbound.payload)
    return refused

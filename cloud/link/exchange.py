"""What nodes ask for, the same by whichever link it comes: read, carried out, answered.

What many ask at the same time is stored together, in one transaction. A question that is at fault
does not take the others with it.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from broker.messages import REQUEST_ID, SOURCE, Encoding, Kind, Message
from broker.topics import Channel
from cloud.core.commands import read_answer
from cloud.core.deploys import DEPLOYS_KEPT, Deploy
from cloud.core.objects import Presign, cannot_sign
from cloud.core.report import read_interval, read_order, read_report, read_usage
from cloud.core.usage import USUAL_STEP
from cloud.errors import CloudError, Invalid, Unavailable
from cloud.link.measures import Measures
from cloud.link.renewal import Renew, cannot_renew
from cloud.link.wire import Meta, desire_answer, report_answer
from cloud.operations.commands import receive_answer
from cloud.operations.desires import deliver, read_infos
from cloud.operations.reports import receive_report, receive_usage
from cloud.store.interface import Store, Transaction

logger = logging.getLogger(__name__)

GROUP = 256
"""Questions carried out in one transaction at most."""

_KINDS = {
    Channel.REPORT: Kind.REPORT,
    Channel.STATS: Kind.STATS,
    Channel.DESIRE: Kind.DESIRE,
    Channel.RENEW: Kind.RENEW,
    Channel.COMMAND_RESPONSE: Kind.COMMAND,
}
_APART = frozenset({Channel.REPORT, Channel.STATS, Channel.COMMAND_RESPONSE})
_WRITING = _APART | {Channel.RENEW}
_READING = frozenset({Channel.DESIRE})
_REQUEST_ID_LIMIT = 128


@dataclass(frozen=True, slots=True)
class Told:
    """The answer to a report, and the deploy that it ended, if it did."""

    message: Message
    ended: Deploy | None


Work = Callable[[Transaction], Message | Told | None]
"""What a question asks for; returns the answer, if there is one. Raises before it writes."""

Outcome = Message | CloudError | None


class Failed(CloudError):
    """The server itself is at fault; its log says how."""

    def __init__(self) -> None:
        super().__init__("The server failed.")


@dataclass(slots=True, eq=False)
class Question:
    """What a node asks, read and checked; once it is carried out, `outcome` is its answer."""

    node_id: str
    channel: Channel
    work: Work
    outcome: Outcome = None
    # How the deploy ended that the question, a report, is the end of.
    ended: Deploy | None = None
    is_done: bool = False
    is_checked: bool = False

    def require(self, check: Callable[[Transaction], None]) -> None:
        """Have *check* run before the work, in its transaction; what it raises is the outcome."""
        work = self.work

        def checked(tx: Transaction) -> Message | Told | None:
            check(tx)
            return work(tx)

        self.work, self.is_checked = checked, True

    def settle(self, outcome: Outcome) -> None:
        """Keep what came of it."""
        self.outcome, self.is_done = outcome, True


class Exchange:
    """Owns the way from a message of a node to the operations and back."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime],
        *,
        renew: Renew = cannot_renew,
        presign: Presign = cannot_sign,
        deploys_kept: int = DEPLOYS_KEPT,
        usage_step: timedelta = USUAL_STEP,
        on_answered: Callable[[str], None] = lambda _: None,
        measures: Measures | None = None,
    ) -> None:
        self.clock = clock
        self._store = store
        self._renew = renew
        self._presign = presign
        self._deploys_kept = deploys_kept
        self._usage_step = usage_step
        # Told which node has answered a command, once that is stored.
        self._on_answered = on_answered
        self.measures = measures or Measures()
        self._waiting: list[Question] = []
        self._turn = asyncio.Lock()

    def read(
        self, node_id: str, channel: Channel, message: Message, encoding: Encoding, now: datetime
    ) -> Question:
        """Check *message*, which came at *now*, and say what it asks for; Invalid names a field."""
        expected = _KINDS.get(channel)
        if expected is None or message.kind != expected.value:
            raise Invalid("kind", f"{message.kind[:40]!r} does not belong on {channel.value}")
        read = {
            Channel.REPORT: self._report,
            Channel.STATS: self._stats,
            Channel.DESIRE: self._desire,
            Channel.RENEW: self._renewal,
            Channel.COMMAND_RESPONSE: self._answer,
        }[channel]
        return Question(node_id, channel, read(node_id, message, encoding, now))

    async def ask(self, question: Question) -> Message | None:
        """Carry out *question*, together with others that wait to be stored; its answer.

        Raises what it was refused with; Unavailable if the store cannot answer now.
        """
        if question.channel not in _WRITING:
            await self.carry_out([question])
        else:
            await self._ask_together(question)
        if isinstance(question.outcome, CloudError):
            raise question.outcome
        return question.outcome

    async def carry_out(self, questions: Sequence[Question]) -> None:
        """Settle *questions* that are not yet; nothing is answered before all it says is stored.

        Unavailable if the store cannot answer now: those that are not settled may be tried again.
        """
        todo = [question for question in questions if not question.is_done]
        for run, channels in (
            (self._store.write_concurrent, _APART),
            (self._store.write, _WRITING - _APART),
            (self._store.read, _READING),
        ):
            group = [one for one in todo if one.channel in channels]
            try:
                await _carry_out(run, group)
            finally:
                self._count([one for one in group if one.is_done])

    def _count(self, settled: Sequence[Question]) -> None:
        for question in settled:
            if question.ended is not None:
                self.measures.ended(question.ended)
            if question.channel is Channel.COMMAND_RESPONSE:
                self._on_answered(question.node_id)
            if question.channel is Channel.RENEW:
                outcome = question.outcome
                self.measures.renewed(outcome if isinstance(outcome, CloudError) else None)

    async def _ask_together(self, question: Question) -> None:
        """Whoever gets the turn carries out all that waited for it."""
        self._waiting.append(question)
        try:
            async with self._turn:
                if question.is_done:
                    return
                group = self._waiting[:GROUP]
                try:
                    await self.carry_out(group)
                except Unavailable as error:
                    for each in group:
                        each.settle(error)
        finally:
            self._waiting.remove(question)

    def _report(self, node_id: str, message: Message, encoding: Encoding, now: datetime) -> Work:
        meta = message.meta
        report = read_report(message.content, read_order(meta), depth=message.depth)
        interval, source = read_interval(meta), str(meta.get(SOURCE, ""))

        def store_report(tx: Transaction) -> Told:
            answer = receive_report(
                tx,
                node_id,
                report,
                encoding.value,
                now=now,
                source=source,
                interval=interval,
                deploys_kept=self._deploys_kept,
                usage_step=self._usage_step,
            )
            told = report_answer(answer.delta, answer.warning, now, meta=meta)
            return Told(told, answer.ended)

        return store_report

    def _stats(self, node_id: str, message: Message, _encoding: Encoding, now: datetime) -> Work:
        usage = read_usage(message.content)
        step = self._usage_step
        return lambda tx: receive_usage(tx, node_id, usage, now=now, usage_step=step)

    def _renewal(self, node_id: str, message: Message, _encoding: Encoding, now: datetime) -> Work:
        _check_request_id(message.meta)
        return self._renew(node_id, message.content, now, meta=message.meta)

    def _answer(self, node_id: str, message: Message, _encoding: Encoding, now: datetime) -> Work:
        command_id, answer = read_answer(message.content)
        return lambda tx: receive_answer(tx, node_id, command_id, answer, now=now)

    def _desire(self, node_id: str, message: Message, _encoding: Encoding, now: datetime) -> Work:
        meta: Meta = message.meta
        _check_request_id(meta)
        infos = read_infos(message.content)

        def find_bodies(tx: Transaction) -> Message:
            bodies = deliver(tx, node_id, infos, presign=self._presign)
            return desire_answer(bodies, now, meta=meta)

        return find_bodies


def _check_request_id(meta: Meta) -> None:
    if len(str(meta.get(REQUEST_ID, ""))) > _REQUEST_ID_LIMIT:
        reason = f"is longer than {_REQUEST_ID_LIMIT} characters"
        raise Invalid(f"meta.{REQUEST_ID}", reason)


async def _carry_out(
    run: Callable[[Callable[[Transaction], Any]], Any], todo: list[Question]
) -> None:
    """Settle *todo* in one transaction that *run* runs."""
    if not todo:
        return
    try:
        outcomes = await run(lambda tx: _outcomes_of(todo, tx))
    except Unavailable:
        raise
    except Exception as error:
        if len(todo) == 1 and isinstance(error, CloudError):
            todo[0].settle(error)
            return
        if len(todo) == 1:
            logger.exception("a message of %s failed", todo[0].node_id)
            todo[0].settle(Failed())
            return
        # One of them is at fault; alone, it cannot take the others with it.
        for question in todo:
            await _carry_out(run, [question])
        return
    for question, outcome in zip(todo, outcomes, strict=True):
        question.settle(outcome)


def _outcomes_of(questions: Sequence[Question], tx: Transaction) -> list[Outcome]:
    of_reporters = {
        (namespace, name)
        for question in questions
        if question.channel in _APART or question.is_checked
        for namespace, _, name in [question.node_id.partition(".")]
    }
    tx.prefetch_reporters(of_reporters)
    return [_outcome_of(question, tx) for question in questions]


def _outcome_of(question: Question, tx: Transaction) -> Outcome:
    """Do the work; what is refused becomes the outcome, as the work refuses before it writes."""
    try:
        answer: Told | Outcome = question.work(tx)
    except Unavailable:
        raise
    except CloudError as error:
        answer = error
    if isinstance(answer, Told):
        question.ended = answer.ended
        return answer.message
    return answer

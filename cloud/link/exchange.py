"""Requests of nodes, the same for each link: decoded, carried out, answered.

Concurrent requests are committed together, in one transaction. A request that fails does not fail
the others.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

import msgspec

from broker.messages import REQUEST_ID, SOURCE, Encoding, Message, NodeMessageKind
from broker.topics import Channel
from cloud.core.commands import read_answer
from cloud.core.deploys import DEPLOYS_KEPT, Deploy
from cloud.core.encryption_key import SEALED_IF_POSSIBLE, SealingPolicy
from cloud.core.objects import Presign, cannot_sign
from cloud.core.report import check_counts, read_interval, read_order, read_report, read_usage
from cloud.core.usage import DEFAULT_USAGE_STEP
from cloud.errors import CloudError, Invalid, Unavailable
from cloud.link.measures import Measures
from cloud.link.renewal import Renew, cannot_renew
from cloud.link.sent_reports import SentReport
from cloud.link.unread_secrets import ReadSecrets, reads_no_secrets
from cloud.link.wire import Meta, desire_answer, report_answer
from cloud.operations.commands import receive_answer
from cloud.operations.desires import ANSWER_LIMIT, deliver, read_infos
from cloud.operations.reports import receive_report, receive_usage
from cloud.operations.secret_sources import ValuesOf, reads_nothing
from cloud.store.group_commit import GroupCommit, PieceFailed, commit_group
from cloud.store.transaction import Store, Transaction

logger = logging.getLogger(__name__)

GROUP = 256
"""Requests carried out in one transaction at most."""

LONG_BYTES = 64 * 1024
"""A message as long as this is read on a thread, so that others are served meanwhile."""

_CONCURRENT = frozenset({Channel.REPORT, Channel.STATS, Channel.COMMAND_RESPONSE})
_REPORTS = frozenset({Channel.REPORT, Channel.STATS})
_WRITING = _CONCURRENT | {Channel.RENEW}
_READING = frozenset({Channel.DESIRE})
_REQUEST_ID_LIMIT = 128


class Reply(msgspec.Struct, frozen=True):
    """A response, the deploy that the report ended, and the size if it is large."""

    message: Message
    ended: Deploy | None = None
    size: int = 0


Work = Callable[[Transaction], Message | Reply | None]
"""Carries out a request; returns the response, if there is one. Raises before it writes."""

_Read = Callable[[str, Message, Encoding, datetime], Work | SentReport]

RequestOutcome = Message | CloudError | None


class Failed(CloudError):
    """An error of the server itself; details are in its log."""

    def __init__(self) -> None:
        super().__init__("The server failed.")


class NodeRequest(msgspec.Struct, eq=False):
    """A request of a node, decoded and checked; once carried out, `outcome` is its response."""

    node_id: str
    channel: Channel
    work: Work
    outcome: RequestOutcome = None
    # The deploy that the request, a report, has ended.
    ended: Deploy | None = None
    # Bytes of its response to a desire, as JSON.
    size: int = 0
    is_done: bool = False
    report: SentReport | None = None

    def require(self, check: Callable[[Transaction], None]) -> None:
        """Have *check* run before the work, in its transaction; what it raises is the outcome."""
        work = self.work

        def checked(tx: Transaction) -> Message | Reply | None:
            check(tx)
            return work(tx)

        self.work = checked

    def reopened(self) -> "NodeRequest":
        """Have it carried out again, if it was."""
        self.outcome, self.is_done = None, False
        return self

    def release(self) -> None:
        """Free a large response, which was sent."""
        if isinstance(self.outcome, Message):
            self.outcome = None

    def settle(self, outcome: RequestOutcome) -> None:
        """Set the outcome."""
        self.outcome, self.is_done = outcome, True


class Exchange:
    """Carries out messages of nodes and makes the responses."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime],
        *,
        renew: Renew = cannot_renew,
        presign: Presign = cannot_sign,
        sealing: SealingPolicy = SEALED_IF_POSSIBLE,
        values_of: ValuesOf = reads_nothing,
        read_secrets: ReadSecrets = reads_no_secrets,
        deploys_kept: int = DEPLOYS_KEPT,
        usage_step: timedelta = DEFAULT_USAGE_STEP,
        answer_bytes: int = ANSWER_LIMIT,
        on_answered: Callable[[str], None] = lambda _: None,
        measures: Measures | None = None,
    ) -> None:
        self.clock = clock
        # Reads secrets that an outcome names as unread, before the request is carried out again.
        self.read_secrets = read_secrets
        self._store = store
        self._renew = renew
        self._presign = presign
        self._sealing = sealing
        self._values_of = values_of
        self._deploys_kept = deploys_kept
        self._usage_step = usage_step
        self._answer_bytes = answer_bytes
        # Called with the node that responded to a command, once that is stored.
        self._on_answered = on_answered
        self.measures = measures or Measures()
        self._commit = GroupCommit(self._carry_out_waiting, limit=GROUP)
        # The kind of message that belongs on each channel, and what reads it.
        self._readers: Mapping[Channel, tuple[str, _Read]] = {
            Channel.REPORT: (NodeMessageKind.REPORT, self._report),
            Channel.STATS: (NodeMessageKind.STATS, self._stats),
            Channel.DESIRE: (NodeMessageKind.DESIRE, self._desire),
            Channel.RENEW: (NodeMessageKind.RENEW, self._renewal),
            Channel.COMMAND_RESPONSE: (NodeMessageKind.COMMAND, self._answer),
        }

    def read(
        self, node_id: str, channel: Channel, message: Message, encoding: Encoding, now: datetime
    ) -> NodeRequest:
        """Check *message*, which came at *now*, and decode it; Invalid names a field."""
        reader = self._readers.get(channel)
        if reader is None or message.kind != reader[0]:
            raise Invalid("kind", f"{message.kind[:40]!r} does not belong on {channel.value}")
        found = reader[1](node_id, message, encoding, now)
        if isinstance(found, SentReport):
            work = partial(self._store_report, node_id=node_id, sent=found)
            return NodeRequest(node_id, channel, work, report=found)
        return NodeRequest(node_id, channel, found)

    async def ask(self, request: NodeRequest) -> Message | None:
        """Carry out *request* in one commit with other waiting ones; return its response.

        Raises the error it was refused with; Unavailable if the store cannot answer now. After
        SecretsUnread it can be reopened and carried out again, see `once_read`.
        """
        if request.channel not in _WRITING:
            await self.carry_out([request])
        else:
            await self._commit.settle(request)
        if isinstance(request.outcome, CloudError):
            raise request.outcome
        return request.outcome

    async def carry_out(
        self, requests: Sequence[NodeRequest], on_commit: Callable[[], None] | None = None
    ) -> None:
        """Settle the open ones of *requests*; none is settled before its changes are stored.

        Where their answers are so large that they should be sent first, some are left for the next
        call; one at least is settled by each. *on_commit* is called each time that a commit begins.
        Unavailable if the store cannot answer now: those that are not settled may be tried again.
        """

        def work(tx: Transaction, group: Sequence[NodeRequest]) -> Sequence[RequestOutcome]:
            tx.on_commit = on_commit
            return self._outcomes_of(tx, group)

        todo = [request for request in requests if not request.is_done]
        for run, channels in (
            (self._store.write_concurrent, _CONCURRENT),
            (self._store.write, _WRITING - _CONCURRENT),
            (self._store.read, _READING),
        ):
            group = [one for one in todo if one.channel in channels]
            try:
                await commit_group(run, group, work, settle=NodeRequest.settle, fail=_settle_failed)
            finally:
                self._count([one for one in group if one.is_done])

    def _outcomes_of(
        self, tx: Transaction, requests: Sequence[NodeRequest]
    ) -> Sequence[RequestOutcome]:
        """Outcomes of the first of *requests*, of as many as the bytes of their answers allow."""
        tx.expect_nodes(
            (namespace, name)
            for request in requests
            for namespace, _, name in [request.node_id.partition(".")]
        )
        outcomes: list[RequestOutcome] = []
        repeated: list[SentReport] = []
        size = 0
        for place, request in enumerate(requests):
            if (report := _repeated(request, requests, place + 1)) is not None:
                repeated.append(report)
                continue
            try:
                outcome, of_answer = _outcome_of(request, tx)
            except Unavailable:
                raise
            except Exception as error:
                raise PieceFailed(place, error) from error
            for report in repeated:
                outcomes.append(
                    report.answered_as(outcome) if isinstance(outcome, Message) else outcome
                )
            repeated.clear()
            outcomes.append(outcome)
            size += of_answer
            if size >= self._answer_bytes:
                break
        return outcomes

    def _count(self, settled: Sequence[NodeRequest]) -> None:
        for request in settled:
            try:
                self._count_one(request)
            except Exception:  # noqa: BLE001  # logged as this message's failure
                self.measures.log_failure("exchange", request.node_id)

    def _count_one(self, request: NodeRequest) -> None:
        channel = request.channel
        if request.ended is not None:
            self.measures.ended(request.ended)
        if channel in _REPORTS and not isinstance(request.outcome, CloudError):
            self.measures.stored_report(request.node_id)
        elif channel is Channel.COMMAND_RESPONSE:
            self._on_answered(request.node_id)
        elif channel is Channel.RENEW:
            outcome = request.outcome
            self.measures.renewed(outcome if isinstance(outcome, CloudError) else None)

    async def _carry_out_waiting(self, group: Sequence[NodeRequest]) -> None:
        try:
            await self.carry_out(group)
        except Unavailable as error:
            for request in group:
                if not request.is_done:
                    request.settle(error)

    def _report(
        self, _node_id: str, message: Message, encoding: Encoding, now: datetime
    ) -> SentReport:
        meta = message.meta
        check_counts(message.content)
        report = read_report(message.content, read_order(meta), depth=message.depth)
        source = str(meta.get(SOURCE, ""))
        return SentReport(report, encoding.value, source, read_interval(meta), meta, now)

    def _store_report(self, tx: Transaction, node_id: str, sent: SentReport) -> Reply:
        answer = receive_report(
            tx,
            node_id,
            sent.report,
            sent.encoding,
            now=sent.now,
            source=sent.source,
            interval=sent.interval,
            deploys_kept=self._deploys_kept,
            usage_step=self._usage_step,
        )
        message = report_answer(answer.delta, answer.warning, sent.now, meta=sent.meta)
        return Reply(message, answer.ended)

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

        def find_bodies(tx: Transaction) -> Reply:
            bodies = deliver(
                tx,
                node_id,
                infos,
                presign=self._presign,
                limit=self._answer_bytes,
                policy=self._sealing,
                values_of=self._values_of,
            )
            return Reply(desire_answer(bodies.content, now, meta=meta), size=bodies.size)

        return find_bodies


def _check_request_id(meta: Meta) -> None:
    if len(str(meta.get(REQUEST_ID, ""))) > _REQUEST_ID_LIMIT:
        reason = f"is longer than {_REQUEST_ID_LIMIT} characters"
        raise Invalid(f"meta.{REQUEST_ID}", reason)


def _settle_failed(request: NodeRequest, error: Exception) -> None:
    """Settle *request*, whose work failed with *error*; a failure of the server is logged."""
    if not isinstance(error, CloudError):
        logger.error("a message of %s failed", request.node_id, exc_info=error)
        error = Failed()
    request.settle(error)


def _repeated(
    request: NodeRequest, requests: Sequence[NodeRequest], following: int
) -> SentReport | None:
    """The report of *request*, if the next of *requests*, of the same node, repeats it."""
    report = request.report
    if report is None or following >= len(requests):
        return None
    later = requests[following]
    if later.node_id != request.node_id or later.report is None:
        return None
    return report if report.is_repeated_by(later.report) else None


def _outcome_of(request: NodeRequest, tx: Transaction) -> tuple[RequestOutcome, int]:
    """Do the work; what is refused becomes the outcome, as the work refuses before it writes."""
    try:
        answer: Reply | RequestOutcome = request.work(tx)
    except Unavailable:
        raise
    except CloudError as error:
        answer = error
    if isinstance(answer, Reply):
        request.ended, request.size = answer.ended, answer.size
        return answer.message, answer.size
    return answer, 0

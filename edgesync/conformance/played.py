"""The server as the device sees it: desired state, answers, and the messages of the device."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from broker.errors import MalformedMessage
from broker.hub import Hub, Inbound
from broker.messages import (
    REQUEST_ID,
    SEQUENCE,
    Encoding,
    Message,
    NodeMessageKind,
    decode_message,
    encode_message,
    encoding_of,
)
from broker.topics import Channel
from cloud.core.report import read_interval, read_order, read_report
from cloud.core.times import time_text
from cloud.errors import Invalid
from cloud.link.wire import desire_answer, error_message, report_answer
from edgesync.conformance.checks import Findings

KINDS = {
    Channel.REPORT: NodeMessageKind.REPORT,
    Channel.STATS: NodeMessageKind.STATS,
    Channel.DESIRE: NodeMessageKind.DESIRE,
    Channel.RENEW: NodeMessageKind.RENEW,
    Channel.COMMAND_RESPONSE: NodeMessageKind.COMMAND,
}
STATUSES = frozenset({"Pending", "Running", "Failed"})
GROUP = 64
LOG_LIMIT = 10_000
"""Messages of a device that are kept."""

Bodies = dict[tuple[str, str], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class PlayedMessage:
    """One message of the device; *at* is when it came, in seconds of `time.monotonic`."""

    channel: Channel
    message: Message
    at: float

    @property
    def content(self) -> Mapping[str, Any]:
        """Its content if that is a map, else an empty one."""
        return self.message.content if isinstance(self.message.content, dict) else {}

    @property
    def apps(self) -> dict[str, str]:
        """Names and versions of the apps of a report."""
        return {app["name"]: app["version"] for app in self.content.get("apps") or ()}


@dataclass(slots=True)
class PlayedDesire:
    """The desired state of the device; *bodies* by kind and name."""

    apps: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    bodies: Bodies = field(default_factory=dict)
    offers: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)
    """Keys of `meta` that no device knows."""

    def delta(self, report: PlayedMessage | None) -> dict[str, Any]:
        """The delta for a device whose last report is *report*; empty where all is as desired."""
        apps = [{"name": name, "version": self.apps[name]} for name in self.apps]
        properties = {"nodeprops": self.properties} if self.properties else {}
        if report is not None and report.apps == self.apps and self._has_offers(report):
            properties_there = report.content.get("nodeprops") or {}
            if not self.properties or properties_there == self.properties:
                return {}
        return {"apps": apps, **properties, "offer": self.offers}

    def _has_offers(self, report: PlayedMessage) -> bool:
        """Return whether the device names what it is offered, or knows no offers."""
        named = report.content.get("offers")
        if not isinstance(named, list):
            return True
        own = [(one.get("name"), one.get("version")) for one in named if isinstance(one, dict)]
        return sorted(own) == sorted((one["name"], one["version"]) for one in self.offers)


class Played:
    """Answers the device *node_id* on *hub*, and looks at each of its messages."""

    def __init__(self, hub: Hub, node_id: str, findings: Findings) -> None:
        self.hub = hub
        self.node_id = node_id
        self.findings = findings
        self.wanted = PlayedDesire()
        self.messages: list[PlayedMessage] = []
        self.answers_reports = True
        self.encoding = Encoding.JSON
        self._changed = asyncio.Condition()
        self._sequence: tuple[str, int] | None = None  # run and seq of the last report

    async def run(self) -> None:
        """Take messages until cancelled."""
        while True:
            for inbound in await self.hub.receive(GROUP):
                inbound.ack()
                if inbound.node_id == self.node_id:
                    self._take(inbound)
            async with self._changed:
                self._changed.notify_all()

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until *condition* holds, looked at after each message; False when time is over."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            return condition()
        return True

    async def next_report(self, seconds: float, since: int | None = None) -> PlayedMessage | None:
        """The first report after the first *since* messages (None: those of now)."""
        start = len(self.messages) if since is None else since
        await self.until(lambda: any(self._reports(start)), seconds)
        return next(iter(self._reports(start)), None)

    def reports_since(self, start: int) -> list[PlayedMessage]:
        """Reports after the first *start* messages."""
        return self._reports(start)

    def last_report(self) -> PlayedMessage | None:
        """The newest report."""
        return next((one for one in reversed(self.messages) if one.channel is Channel.REPORT), None)

    def push_delta(self) -> bool:
        """Send what is wanted without having been asked; False where the device does not listen."""
        delta = self.wanted.delta(None)
        return self.send(Channel.DELTA, report_answer(delta, "", now(), meta={}))

    def send(self, channel: Channel, message: Message) -> bool:
        """Send *message* in the encoding of the device; False where it does not listen."""
        message = Message(message.kind, message.content, {**message.meta, **self.wanted.extra})
        return self.hub.push(self.node_id, channel, encode_message(message, self.encoding))

    def _reports(self, start: int) -> list[PlayedMessage]:
        return [one for one in self.messages[start:] if one.channel is Channel.REPORT]

    def _take(self, inbound: Inbound) -> None:
        try:
            self.encoding = encoding_of(inbound.payload)
            message = decode_message(inbound.payload)
        except MalformedMessage as error:
            self.findings.failed("envelope", f"on {inbound.channel.value}: {error.reason}")
            return
        expected = KINDS[inbound.channel].value
        if message.kind != expected:
            detail = f"kind {message.kind[:40]!r} on {inbound.channel.value}, not {expected!r}"
            self.findings.failed("envelope", detail)
            return
        self.findings.passed("envelope")
        received = PlayedMessage(inbound.channel, message, time.monotonic())
        if inbound.channel is Channel.REPORT and not self._is_readable(received):
            return
        if len(self.messages) < LOG_LIMIT:
            self.messages.append(received)
        if inbound.channel is Channel.REPORT:
            self._answer_report(received)
        elif inbound.channel is Channel.DESIRE:
            self._answer_desire(received)

    def _is_readable(self, received: PlayedMessage) -> bool:
        meta = received.message.meta
        try:
            order = read_order(meta)
            read_report(received.message.content, order)
            read_interval(meta)
        except Invalid as error:
            self.findings.failed("report", f"{error.field}: {error.reason}")
            self.send(Channel.DELTA, error_message(Invalid.code, str(error), now(), meta=meta))
            return False
        self.findings.passed("report")
        if order.sequence is None:
            self.findings.failed("sequence", "meta has no seq")
        else:
            self._count(order.run, order.sequence)
        self._look_at_stats(received)
        return True

    def _count(self, run: str, sequence: int) -> None:
        before, self._sequence = self._sequence, (run, sequence)
        if before is None or before[0] != run:
            return
        if sequence != before[1] + 1:
            self.findings.failed("sequence", f"seq {sequence} follows {before[1]} in run {run!r}")
        else:
            self.findings.passed("sequence")

    def _look_at_stats(self, received: PlayedMessage) -> None:
        if not received.apps:
            return
        stats = {one["name"]: one for one in received.content.get("appstats") or ()}
        for name in received.apps:
            status = stats.get(name, {}).get("status")
            if status not in STATUSES:
                detail = f"app {name[:60]!r} has the status {status!r} in appstats"
                self.findings.failed("app-status", detail)
                return
        self.findings.passed("app-status")

    def _answer_report(self, received: PlayedMessage) -> None:
        if not self.answers_reports:
            return
        answer = report_answer(self.wanted.delta(received), "", now(), meta=received.message.meta)
        if self.send(Channel.DELTA, answer):
            self.findings.passed("subscribes")
        else:
            self.findings.failed("subscribes", "it reported before it was subscribed to delta")

    def _answer_desire(self, received: PlayedMessage) -> None:
        meta = received.message.meta
        infos = received.content.get("infos")
        if not isinstance(infos, list) or not all(isinstance(one, dict) for one in infos):
            self.findings.failed("infos", "content.infos is not a list of maps")
            return
        if REQUEST_ID not in meta:
            self.findings.failed("infos", f"meta has no {REQUEST_ID}")
        values = []
        for info in infos:
            kind, name = str(info.get("kind")), str(info.get("name"))
            body = self.wanted.bodies.get((_KIND_WORDS.get(kind, kind), name))
            if body is None:
                self.findings.failed("infos", f"asked for {kind} {name[:60]!r}, which no app uses")
                text = f"The ({kind}) resource ({name}) is not found."
                answer = error_message("ResourceNotFound", text, now(), meta=meta)
                self.send(Channel.DESIRE_RESPONSE, answer)
                return
            version = body["version"]
            values.append({"kind": kind, "name": name, "version": version, "value": body})
        answer = desire_answer({"values": values}, now(), meta=meta)
        if not self.send(Channel.DESIRE_RESPONSE, answer):
            self.findings.failed("subscribes", "it asked before it subscribed to desire-response")


_KIND_WORDS = {"app": "application", "config": "configuration"}


def older_answer(report: PlayedMessage) -> Message:
    """An empty desired state as the answer to the report before *report*."""
    sequence = int(report.message.meta.get(SEQUENCE, 1)) - 1
    meta = {**report.message.meta, SEQUENCE: sequence}
    return report_answer({"apps": []}, "", now(), meta=meta)


def now() -> datetime:
    """The server's clock."""
    return datetime.now(UTC)


def now_text() -> str:
    """The server's clock as messages have it."""
    return time_text(now())

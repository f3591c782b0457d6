"""Stay connected: connect, report, take what comes; when the connection is lost, again."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from edgesync_agent.activation import openssl_command
from edgesync_agent.agent_log import AgentLog
from edgesync_agent.agent_process import forget_report, only_one, read_identity
from edgesync_agent.apps import SupervisedApps, open_supervisor
from edgesync_agent.clock import Clock, WrongTime
from edgesync_agent.commands import Commands, Send, UpdateOffered
from edgesync_agent.consent import CONSENT_FILE, ConsentFile
from edgesync_agent.encryption import EncryptionKeys
from edgesync_agent.errors import HubConnectionLost
from edgesync_agent.files import replace_file
from edgesync_agent.https import learn_time
from edgesync_agent.kernel import reap_children
from edgesync_agent.link import AgentLink
from edgesync_agent.machine import Usage, facts
from edgesync_agent.node import AgentNode
from edgesync_agent.offers import Offer, fetch_offer
from edgesync_agent.policy import PolicyFile, policy_file
from edgesync_agent.renewal import Renewal
from edgesync_agent.summary import StateFile
from edgesync_agent.updates import Updates, own_program
from edgesync_agent.version_offers import VersionOffers

INTERVAL = 20.0  # seconds from report to report
ANSWER_WAIT = 5.0  # seconds until a report is sent again without an answer; then twice as many
BACK_OFF_LIMIT = 180.0  # seconds between attempts to connect
LOOK = 1.0  # seconds until what the apps do is reported


def run(home: Path) -> None:
    """Be the node of *home* until SIGTERM; AgentError if there is none, or if it runs already."""
    reap_children()
    log = AgentLog()
    identity = read_identity(home)
    signal.signal(signal.SIGTERM, lambda _number, _frame: _end(log))
    with only_one(home):
        forget_report(home)
        updates = Updates(home, own_program(), log)
        updates.begin(time.monotonic())
        try:
            _Session(home, identity, log, updates).run()
        except Exception as error:
            if updates.is_unconfirmed:
                updates.go_back(f"it ended: {error!r}")
            raise


class _Session:
    """One run of the agent: connection after connection."""

    def __init__(
        self, home: Path, identity: dict[str, Any], log: AgentLog, updates: Updates
    ) -> None:
        self.home = home
        self.identity = identity
        self.log = log
        self.updates = updates
        self.clock = Clock()
        policy = PolicyFile(policy_file()).current
        self.keys = EncryptionKeys(home, home / "identity", openssl_command(), self.clock, log)
        self.apps = open_supervisor(home, identity["nodeId"], log, policy, self.keys)
        self.consent = ConsentFile(home / CONSENT_FILE, log)
        self.node = AgentNode(
            self.apps.releases,
            self.apps,
            os.urandom(8).hex(),
            log,
            self.clock,
            revision=updates.digest[:12],
            offers=VersionOffers(self.consent.answer),
        )
        if updates.is_unconfirmed:
            self.node.keys = None  # the agent before, which may return, cannot open what is sealed
        self.apps.changed = self.node.report_soon
        self.state = StateFile(home)
        self.renewal = Renewal(home / "identity", identity, log, self.clock, self._new_key)
        self.usage = Usage()
        self.commands = Commands(
            home,
            log,
            SupervisedApps(self.apps),
            self.node.report_soon,
            self.clock,
            policy=policy,
            offer=self._offer,
        )

    def run(self) -> None:
        """Connect, again and again."""
        self.apps.start()
        self.log(f"this is node {self.identity['nodeId']}")
        delay = 1.0
        while True:
            try:
                self._stay_connected()
            except UpdateOffered as error:
                self.commands.forget()
                self.updates.take(error.offer, error.command)
            except (HubConnectionLost, OSError, WrongTime) as error:
                self._disconnected(error)
            if self.updates.is_late(time.monotonic()):
                self.updates.go_back("it did not report in time")
            delay = 1.0 if self.node.answered else delay
            self.node.answered = False
            time.sleep(delay * (0.5 + random.random() / 2))  # noqa: S311
            delay = min(2 * delay, BACK_OFF_LIMIT)

    def _disconnected(self, error: Exception) -> None:
        self.log(f"not connected: {error}")
        self._write_state(f"down: {error}")
        self.commands.forget()
        if isinstance(error, WrongTime):
            _learn_time(self.home, self.identity, self.clock, self.log)
        if not self.node.answered:
            self.renewal.failed(time.monotonic())

    def _write_state(self, connection: str) -> None:
        offers = self.node.offers.report(self.apps.is_prepared)
        self.state.write(connection, self.apps.statuses(), offers)

    def _stay_connected(self) -> None:
        """One connection, until it is lost or there is another certificate to connect with."""
        link = AgentLink(self.home, self.identity, self.renewal.certificate(), self.clock)

        def send(channel: str, kind: str, meta: dict[str, Any], content: dict[str, Any]) -> None:
            message = {"kind": kind, "meta": meta, "content": content}
            link.publish(channel, json.dumps(message).encode())

        try:
            link.open(self.identity["nodeId"])
            self.log("connected")
            self._write_state("up")
            self.renewal.connected()
            self.node.fetching.clear()
            schedule = _ReportSchedule()
            while not self.renewal.tend(send, time.monotonic()):
                now = time.monotonic()
                self._speak(send, schedule, link.address, now)
                # The apps change in threads of their own: look after them each second.
                due = min(schedule.due(self.node, now), self.commands.due(now), now + LOOK)
                for channel, payload in link.receive(max(due - now, 0)):
                    if self._take(channel, payload, send):
                        return
                self._answered(send)
        finally:
            link.close()

    def _speak(self, send: Send, schedule: _ReportSchedule, address: str, now: float) -> None:
        """Report, or send usage, if it is time; and go on with commands."""
        self.commands.tend(send, now)
        self.node.tend(send, now)
        if self.consent.has_changed() and self.node.offers.entries:
            self.node.report_soon()
        if schedule.is_report_due(self.node, now):
            own = facts(address, self.apps.runtime_name())
            self.node.report(send, own, self.usage.stats())
            self._write_state("up")
            schedule.reported(now)
        elif schedule.is_stats_due(now):
            usage = self.usage.stats().get("usage", {})
            send("stats", "stats", {}, {"nodestats": {"usage": usage}})

    def _take(self, channel: str, payload: bytes, send: Send) -> bool:
        """Handle a message; whether there is another certificate to connect with."""
        now = time.monotonic()
        if channel == "command":
            self.log(self.commands.take(payload, send, now))
        elif channel != "renew-response":
            self.node.take(channel, payload, send, now)
        else:
            return self.renewal.take(payload, now)
        return False

    def _answered(self, send: Send) -> None:
        """Do what waits for the first answer to a report."""
        if not self.node.answered:
            return
        if not (self.home / "reported").exists():
            # `wait` reads it as soon as it is there.
            replace_file(self.home / "reported", self.identity["nodeId"].encode())
        self.updates.confirm()
        self.node.keys = self.keys
        if self.updates.answer:
            own_id, status, text = self.updates.answer
            self.updates.answer = None
            result = {"output" if status == "done" else "cause": text}
            send("command-response", "command", {}, {"id": own_id, "status": status, **result})

    def _new_key(self) -> None:
        """The encryption key changes with the certificate."""
        self.keys.renew(self.apps.releases.keys_in_use())

    def _offer(self) -> tuple[Offer, str]:
        offer = fetch_offer(self.home, self.identity, self.clock)
        return offer, self.updates.check(offer)


class _ReportSchedule:
    """When to report on one connection, and when to send usage."""

    def __init__(self) -> None:
        self.report_due = self.stats_due = self.again_due = 0.0
        self.pause = ANSWER_WAIT
        self.is_again = False

    def is_report_due(self, node: AgentNode, now: float) -> bool:
        """Whether it is time, something has changed, or no answer has come to the last report."""
        self.is_again = node.waiting and now >= self.again_due
        return now >= self.report_due or node.changed or self.is_again

    def reported(self, now: float) -> None:
        """A report was sent."""
        self.pause = min(2 * self.pause, INTERVAL) if self.is_again else ANSWER_WAIT
        self.report_due, self.stats_due = now + INTERVAL, now + INTERVAL / 2
        self.again_due = now + self.pause * (1 + random.random() / 2)  # noqa: S311

    def is_stats_due(self, now: float) -> bool:
        """Whether to send usage; once between two reports."""
        if now < self.stats_due:
            return False
        self.stats_due = self.report_due + INTERVAL / 2
        return True

    def due(self, node: AgentNode, now: float) -> float:
        """When the next of these is due."""
        again = self.again_due if node.waiting else self.report_due
        return min(self.report_due, self.stats_due, again)


def _learn_time(home: Path, identity: dict[str, Any], clock: Clock, log: AgentLog) -> None:
    """Ask the server what time it is; nothing changes if it cannot be believed."""
    try:
        learn_time(identity["activation"], home / "identity" / "ca.pem", clock)
        log(f"the server's clock is used; this machine's is off by {-clock.skew:.0f} s")
    except (OSError, ValueError, KeyError) as error:
        log(f"cannot find out what time it is: {error}")


def _end(log: AgentLog) -> None:
    log("ending")
    raise SystemExit(0)

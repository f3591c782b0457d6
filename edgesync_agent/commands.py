"""The commands that operators may send to this agent, unless the policy of the machine refuses."""

from __future__ import annotations

import calendar
import collections
import contextlib
import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Mapping, Protocol, Sequence

from edgesync_agent.agent_log import AgentLog
from edgesync_agent.clock import Clock
from edgesync_agent.diagnosis import archive_of
from edgesync_agent.errors import AgentError
from edgesync_agent.log_jobs import LogJob, Sources
from edgesync_agent.offers import Offer
from edgesync_agent.policy import Policy

SWITCH = "no-commands"  # a file of this name beside the identity: every command is refused
IDS_KEPT = 64  # commands that are known again
OUTPUT_LIMIT = 60 * 1024  # bytes of an output, or of a part of one
JOBS_LIMIT = 4  # commands that are being carried out at a time
FOLLOW_LIMIT = 2  # logs that are followed at a time; a further one ends the oldest
PART_PAUSE = 1.0  # seconds from part to part
MARGIN = 1.0  # seconds before the deadline at which an answer is sent as it is
LOOK = 0.2  # seconds between looks at what is being carried out

Send = Callable[[str, str, "dict[str, Any]", "dict[str, Any]"], None]
"""Publishes on a channel: kind, meta, content."""


class Apps(Protocol):
    """The apps of this machine, as far as commands are about them."""

    def logs(self, app: str) -> Sources:
        """The logs of its instances; LookupError if there is no such app, or nothing of it."""
        ...

    def restart(self, app: str) -> None:
        """Have it started again; LookupError if there is no such app."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """The state of all as JSON, `apps` with the `name` of each; nothing of it is secret."""
        ...

    def secrets(self) -> Sequence[str]:
        """Texts that nothing which leaves the machine for people may hold."""
        ...


class UpdateOffered(Exception):
    """There is another agent to be tried, once the connection is closed."""

    def __init__(self, command: str, offer: Offer) -> None:
        super().__init__("there is another agent")
        self.command = command
        self.offer = offer


@dataclass
class _Command:
    """A command that is being carried out; *until* is the last moment for its answer."""

    id: str
    until: float
    poll: Callable[[_Command, float], dict[str, Any] | None]
    logs: LogJob | None = None
    is_following: bool = False
    part: int = 0
    due: float = 0.0
    results: list[Any] = field(default_factory=list)


class Commands:
    """Answers commands; *report* has the agent report at once, *offer* fetches another agent."""

    def __init__(
        self,
        home: Path,
        log: AgentLog,
        apps: Apps,
        report: Callable[[], None],
        clock: Clock,
        *,
        policy: Callable[[], Policy] = Policy,
        offer: Callable[[], tuple[Offer, str]],
    ) -> None:
        self.home = home
        self.log = log
        self.apps = apps
        self.report = report
        self.clock = clock
        self.policy = policy
        self.offer = offer  # what the server offers, and the message if it is not needed
        self.taken: collections.deque[str] = collections.deque(maxlen=IDS_KEPT)
        self.running: list[_Command] = []

    def take(self, payload: bytes, send: Send, now: float) -> str:
        """Do what is asked, once, and answer, at once or by `tend`; a line for the log."""
        try:
            message = json.loads(payload)
            content = message["content"]
            if message["kind"] != "command":
                return f"the server answers with an error: {content}"
            own_id, command = str(content["id"]), str(content["command"])
            options = _LogOptions.of(content)
            is_late = self._is_late(content.get("deadline"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return f"cannot use a command: {error!r}"
        if own_id in self.taken:
            return "a command came twice"
        self.taken.append(own_id)
        if is_late:
            return f"a command came too late: {command}"
        answer = self._begin(own_id, command, options, now)
        if answer is None:
            return f"asked for {command}: begun"
        _answer(send, own_id, answer)
        return f"asked for {command}: {answer['status']}"

    def tend(self, send: Send, now: float) -> None:
        """Send what has come of the commands that are being carried out.

        UpdateOffered if one of them was to fetch another agent, and that is here.
        """
        for command in list(self.running):
            answer = command.poll(command, now)
            if answer is None:
                continue
            if answer["status"] != "running":
                self.running.remove(command)
            _answer(send, command.id, answer)

    def due(self, now: float) -> float:
        """When `tend` is to be called next at the latest, on the clock of *now*."""
        return now + LOOK if self.running else float("inf")

    def forget(self) -> None:
        """The connection is gone: answers in parts are dropped."""
        for command in self.running:
            if command.logs:
                command.logs.end()
        self.running.clear()

    def _begin(
        self, own_id: str, command: str, options: _LogOptions, now: float
    ) -> dict[str, Any] | None:
        """The answer, or None where it comes by `tend`."""
        refused = self._refusal(command)
        if refused:
            return {"status": "refused", "cause": refused}
        begin = {
            "logs": self._logs,
            "restart": self._restart,
            "report": self._report,
            "diagnose": self._diagnose,
            "update": self._update,
        }.get(command)
        if begin is None:
            return {"status": "refused", "cause": "this agent knows no such command"}
        try:
            return begin(own_id, options, now)
        except LookupError as error:
            return {"status": "failed", "cause": str(error.args[0] if error.args else error)}

    def _refusal(self, command: str) -> str:
        if (self.home / SWITCH).exists():
            return f"commands are switched off on this machine ({SWITCH})"
        if len(self.running) >= JOBS_LIMIT:
            return "too many commands are being carried out"
        return self.policy().refuses_command(command)

    def _report(self, own_id: str, options: _LogOptions, now: float) -> dict[str, Any]:
        self.report()
        return {"status": "done", "output": ""}

    def _restart(self, own_id: str, options: _LogOptions, now: float) -> dict[str, Any]:
        self.apps.restart(options.app)
        return {"status": "done", "output": ""}

    def _logs(self, own_id: str, options: _LogOptions, now: float) -> None:
        sources = self.apps.logs(options.app) if options.app else [("agent", self.log.logs)]
        following = [one for one in self.running if one.is_following]
        if options.follow and len(following) >= FOLLOW_LIMIT:
            following[0].until = now  # its next look is its last
        since = time.time() - options.since if options.since else 0.0
        seconds = max(options.seconds - MARGIN, 0.5)
        logs = LogJob(sources, options.lines, since, seconds if options.follow else 0.0)
        poll = _followed if options.follow else _read
        self.running.append(_Command(own_id, now + seconds, poll, logs, options.follow))

    def _diagnose(self, own_id: str, options: _LogOptions, now: float) -> None:
        def collect() -> str:
            state = self.apps.describe()
            logs: list[tuple[str, Any]] = [("agent", self.log.logs)]
            for app in state["apps"]:
                with contextlib.suppress(LookupError):
                    found = self.apps.logs(app["name"])
                    logs += [(f"{app['name']}-{name}", reader) for name, reader in found]
            return archive_of(self.home, state, logs, self.apps.secrets())

        self._work(own_id, options, now, collect, lambda text: {"status": "done", "output": text})

    def _update(self, own_id: str, options: _LogOptions, now: float) -> None:
        def settle(found: tuple[Offer, str]) -> dict[str, Any]:
            offer, needless = found
            if needless:
                return {"status": "done", "output": needless}
            self.running = [one for one in self.running if one.id != own_id]
            raise UpdateOffered(own_id, offer)

        self._work(own_id, options, now, self.offer, settle)

    def _work(
        self,
        own_id: str,
        options: _LogOptions,
        now: float,
        work: Callable[[], Any],
        settle: Callable[[Any], dict[str, Any]],
    ) -> None:
        """Carry out *work* in a thread of its own; *settle* makes an answer of its result."""

        def run() -> None:
            try:
                command.results.append(work())
            except (AgentError, OSError, LookupError) as error:
                command.results.append(error)

        def poll(command: _Command, now: float) -> dict[str, Any] | None:
            if command.results:
                result = command.results[0]
                if isinstance(result, Exception):
                    return {"status": "failed", "cause": str(result)}
                return settle(result)
            if now >= command.until:
                return {"status": "failed", "cause": "it takes longer than the deadline"}
            return None

        command = _Command(own_id, now + max(options.seconds - MARGIN, 0.5), poll)
        self.running.append(command)
        threading.Thread(target=run, daemon=True).start()

    def _is_late(self, deadline: Any) -> bool:
        """Whether the deadline has passed, by the server's clock as far as it is known."""
        if deadline is None:
            return False
        return self.clock.now() >= calendar.timegm(time.strptime(deadline, "%Y-%m-%dT%H:%M:%SZ"))


@dataclass(frozen=True)
class _LogOptions:
    app: str
    lines: int
    since: int
    follow: bool
    seconds: float

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> _LogOptions:
        """The arguments of a command; ValueError, TypeError if that cannot be read."""
        return cls(
            str(content.get("app") or ""),
            max(int(content.get("lines", 100)), 1),
            max(int(content.get("sinceSeconds", 0)), 0),
            content.get("follow") is True,
            float(content.get("seconds", 30)),
        )


def _read(command: _Command, now: float) -> dict[str, Any] | None:
    """The log in one piece, once it is read, or as far as it is read in time."""
    logs = command.logs
    assert logs is not None  # noqa: S101
    is_done = logs.is_done
    if not is_done and now < command.until:
        return None
    data, is_cut = logs.take(OUTPUT_LIMIT)
    logs.end()
    if logs.failures and not data:
        return {"status": "failed", "cause": logs.failures[0]}
    return _with_output({"status": "done"}, data, is_cut=is_cut or not is_done)


def _followed(command: _Command, now: float) -> dict[str, Any] | None:
    """The next part of a log, if there is one and the pause after the last is over."""
    logs = command.logs
    assert logs is not None  # noqa: S101
    is_last = logs.is_done or now >= command.until
    if now < command.due and not is_last:
        return None
    data, is_cut = logs.take(OUTPUT_LIMIT)
    if not data and not is_last:
        return None
    command.part += 1
    command.due = now + PART_PAUSE
    if is_last:
        logs.end()
    if is_last and logs.failures:
        answer = {"status": "failed", "part": command.part, "cause": logs.failures[0]}
        return _with_output(answer, data, is_cut=is_cut)
    status = "done" if is_last else "running"
    return _with_output({"status": status, "part": command.part}, data, is_cut=is_cut)


def _with_output(answer: dict[str, Any], data: bytes, *, is_cut: bool) -> dict[str, Any]:
    cut = {"cut": True} if is_cut else {}
    return {**answer, "output": data.decode(errors="replace"), **cut}


def _answer(send: Send, own_id: str, answer: Mapping[str, Any]) -> None:
    send("command-response", "command", {}, {"id": own_id, **answer})

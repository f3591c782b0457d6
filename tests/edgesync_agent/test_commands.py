"""What operators may ask the agent for."""

import base64
import io
import json
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgesync_agent.agent_log import AgentLog
from edgesync_agent.clock import Clock
from edgesync_agent.commands import (
    FOLLOW_LIMIT,
    JOBS_LIMIT,
    OUTPUT_LIMIT,
    SWITCH,
    Commands,
    UpdateOffered,
)
from edgesync_agent.diagnosis import SIZE_LIMIT
from edgesync_agent.errors import AgentError
from edgesync_agent.offers import Offer
from edgesync_agent.policy import Policy
from edgesync_agent.runtime import FailureReason, RuntimeFailure
from tests.deadlines import UNIT

DEADLINE = 20 * UNIT
OFFER = Offer(b"program", "digest", "2026")
SECRET = "correct horse"


class Web:
    """An app with two instances, and what they put out."""

    def __init__(self) -> None:
        self.restarted: list[str] = []
        self.output: dict[str, list[bytes]] = {"web-0": [b"a\n"], "web-1": [b"x\ny"]}
        self.failure: Exception | None = None
        self.may_end = threading.Event()
        self.asked: list[tuple[int, float, float]] = []

    def logs(self, app: str) -> list[tuple[str, Any]]:
        if app != "web":
            raise LookupError(f"there is no app {app!r} here")

        def reader(name: str) -> Callable[..., Iterator[bytes]]:
            def read(*, lines: int, since: float, follow: float) -> Iterator[bytes]:
                self.asked.append((lines, since, follow))
                if self.failure:
                    raise self.failure
                yield from self.output[name]
                if follow:
                    self.may_end.wait(DEADLINE)
                    yield b"the end\n"

            return read

        return [(name, reader(name)) for name in self.output]

    def restart(self, app: str) -> None:
        self.logs(app)
        self.restarted.append(app)

    def describe(self) -> Mapping[str, Any]:
        web = {"name": "web", "status": "Running", "note": f"it is {SECRET}"}
        return {"apps": [web, {"name": "gone", "status": "Pending"}]}

    def secrets(self) -> Sequence[str]:
        return [SECRET, "a"]


class CommandSite:
    """An agent, and all that it sends; its clock goes on by itself."""

    def __init__(self, home: Path, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.reports = 0
        self.messages: list[dict[str, Any]] = []
        self.clock = Clock(clock)
        self.now = 100.0
        self.web = Web()
        self.policy = Policy()
        self.offered: Any = (OFFER, "")
        log = AgentLog()
        for number in range(5):
            log(f"line {number}")
        self.commands = Commands(
            home,
            log,
            self.web,
            self._report,
            self.clock,
            policy=lambda: self.policy,
            offer=self._offer,
        )

    def _report(self) -> None:
        self.reports += 1

    def _offer(self) -> Any:
        if isinstance(self.offered, Exception):
            raise self.offered
        return self.offered

    def _send(self, channel: str, kind: str, meta: dict[str, Any], content: Any) -> None:
        assert (channel, kind, meta) == ("command-response", "command", {})
        self.messages.append(content)

    def ask(self, command: str, own_id: str = "c1", **more: Any) -> str:
        content = {"id": own_id, "command": command, "seconds": 30, **more}
        return self.hear({"kind": "command", "meta": {}, "content": content})

    def hear(self, message: Any) -> str:
        return self.commands.take(json.dumps(message).encode(), self._send, self.now)

    def tend(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.commands.tend(self._send, self.now)

    def answered(self, count: int = 1) -> list[dict[str, Any]]:
        """What was message, once there are so many messages."""
        limit = time.monotonic() + DEADLINE
        while len(self.messages) < count:
            assert time.monotonic() < limit, self.messages
            self.tend()
            time.sleep(0.01)
        return self.messages

    def outcome(self, command: str, own_id: str = "c1", **more: Any) -> dict[str, Any]:
        count = len(self.messages)
        self.ask(command, own_id, **more)
        return self.answered(count + 1)[-1]


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    return CommandSite(tmp_path)


def test_it_reports_and_sends_the_end_of_its_log_once_for_each_command(site: CommandSite) -> None:
    assert site.ask("report") == "asked for report: done"
    site.ask("report")
    assert site.reports == 1
    assert site.messages == [{"id": "c1", "status": "done", "output": ""}]
    message = site.outcome("logs", "c2", lines=2)
    assert [line[21:] for line in message["output"].splitlines()] == ["line 3", "line 4"]
    message = site.outcome("logs", "c3")
    assert message["output"].count("line") == 5
    assert "cut" not in message


def test_the_log_of_an_app_is_that_of_all_its_instances_by_name(site: CommandSite) -> None:
    message = site.outcome("logs", app="web", lines=7, sinceSeconds=60)
    assert message["status"] == "done"
    lines = message["output"].splitlines()
    assert sorted(lines) == ["web-0 | a", "web-1 | x", "web-1 | y"]
    (asked, other) = site.web.asked
    assert asked == other
    assert (asked[0], asked[2]) == (7, 0.0)
    assert -65 < asked[1] - time.time() < -55
    del site.web.output["web-1"]
    assert site.outcome("logs", "c2", app="web")["output"] == "a\n"


def test_of_a_long_log_the_end_is_sent_and_marked(site: CommandSite) -> None:
    site.web.output = {"web-0": [b"%07d\n" % number for number in range(20_000)]}
    message = site.outcome("logs", app="web")
    assert message["cut"]
    assert message["output"].endswith("0019999\n")
    assert OUTPUT_LIMIT - 100 < len(message["output"]) <= OUTPUT_LIMIT


def test_a_log_is_followed_in_parts_until_it_ends(site: CommandSite) -> None:
    site.web.output = {"web-0": [b"one\n"]}
    site.ask("logs", app="web", follow=True)
    first = site.answered()[0]
    assert first == {"id": "c1", "status": "running", "part": 1, "output": "one\n"}
    site.web.may_end.set()
    last = site.answered(2)[1]
    assert last == {"id": "c1", "status": "done", "part": 2, "output": "the end\n"}
    assert site.commands.due(site.now) == float("inf")


def test_a_log_that_is_followed_ends_before_its_deadline(site: CommandSite) -> None:
    site.ask("logs", app="web", follow=True, seconds=10)
    site.answered()
    site.tend(8.9)
    assert all(message["status"] == "running" for message in site.messages)
    site.tend(0.2)
    assert site.messages[-1]["status"] == "done"
    assert not site.commands.running
    site.web.may_end.set()


def test_only_so_many_logs_are_followed_at_a_time(site: CommandSite) -> None:
    ids = [f"c{number}" for number in range(FOLLOW_LIMIT + 1)]
    for own_id in ids:
        site.ask("logs", own_id, app="web", follow=True)
    site.tend()
    assert [message["id"] for message in site.messages if message["status"] == "done"] == [ids[0]]
    site.commands.forget()
    site.web.may_end.set()
    assert not site.commands.running


def test_only_so_many_commands_are_carried_out_at_a_time(site: CommandSite) -> None:
    site.commands.running = [None] * JOBS_LIMIT  # type: ignore[list-item]
    site.ask("report")
    assert site.messages[0]["status"] == "refused"


def test_a_log_that_cannot_be_read_is_a_failure(site: CommandSite) -> None:
    site.web.failure = RuntimeFailure(FailureReason.ENGINE, "the engine is gone")
    message = site.outcome("logs", app="web")
    assert (message["status"], message["cause"]) == ("failed", "the engine is gone")
    message = site.outcome("logs", "c2", app="web", follow=True)
    assert (message["status"], message["cause"]) == ("failed", "the engine is gone")


def test_an_app_is_restarted_and_one_that_is_not_here_is_not(site: CommandSite) -> None:
    site.ask("restart", app="web")
    assert site.web.restarted == ["web"]
    site.ask("restart", "c2", app="other")
    site.ask("logs", "c3", app="other")
    assert [message["status"] for message in site.messages] == ["done", "failed", "failed"]
    assert all("'other'" in message["cause"] for message in site.messages[1:])


def test_a_diagnosis_is_one_archive_without_secrets(site: CommandSite) -> None:
    site.web.output = {"web-0": [f"the password is {SECRET}\n".encode()] * 3}
    message = site.outcome("diagnose")
    assert message["status"] == "done"
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(message["output"]))) as archive:
        files = {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]
    names = {name.partition("/")[2] for name in files}
    assert names == {"machine.json", "agent.json", "logs/agent.log", "logs/web-web-0.log"}
    assert not any(SECRET.encode() in content for content in files.values())
    assert files["edgesync-diagnose/logs/web-web-0.log"].count(b"***") == 3
    assert json.loads(files["edgesync-diagnose/machine.json"])["disk"]["size"] > 0


def test_a_diagnosis_is_bounded(site: CommandSite) -> None:
    site.web.output = {f"web-{n}": [os.urandom(64 * 1024)] for n in range(3)}
    packed = base64.b64decode(site.outcome("diagnose")["output"])
    assert len(packed) <= SIZE_LIMIT
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert "edgesync-diagnose/agent.json" in archive.getnames()


def test_another_agent_is_fetched_and_left_to_who_can_start_it(site: CommandSite) -> None:
    site.ask("update")
    with pytest.raises(UpdateOffered) as caught:
        site.answered()
    assert (caught.value.command, caught.value.offer) == ("c1", OFFER)
    assert not site.commands.running
    site.offered = (OFFER, "it runs already\n")
    assert site.outcome("update", "c2")["output"] == "it runs already\n"
    site.offered = AgentError("it is not signed")
    message = site.outcome("update", "c3")
    assert (message["status"], message["cause"]) == ("failed", "it is not signed")


def test_what_it_does_not_know_it_refuses(site: CommandSite) -> None:
    site.ask("reboot")
    assert site.messages[0]["status"] == "refused"
    assert "no such command" in site.messages[0]["cause"]


def test_the_policy_of_the_machine_is_the_cause_of_a_refusal(site: CommandSite) -> None:
    site.policy = Policy(commands=("report",))
    site.ask("logs")
    assert site.messages[0]["status"] == "refused"
    assert "policy of this machine" in site.messages[0]["cause"]
    site.ask("report", "c2")
    assert site.messages[1]["status"] == "done"


def test_the_machines_administrator_can_disable_commands(site: CommandSite, tmp_path: Path) -> None:
    (tmp_path / SWITCH).touch()
    site.ask("report")
    assert site.messages[0]["status"] == "refused"
    assert "switched off" in site.messages[0]["cause"]
    assert site.reports == 0
    (tmp_path / SWITCH).unlink()
    site.ask("report", "c2")
    assert site.messages[1]["status"] == "done"


def test_a_command_that_comes_too_late_by_the_clock_of_the_server_is_dropped(
    site: CommandSite,
) -> None:
    deadline = "2026-11-23T12:00:30Z"
    site.clock.hear("2026-11-23T12:00:29Z")
    site.ask("report", deadline=deadline)
    site.clock.hear(deadline)
    assert "too late" in site.ask("report", "c2", deadline=deadline)
    assert [content["id"] for content in site.messages] == ["c1"]


@pytest.mark.parametrize(
    "message",
    [
        None,
        {"kind": "error", "content": "no"},
        {"kind": "command"},
        {"kind": "command", "content": {"id": "c"}},
        {"kind": "command", "content": {"id": "c", "command": "logs", "lines": "x"}},
        {"kind": "command", "content": {"id": "c", "command": "logs", "deadline": "soon"}},
    ],
)
def test_what_cannot_be_read_is_noted_and_not_answered(site: CommandSite, message: Any) -> None:
    assert site.hear(message)
    assert site.messages == []

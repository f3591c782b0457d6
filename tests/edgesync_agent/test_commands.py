"""What operators may ask the agent for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgesync_agent.clock import Clock
from edgesync_agent.commands import SWITCH, Commands

LINES = [f"line {number}" for number in range(5)]


class Site:
    """An agent, and all that it says."""

    def __init__(self, home: Path, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.reports = 0
        self.said: list[dict[str, Any]] = []
        self.clock = Clock(clock)
        self.commands = Commands(home, LINES, self._report, self.clock)

    def _report(self) -> None:
        self.reports += 1

    def _send(self, channel: str, kind: str, meta: dict[str, Any], content: Any) -> None:
        assert (channel, kind, meta) == ("command-response", "command", {})
        self.said.append(content)

    def ask(self, command: str, own_id: str = "c1", **more: Any) -> str:
        content = {"id": own_id, "command": command, "seconds": 30, **more}
        return self.hear({"kind": "command", "meta": {}, "content": content})

    def hear(self, message: Any) -> str:
        return self.commands.take(json.dumps(message).encode(), self._send)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_it_reports_and_sends_the_end_of_its_log_once_for_each_command(site: Site) -> None:
    assert site.ask("report") == "asked for report: done"
    site.ask("report")
    site.ask("logs", "c2", lines=2)
    site.ask("logs", "c3")
    assert site.reports == 1
    assert site.said == [
        {"id": "c1", "status": "done", "output": ""},
        {"id": "c2", "status": "done", "output": "line 3\nline 4\n"},
        {"id": "c3", "status": "done", "output": "".join(f"{line}\n" for line in LINES)},
    ]


@pytest.mark.parametrize(
    ("command", "more", "cause"),
    [
        ("restart", {"app": "web"}, "runs no containers"),
        ("logs", {"app": "web"}, "runs no containers"),
        ("reboot", {}, "no such command"),
    ],
)
def test_it_refuses_what_it_cannot_do(
    site: Site, command: str, more: dict[str, str], cause: str
) -> None:
    site.ask(command, **more)
    ((own_id, status, why),) = [tuple(content.values()) for content in site.said]
    assert (own_id, status) == ("c1", "refused")
    assert cause in why


def test_whoever_runs_the_machine_can_switch_commands_off(site: Site, tmp_path: Path) -> None:
    (tmp_path / SWITCH).touch()
    site.ask("report")
    assert site.said[0]["status"] == "refused"
    assert "switched off" in site.said[0]["cause"]
    assert site.reports == 0
    (tmp_path / SWITCH).unlink()
    site.ask("report", "c2")
    assert site.said[1]["status"] == "done"


def test_a_command_that_comes_too_late_by_the_clock_of_the_server_is_dropped(site: Site) -> None:
    deadline = "2026-11-23T12:00:30Z"
    site.clock.hear("2026-11-23T12:00:29Z")
    site.ask("report", deadline=deadline)
    site.clock.hear(deadline)
    assert "too late" in site.ask("report", "c2", deadline=deadline)
    assert [content["id"] for content in site.said] == ["c1"]


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
def test_what_cannot_be_read_is_noted_and_not_answered(site: Site, message: Any) -> None:
    assert site.hear(message)
    assert site.said == []

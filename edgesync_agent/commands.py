"""What operators may ask this machine's agent for, unless whoever runs the machine says no."""

from __future__ import annotations

import calendar
import collections
import json
import time
from pathlib import Path
from typing import Any, Callable, Iterable

from edgesync_agent.clock import Clock

SWITCH = "no-commands"  # a file of this name beside the identity: every command is refused
IDS_KEPT = 64  # commands that are known again

Send = Callable[[str, str, "dict[str, Any]", "dict[str, Any]"], None]
"""Publishes on a channel: kind, meta, content."""


class Commands:
    """Answers commands; *lines* are the agent's own log, *report* has it report at once."""

    def __init__(
        self, home: Path, lines: Iterable[str], report: Callable[[], None], clock: Clock
    ) -> None:
        self.home = home
        self.lines = lines
        self.report = report
        self.clock = clock
        self.taken: collections.deque[str] = collections.deque(maxlen=IDS_KEPT)

    def take(self, payload: bytes, send: Send) -> str:
        """Do what is asked, once, and answer; a line for the log."""
        try:
            message = json.loads(payload)
            content = message["content"]
            if message["kind"] != "command":
                return f"the server answers with an error: {content}"
            own_id, command = str(content["id"]), str(content["command"])
            app, lines = str(content.get("app", "")), int(content.get("lines", 100))
            is_late = self._is_late(content.get("deadline"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return f"cannot use a command: {error!r}"
        if own_id in self.taken:
            return "a command came twice"
        self.taken.append(own_id)
        if is_late:
            return f"a command came too late: {command}"
        status, text = self._carry_out(command, app, max(lines, 1))
        said = {"id": own_id, "status": status}
        said["output" if status == "done" else "cause"] = text
        send("command-response", "command", {}, said)
        return f"asked for {command}: {status}"

    def _carry_out(self, command: str, app: str, lines: int) -> tuple[str, str]:
        if (self.home / SWITCH).exists():
            return "refused", f"commands are switched off on this machine ({SWITCH})"
        if command == "restart" or app:
            return "refused", "this agent runs no containers: it has nothing to restart or to read"
        if command == "logs":
            return "done", "".join(f"{line}\n" for line in list(self.lines)[-lines:])
        if command == "report":
            self.report()
            return "done", ""
        return "refused", "this agent knows no such command"

    def _is_late(self, deadline: Any) -> bool:
        """Whether nobody waits any more, by the server's clock as far as it is known."""
        if deadline is None:
            return False
        return self.clock.now() >= calendar.timegm(time.strptime(deadline, "%Y-%m-%dT%H:%M:%SZ"))

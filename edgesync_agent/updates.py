"""Replaces the agent by one that the server offers; the old one comes back if that does not work.

The new program is tried before anything changes: it has to connect to the server by itself, while
the old one waits. Then one rename puts it in the place of the old one, which stays beside it until
the new one has reported. `update.json` records whose turn it is, so that a power cut, or a
new agent that ends, hangs or cannot connect, leads back to the old one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Callable

from edgesync_agent import VERSION
from edgesync_agent.errors import AgentError
from edgesync_agent.files import replace_file
from edgesync_agent.offers import Offer

STATE = "update.json"
TRIAL_SECONDS = 60.0  # that a new program has to connect, before it is put in place
CONFIRM_SECONDS = 180.0  # that it has to report, once it is in place
STARTS = 3  # that it has for that


def own_program() -> Path | None:
    """The file that runs here; None for an agent that is not one file."""
    path = Path(sys.argv[0]).resolve()
    return path if path.is_file() and zipfile.is_zipfile(path) else None


class Updates:
    """Owns the program's file and what is known of its replacement."""

    def __init__(self, home: Path, program: Path | None, note: Callable[[str], None]) -> None:
        self.home = home
        self.program = program
        self.note = note
        self.digest = hashlib.sha256(program.read_bytes()).hexdigest() if program else ""
        # What to answer a command with: id, status, and output or cause.
        self.answer: tuple[str, str, str] | None = None
        self._late_at: float | None = None  # when an agent that was not confirmed goes back

    @property
    def old(self) -> Path:
        """The program before this one."""
        return self.home / "agent.old.pyz"

    def begin(self, now: float) -> None:
        """Find out whether this start is one of a new agent, or of an old one that came back.

        Does not return where the new one had its chances: the old one is started.
        """
        state = self._state()
        if not state:
            return
        if state.get("digest") != self.digest:
            cause = state.get("cause") or "the machine went down before the new agent was in place"
            self.note(f"the agent was not replaced: {cause}")
            self._end((str(state.get("id", "")), "failed", cause))
        elif int(state["starts"]) >= STARTS:
            self.go_back(f"it did not report in {STARTS} starts")
        else:
            self._write({**state, "starts": int(state["starts"]) + 1})
            self._late_at = now + CONFIRM_SECONDS

    def is_late(self, now: float) -> bool:
        """Whether this is a new agent that has not reported in time."""
        return self._late_at is not None and now >= self._late_at

    @property
    def is_unconfirmed(self) -> bool:
        """Whether this is a new agent that has not reported yet."""
        return self._late_at is not None

    def confirm(self) -> None:
        """This agent has reported: it stays."""
        if self._late_at is not None:
            self._late_at = None
            self._end((str(self._state().get("id", "")), "done", f"{self.version} runs\n"))
            self.note(f"the agent was replaced: {self.version} runs")

    @property
    def version(self) -> str:
        """The agent's version, with the beginning of its digest."""
        return f"{VERSION} ({self.digest[:12]})" if self.digest else VERSION

    def check(self, offer: Offer) -> str:
        """The message where *offer* needs nothing done; empty where it is to be tried.

        AgentError if it cannot be put in place here.
        """
        if self.program is None:
            raise AgentError("this agent does not run from a file of its own")
        if offer.digest == self.digest:
            return f"{self.version} runs already\n"
        accepted = self.home / "update-time"
        if accepted.exists() and offer.time < accepted.read_text():
            raise AgentError("the server's offer is older than one that was taken before")
        return ""

    def take(self, offer: Offer, command: str) -> None:
        """Try *offer* and start it in the place of this program; answers *command* later.

        Returns only where it did not work. Nothing else may be connected as this node meanwhile.
        """
        assert self.program is not None  # noqa: S101  # `check` has looked
        new = self.program.with_name(f".new-{self.program.name}")
        try:
            replace_file(new, offer.program)
            self._try(new)
            replace_file(self.home / "update-time", offer.time.encode())
            replace_file(self.old, self.program.read_bytes())
            self._write({"id": command, "digest": offer.digest, "starts": 0})
            os.replace(new, self.program)
            self._start()
        except (OSError, AgentError) as error:
            self.note(f"the agent is not replaced: {error}")
            self._end((command, "failed", str(error)))
        finally:
            with contextlib.suppress(FileNotFoundError):
                new.unlink()

    def go_back(self, cause: str) -> None:
        """Start the program before this one; does nothing where there is none."""
        state = self._state()
        if self.program is None or not self.old.exists():
            return
        self.note(f"the agent before this one comes back: {cause}")
        self._write({"id": state.get("id", ""), "cause": cause})
        os.replace(self.old, self.program)
        self._start()

    def _try(self, new: Path) -> None:
        # Before 3.11.4 Python runs a file that begins with a zero byte as an empty one.
        if not zipfile.is_zipfile(new):
            raise AgentError("the new agent is not a program")
        command = [sys.executable, str(new), "try", "--home", str(self.home)]
        try:
            done = subprocess.run(  # the authority of the server has signed it
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=TRIAL_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise AgentError(f"the new agent did not connect in {TRIAL_SECONDS:.0f} s") from error
        if done.returncode:
            last = done.stdout.decode(errors="replace").strip().rpartition("\n")[2][:150]
            raise AgentError(f"the new agent did not connect: {last}")

    def _start(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        command = [sys.executable, str(self.program), *sys.argv[1:]]
        os.execv(sys.executable, command)  # noqa: S606  # the process stays, and its number

    def _end(self, answer: tuple[str, str, str]) -> None:
        if answer[0]:
            self.answer = answer
        for path in (self.home / STATE, self.old):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def _write(self, state: dict[str, Any]) -> None:
        replace_file(self.home / STATE, json.dumps(state).encode())

    def _state(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.home / STATE).read_text())
        except (OSError, ValueError):
            return {}
        return found

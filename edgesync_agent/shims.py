"""Programs that outlive the agent: each is started by a shell of a session of its own, the shim.

The shim waits for the program and writes its exit code into a file. It bears the directory of its
instance in its environment, as a container bears labels, so an agent that was killed finds again
what runs, and ends nothing else: a process counts only with that variable, and is known by its
number and the time of its start.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Sequence

from edgesync_agent.kernel import ProcessStatus, process_status, processes, variable_of

MARK = "EDGESYNC_INSTANCE"  # the variable that names the directory of an instance
SHELL = "/bin/sh"
# The trap keeps the shell until the program has ended; programs do not inherit it.
SCRIPT = """
trap : HUP INT QUIT TERM USR1 USR2
exit=$1 memory=$2 group=$3 directory=$4
shift 4
fail() { echo 125 > "$exit"; exit 125; }
cd "$directory" || fail
[ -z "$group" ] || echo $$ > "$group" || fail
[ "$memory" = 0 ] || ulimit -v "$memory" || fail
"$@"
echo $? > "$exit"
"""
POLL = 0.02  # seconds until the first look at processes that are to end; then longer
LONGEST_POLL = 0.25
KILL_WAIT = 5.0  # seconds for the kernel to end what was killed


@dataclass(frozen=True)
class Launch:
    """The command to start; the first of *argv* is a path, or a shell's own word would win.

    *memory* is a limit of the address space in bytes (0: none), *group* a file of a cgroup to join.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    directory: str
    memory: int = 0
    group: str = ""


@dataclass(eq=False)
class _Shim:
    number: int
    started: int

    def is_alive(self) -> bool:
        """Whether it runs; one that has ended is waited for, if it is a child of this process."""
        status = process_status(self.number)
        if status is None or status.started != self.started:
            return False
        if status.state == "Z":
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.number, os.WNOHANG)
        return status.state != "Z"


class Shims:
    """The shims of the instances below *root*, of this start of the agent and of earlier ones."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[Path, _Shim] = {}
        for folder, status in self._marked():
            if status.number == status.session:
                self._known[folder] = _Shim(status.number, status.started)

    def folders(self) -> Sequence[Path]:
        """Directories of all instances whose shim runs."""
        self._known = {folder: one for folder, one in self._known.items() if one.is_alive()}
        return list(self._known)

    def is_running(self, folder: Path) -> bool:
        """Whether the shim of that instance runs."""
        return folder in self._known and self._known[folder].is_alive()

    def start(self, folder: Path, launch: Launch, log: Path, exit_file: Path) -> None:
        """Start the program of an instance; OSError if not even the shell can be started."""
        limit = str(launch.memory // 1024)
        shim = [SHELL, "-c", SCRIPT, "edgesync", str(exit_file), limit, launch.group]
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        number = os.posix_spawn(
            SHELL,
            [*shim, launch.directory, *launch.argv],
            {**launch.environment, MARK: str(folder)},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        status = process_status(number)
        self._known[folder] = _Shim(number, status.started if status else 0)

    def stop(self, folder: Path, grace: float) -> None:
        """End an instance: SIGTERM, and SIGKILL to what is left of it after *grace* seconds."""
        if not self._signal(folder, signal.SIGTERM):
            return
        self._wait(folder, grace)
        if self._signal(folder, signal.SIGKILL):
            self._wait(folder, KILL_WAIT)

    def members(self, folder: Path) -> Sequence[ProcessStatus]:
        """All processes of an instance: its session, and what bears its mark."""
        shim = self._known.get(folder)
        session = shim.number if shim and shim.is_alive() else -1
        mark = str(folder)
        return [
            one
            for one in processes()
            if one.session == session
            or (one.state != "Z" and variable_of(one.number, MARK) == mark)
        ]

    def sessions(self) -> Mapping[Path, Sequence[ProcessStatus]]:
        """The processes of the session of each shim; quicker than `members` of each."""
        folders = {one.number: folder for folder, one in self._known.items()}
        found: dict[Path, list[ProcessStatus]] = {folder: [] for folder in folders.values()}
        for status in processes():
            if status.session in folders:
                found[folders[status.session]].append(status)
        return found

    def _marked(self) -> list[tuple[Path, ProcessStatus]]:
        """Processes that bear the mark of an instance below the root, with its directory."""
        found = []
        for status in processes():
            mark = variable_of(status.number, MARK)
            if mark.startswith(f"{self.root}/") and status.state != "Z":
                found.append((Path(mark), status))
        return found

    def _signal(self, folder: Path, number: int) -> bool:
        """Send a signal to all processes of an instance; whether there was one."""
        members = self.members(folder)
        for one in members:
            now = process_status(one.number)
            if now is not None and now.started == one.started:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(one.number, number)
        return bool(members)

    def _wait(self, folder: Path, seconds: float) -> None:
        """Wait until nothing of an instance runs, or so long."""
        until, pause = time.monotonic() + seconds, POLL
        while time.monotonic() < until:
            self.is_running(folder)  # waits for the shim, if it has ended
            if not [one for one in self.members(folder) if one.state != "Z"]:
                return
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_POLL)

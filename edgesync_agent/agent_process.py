"""The process of the agent as other commands see it: which node, whether it runs, its end.

It imports little: `stop` and `wait` are run often, and Python compiles what they import each time,
since the agent is a zip.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from pathlib import Path
from typing import Any, Iterator

from edgesync_agent.errors import AgentError
from edgesync_agent.files import write_private

PATIENCE = 30.0  # seconds that `wait` and `stop` have


def read_identity(home: Path) -> dict[str, Any]:
    """Who this node is; AgentError if there is none in *home*."""
    try:
        identity: dict[str, Any] = json.loads((home / "identity" / "identity.json").read_text())
    except (OSError, ValueError) as error:
        raise AgentError(f"there is no node in {home}: run an installation command") from error
    return identity


def stop(home: Path) -> bool:
    """End the agent of *home*; whether one ran."""
    if not is_running(home):
        forget_report(home)
        return False
    with contextlib.suppress(ProcessLookupError, ValueError):
        os.kill(int((home / "agent.pid").read_text()), signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while is_running(home):
        if time.monotonic() > deadline:
            raise AgentError("the agent does not end")
        time.sleep(0.05)
    forget_report(home)
    return True


def wait(home: Path) -> str:
    """Wait until the agent of *home* has reported in; the node's id."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(FileNotFoundError):
            # Empty while an agent of an earlier version writes it.
            if node := (home / "reported").read_text():
                return node
        if time.monotonic() > deadline:
            raise AgentError("the agent has not reported in; see its log")
        time.sleep(0.05)


@contextlib.contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the lock of a running agent; its number is in agent.pid."""
    with open(home / "agent.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AgentError("an agent runs here already") from error
        write_private(home / "agent.pid", str(os.getpid()).encode())
        yield


def forget_report(home: Path) -> None:
    """Let `wait` wait for the next report."""
    with contextlib.suppress(FileNotFoundError):
        (home / "reported").unlink()


def is_running(home: Path) -> bool:
    """Whether an agent runs in *home*."""
    if not home.is_dir():
        return False
    with open(home / "agent.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False

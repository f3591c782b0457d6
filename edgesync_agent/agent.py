"""Stay connected: connect, report, take what comes; when the connection is lost, again."""

from __future__ import annotations

import collections
import contextlib
import fcntl
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any, Iterator

from edgesync_agent.clock import Clock, WrongTime
from edgesync_agent.commands import Commands
from edgesync_agent.errors import Lost, Trouble
from edgesync_agent.files import write_private
from edgesync_agent.https import learn_time
from edgesync_agent.link import Link
from edgesync_agent.machine import Usage, facts
from edgesync_agent.node import Node
from edgesync_agent.renewal import Renewal

INTERVAL = 20.0  # seconds from report to report
ANSWER_WAIT = 5.0  # seconds until a report is sent again that nobody answers; then twice as many
BACK_OFF_LIMIT = 180.0  # seconds between attempts to connect
LINES_KEPT = 200  # of the log, for an operator who asks
PATIENCE = 30.0  # seconds that `wait` and `stop` have


class Log:
    """Lines for whoever reads the log, and the last of them; never anything secret."""

    def __init__(self) -> None:
        self.lines: collections.deque[str] = collections.deque(maxlen=LINES_KEPT)

    def __call__(self, line: str) -> None:
        """Print a line with the time."""
        self.lines.append(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}")
        print(self.lines[-1], flush=True)


def run(home: Path) -> None:
    """Be the node of *home* until SIGTERM; Trouble if there is none, or if it runs already."""
    clock, log = Clock(), Log()
    try:
        identity = json.loads((home / "identity" / "identity.json").read_text())
    except (OSError, ValueError) as error:
        raise Trouble(f"there is no node in {home}: run an installation command") from error
    signal.signal(signal.SIGTERM, lambda _number, _frame: _end(log))
    with _only_one(home):
        _forget_report(home)
        node = Node(home / "apps", os.urandom(8).hex(), log, clock)
        node.forget_files()
        commands = Commands(home, log.lines, node.report_soon, clock)
        log(f"this is node {identity['nodeId']}")
        delay, usage = 1.0, Usage()
        renewal = Renewal(home / "identity", identity, log, clock)
        while True:
            try:
                _stay_connected(home, identity, node, usage, renewal, commands)
            except (Lost, OSError, WrongTime) as error:
                log(f"not connected: {error}")
                if isinstance(error, WrongTime):
                    _learn_time(home, identity, clock, log)
                if not node.answered:
                    renewal.failed(time.monotonic())
            delay = 1.0 if node.answered else delay
            node.answered = False
            time.sleep(delay * (0.5 + random.random() / 2))  # noqa: S311
            delay = min(2 * delay, BACK_OFF_LIMIT)


def stop(home: Path) -> bool:
    """End the agent of *home*; whether one ran."""
    if not _is_running(home):
        _forget_report(home)
        return False
    with contextlib.suppress(ProcessLookupError, ValueError):
        os.kill(int((home / "agent.pid").read_text()), signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while _is_running(home):
        if time.monotonic() > deadline:
            raise Trouble("the agent does not end")
        time.sleep(0.05)
    _forget_report(home)
    return True


def wait(home: Path) -> str:
    """Wait until the agent of *home* has reported in; the node's id."""
    deadline = time.monotonic() + PATIENCE
    while not (home / "reported").exists():
        if time.monotonic() > deadline:
            raise Trouble("the agent has not reported in; its log says why")
        time.sleep(0.05)
    return (home / "reported").read_text()


def _stay_connected(
    home: Path,
    identity: dict[str, Any],
    node: Node,
    usage: Usage,
    renewal: Renewal,
    commands: Commands,
) -> None:
    """One connection, until it is Lost or there is another certificate to connect with."""
    link = Link(home, identity, renewal.certificate(), renewal.clock)

    def send(channel: str, kind: str, meta: dict[str, Any], content: dict[str, Any]) -> None:
        message = {"kind": kind, "meta": meta, "content": content}
        link.publish(channel, json.dumps(message).encode())

    try:
        link.open(identity["nodeId"])
        node.note("connected")
        renewal.connected()
        node.fetching.clear()
        report_due = stats_due = again_due = 0.0
        pause = ANSWER_WAIT
        while not renewal.tend(send, time.monotonic()):
            now = time.monotonic()
            is_missing = node.waiting and now >= again_due
            if now >= report_due or node.changed or is_missing:
                pause = min(2 * pause, INTERVAL) if is_missing else ANSWER_WAIT
                node.report(send, facts(link.address), usage.stats())
                report_due, stats_due = now + INTERVAL, now + INTERVAL / 2
                again_due = now + pause * (1 + random.random() / 2)  # noqa: S311
            elif now >= stats_due:
                send("stats", "stats", {}, {"nodestats": {"usage": usage.stats().get("usage", {})}})
                stats_due = report_due + INTERVAL / 2
            due = min(report_due, stats_due, again_due if node.waiting else report_due)
            for channel, payload in link.receive(max(due - now, 0)):
                if channel == "command":
                    node.note(commands.take(payload, send))
                elif channel != "renew-response":
                    node.take(channel, payload, send, time.monotonic())
                elif renewal.take(payload, time.monotonic()):
                    return
            if node.answered and not (home / "reported").exists():
                write_private(home / "reported", identity["nodeId"].encode())
    finally:
        link.close()


def _learn_time(home: Path, identity: dict[str, Any], clock: Clock, log: Log) -> None:
    """Ask the server what time it is; nothing changes if it cannot be believed."""
    try:
        learn_time(identity["activation"], home / "identity" / "ca.pem", clock)
        log(f"the server's clock is used; this machine's is off by {-clock.skew:.0f} s")
    except (OSError, ValueError, KeyError) as error:
        log(f"cannot find out what time it is: {error}")


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Hold the lock that says an agent runs; its number is in agent.pid."""
    with open(home / "agent.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Trouble("an agent runs here already") from error
        write_private(home / "agent.pid", str(os.getpid()).encode())
        yield


def _forget_report(home: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        (home / "reported").unlink()


def _is_running(home: Path) -> bool:
    if not home.is_dir():
        return False
    with open(home / "agent.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _end(log: Log) -> None:
    log("ending")
    raise SystemExit(0)

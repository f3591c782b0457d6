"""The server and the simulated nodes, each a process of its own."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

BATCH = "demo"
SN = 1
"""Fingerprint of the demo's batch: the serial number, which simulated nodes make up."""

START_DEADLINE_SECONDS = 30


@contextlib.contextmanager
def process(arguments: Sequence[str], environment: dict[str, str], log: Path) -> Iterator[Any]:
    """Run `edgesync` with *arguments* in a process of its own, ended with SIGTERM first."""
    with log.open("ab") as output:
        started = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "edgesync", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(timeout=12)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@contextlib.contextmanager
def running_server(data_dir: Path, api_port: int, broker: str) -> Iterator[dict[str, str]]:
    """A server with its data in *data_dir*, on *broker*; the content of its ready file."""
    ready_file, log = data_dir / "ready.json", data_dir / "server.log"
    ready_file.unlink(missing_ok=True)
    arguments = [
        *("serve", "--data-dir", str(data_dir), "--ready-file", str(ready_file)),
        *("--api-port", str(api_port), "--activation-port", "0"),
        *("--mqtt-port", "0", "--sync-port", "0"),
        *(["--broker", broker] if broker != "embedded" else []),
    ]
    with process(arguments, {}, log) as server:
        deadline = time.monotonic() + START_DEADLINE_SECONDS
        while not ready_file.exists():
            if server.poll() is not None or time.monotonic() > deadline:
                raise click.ClickException(f"the server did not start:\n{tail(log)}")
            time.sleep(0.05)
        yield json.loads(ready_file.read_text(encoding="utf-8"))


@contextlib.contextmanager
def running_fleet(
    ready: dict[str, str], data_dir: Path, count: int, token: str, faults: Sequence[str] = ()
) -> Iterator["SimulatedFleet"]:
    """*count* simulated nodes of the batch, whose *token* it is, with options for *faults*."""
    arguments = ["sim", "--count", str(count), "--batch", BATCH]
    arguments += ["--activation", ready["activation"], "--ca", ready["ca"]]
    arguments += ["--mqtt", ready["mqtt"].partition("://")[2]]
    arguments += ["--state-dir", str(data_dir / "nodes"), "--interval", "5", "--apply-delay", "1"]
    arguments += ["--fingerprint-type", str(SN), *faults]
    with process(arguments, {"EDGESYNC_SIM_TOKEN": token}, data_dir / "fleet.log") as fleet:
        yield SimulatedFleet(fleet, data_dir / "fleet.log")


@dataclass(frozen=True, slots=True)
class SimulatedFleet:
    """The process of the simulated nodes."""

    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """ClickException with the end of its log if the process is gone."""
        if self.process.poll() is not None:
            raise click.ClickException(f"the simulated fleet ended:\n{tail(self.log)}")


def tail(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])

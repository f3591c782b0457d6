"""The clients of `edgesync bench fleet`: the nodes in their process, and the API as an operator."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx

from edgesync.bench.nodes import MAX_SECONDS, part
from edgesync.demo.api import DemoApi

_PROBE_PAUSE_SECONDS = 0.04


class Load:
    """The process that the light nodes are in."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.nodes = int(self.answer()["nodes"])

    def ask(self, command: str, **given: Any) -> dict[str, Any]:
        """The result of *command*."""
        self.send(command, **given)
        return self.answer()

    def send(self, command: str, **given: Any) -> None:
        """Begin *command*."""
        self._write(json.dumps({"do": command, **given}))

    def go_on(self) -> None:
        """Cancel the pending deliveries."""
        self._write("")

    def answer(self) -> dict[str, Any]:
        """Wait for the next line."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise click.ClickException("the load generator ended early; see its error above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _write(self, line: str) -> None:
        if self._process.stdin is None:
            raise click.ClickException("the load generator is gone")
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


@contextmanager
def process(module: str, *options: str) -> "Iterator[subprocess.Popen[str]]":
    """A module of ours in a process of its own, which lives on its input; bounded in time."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", f"edgesync.{module}", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(8 * MAX_SECONDS, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


class Probe:
    """Calls the API all the time, as an operator with a browser would, and keeps how long it took.

    Calls that were not answered are not in it: then there was no server.
    """

    def __init__(self, api: DemoApi, ready: dict[str, str], node: str) -> None:
        token = Path(ready["admin_token_file"]).read_text(encoding="ascii").strip()
        self._headers = {"Authorization": f"Bearer {token}"}
        self._urls = [f"{api.url}/v1/nodes?limit=20", f"{api.url}/v1/nodes/{node}"]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.took: list[float] = []

    def __enter__(self) -> "Probe":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def milliseconds(self, share: float) -> float:
        """That much of all calls took no longer."""
        return part(sorted(self.took), share) * 1000

    def _run(self) -> None:
        with httpx.Client(headers=self._headers, timeout=30) as client:
            while not self._stop.wait(_PROBE_PAUSE_SECONDS):
                for url in self._urls:
                    began = time.monotonic()
                    try:
                        client.get(url).raise_for_status()
                    except httpx.HTTPError:
                        continue
                    self.took.append(time.monotonic() - began)

"""The clients of `edgesync bench fleet`: processes of nodes, and the API as an operator."""

import contextlib
import itertools
import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx

from edgesync.bench.nodes import longest_seconds, part
from edgesync.bench.open_files import SPARE_FILES, most_files
from edgesync.bench.site import NO_TLS, memory_bytes
from edgesync.demo.api import DemoApi

NODES_OF_PROCESS = 17_000
"""Light nodes in one process at most."""

_PROBE_PAUSE_SECONDS = 0.04


class Load:
    """The processes that the light nodes are in, as one."""

    def __init__(self, processes: "Sequence[subprocess.Popen[str]]") -> None:
        self._processes = processes
        self.processes = len(processes)
        self.nodes = int(self.answer()["nodes"])

    @property
    def memory_bytes(self) -> int:
        """Resident memory of all of them."""
        return sum(memory_bytes(process.pid) for process in self._processes)

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
        """Wait for the next line of each."""
        return merged([_line_of(process) for process in self._processes])

    def _write(self, line: str) -> None:
        for process in self._processes:
            if process.stdin is None:
                raise click.ClickException("the load generator is gone")
            process.stdin.write(line + "\n")
            process.stdin.flush()


def merged(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Answers of several processes as those of one: `times` in order, `seconds` the longest.

    Anything else is added up.
    """
    ways: dict[str, Callable[[list[Any]], Any]] = {
        "times": lambda lists: sorted(itertools.chain.from_iterable(lists)),
        "seconds": max,
    }
    return {key: ways.get(key, sum)([answer[key] for answer in answers]) for key in answers[0]}


def _line_of(process: "subprocess.Popen[str]") -> dict[str, Any]:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise click.ClickException("the load generator ended early; see its error above")
    answer: dict[str, Any] = json.loads(line)
    return answer


@contextmanager
def light_nodes(nodes: int, *options: str) -> Iterator[Load]:
    """All light nodes, in as many processes as their connections take.

    Beyond the first each connects from an address of its own, since an address has 28,000 ports.
    """
    count = math.ceil(nodes / min(NODES_OF_PROCESS, max(1, most_files() - SPARE_FILES)))
    bounds = [nodes * number // count for number in range(count + 1)]
    with contextlib.ExitStack() as stack:
        processes = []
        for number, (first, end) in enumerate(itertools.pairwise(bounds)):
            own = ["--first", str(first), "--count", str(end - first)]
            own += ["--source", f"127.0.0.{number + 1}"] if number else []
            seconds = 8 * longest_seconds(nodes)
            processes.append(
                stack.enter_context(process("bench.nodes", *options, *own, seconds=seconds))
            )
        yield Load(processes)


@contextmanager
def process(module: str, *options: str, seconds: float) -> "Iterator[subprocess.Popen[str]]":
    """A module of ours in a process of its own, which lives on its input, for so long at most."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", f"edgesync.{module}", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(seconds, process.kill)
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
        with httpx.Client(headers=self._headers, verify=NO_TLS, timeout=30) as client:
            while not self._stop.wait(_PROBE_PAUSE_SECONDS):
                for url in self._urls:
                    began = time.monotonic()
                    try:
                        client.get(url).raise_for_status()
                    except httpx.HTTPError:
                        continue
                    self.took.append(time.monotonic() - began)

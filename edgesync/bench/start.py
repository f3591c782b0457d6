"""How soon a server is ready: from the start of its process, with a database that has its tables.

Each start stands beside two others of the same Python: one that does nothing, and one that imports
Starlette and uvicorn. They take turns, so that other work on the machine slows all of them.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgesync.bench.figures import machine, system_load
from edgesync.bench.site import PATIENCE_SECONDS, cpu_seconds, start_server

GOAL_SECONDS = 0.8
"""Until a server is ready on two idle cores."""

_REFERENCES = {
    "empty": "pass",
    "frameworks": "import starlette.applications, starlette.routing, uvicorn",
}
_TELL_CPU = "; import time; print(time.process_time())"


@click.command()
@click.option("--starts", type=click.IntRange(1, 100), default=7, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(starts: int, *, as_json: bool) -> None:
    """Benchmark the start of a server; baseline: Starlette and uvicorn."""
    with tempfile.TemporaryDirectory(prefix="edgesync-bench-") as name:
        data = Path(name) / "data"
        _server(data)  # makes the keys and the tables
        runs: dict[str, list[tuple[float, float]]] = {"server": [], **{n: [] for n in _REFERENCES}}
        for _ in range(starts):
            runs["server"].append(_server(data))
            for reference, code in _REFERENCES.items():
                runs[reference].append(_python(code))
    found: dict[str, Any] = {"starts": starts, "goal_seconds": GOAL_SECONDS}
    for each, pairs in runs.items():
        seconds, cpu = zip(*pairs, strict=True)
        found[each] = {
            "seconds": statistics.median(seconds),
            "cpu_seconds": statistics.median(cpu),
        }
    found |= {"system_load": system_load(), **machine()}
    click.echo(json.dumps(found, indent=2) if as_json else _lines(found))


def _server(data: Path) -> tuple[float, float]:
    """Seconds until a server of *data* is ready, and of CPU until then."""
    began = time.monotonic()
    # Modules are compiled once, as where the package is installed.
    server = start_server(data, environment={"PYTHONDONTWRITEBYTECODE": ""})
    try:
        _wait(lambda: server.process.poll() is not None or (data / "ready.json").exists())
        seconds = time.monotonic() - began
        if server.process.poll() is not None:
            raise click.ClickException("the server did not start: see its messages in server.log")
        return seconds, cpu_seconds(server.process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.stop()


def _wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise click.ClickException(f"the server is not ready after {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.002)


def _python(code: str) -> tuple[float, float]:
    """Seconds that a Python takes to run *code* and end, and of CPU."""
    began = time.monotonic()
    done = subprocess.run(  # noqa: S603  # ourselves
        [sys.executable, "-c", code + _TELL_CPU], capture_output=True, text=True, check=True
    )
    return time.monotonic() - began, float(done.stdout)


def _lines(found: dict[str, Any]) -> str:
    server, empty, frameworks = (found[each] for each in ("server", "empty", "frameworks"))
    return "\n".join(
        (
            f"start of a server until it is ready, median of {found['starts']}",
            *(
                f"{what:8} {server[key]:5.2f} s   ({goal}an empty Python {empty[key]:.2f} s,"
                f" ratio {server[key] / empty[key]:.1f}; with Starlette and uvicorn"
                f" {frameworks[key]:.2f} s, ratio {server[key] / frameworks[key]:.1f})"
                for what, key, goal in (
                    ("time", "seconds", f"goal {found['goal_seconds']} s; "),
                    ("CPU", "cpu_seconds", ""),
                )
            ),
            f"Python {found['python']}, {found['cores']} cores with a load of"
            f" {found['system_load']:.1f}, {found['system']}",
        )
    )

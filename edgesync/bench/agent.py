"""Measures the node agent: time until apps run and are updated, memory and CPU at rest.

A server, a node that is added by its installation command, and one app for it: host processes, or
containers of an image. Once all instances run the agent is idle, and measured, beside a Python of
the same version that has loaded TLS, HTTP and JSON and sleeps. Then the app gets a new version.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import httpx

from edgesync.bench.figures import machine
from edgesync.bench.site import (
    NO_TLS,
    PATIENCE_SECONDS,
    BenchServer,
    cpu_seconds,
    memory_bytes,
    start_server,
)

MEMORY_GOAL = 30 * 2**20
"""Bytes of resident memory that the agent may take."""

CPU_GOAL = 0.01
"""Cores that the agent may take while nothing happens."""

_PLAIN = "import http.client, json, ssl, threading, time, urllib.request; time.sleep(3600)"
_SLEEP = "trap 'exit 0' TERM; sleep 86400 & wait"
_PROGRAM = f"#!/bin/sh\n{_SLEEP}\n"


@click.command()
@click.option("--instances", type=click.IntRange(0, 200), default=10, show_default=True)
@click.option("--image", metavar="IMAGE", help="Run containers of this image, not host processes.")
@click.option("--seconds", type=click.IntRange(1, 600), default=30, show_default=True)
@click.option(
    "--settle",
    type=click.IntRange(0, 600),
    default=10,
    show_default=True,
    help="Seconds until the measurement begins.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(instances: int, image: str | None, seconds: int, settle: int, *, as_json: bool) -> None:
    """Benchmark the node agent: start and update of an app, and idle beside a sleeping Python."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgesync-bench-")))
        server = start_server(folder / "server")
        stack.callback(server.stop)
        server.wait_until_ready()
        node = stack.enter_context(_node(server, folder, instances, image))
        agent = node.agent
        plain = stack.enter_context(_plain_python())
        time.sleep(settle)
        used, began = cpu_seconds(agent), time.monotonic()
        time.sleep(seconds)
        cores = (cpu_seconds(agent) - used) / (time.monotonic() - began)
        found = {
            "instances": instances,
            "kind": "containers" if image else "host processes",
            "seconds": seconds,
            "memory_bytes": memory_bytes(agent),
            "memory_goal_bytes": MEMORY_GOAL,
            "plain_memory_bytes": memory_bytes(plain),
            "agent_cores": cores,
            "agent_cores_goal": CPU_GOAL,
            "first_running_seconds": node.first_running,
            "all_running_seconds": node.all_running,
            "update_seconds": node.update() if instances else None,
            **machine(),
        }
    click.echo(json.dumps(found, indent=2) if as_json else _lines(found))


def _lines(found: dict[str, Any]) -> str:
    memory, plain = found["memory_bytes"], found["plain_memory_bytes"]
    percent = 100 * found["agent_cores"]
    times = [found[f"{name}_seconds"] for name in ("first_running", "all_running", "update")]
    return "\n".join(
        (
            f"node agent at rest, {found['instances']} {found['kind']}, {found['seconds']} s",
            f"memory  {memory / 2**20:5.1f} MiB  (goal {MEMORY_GOAL / 2**20:.0f} MiB;"
            f" a Python that sleeps with TLS, HTTP and JSON {plain / 2**20:.1f} MiB,"
            f" ratio {memory / plain:.2f})",
            f"CPU     {percent:5.2f} %    (goal {100 * CPU_GOAL:.0f} % of a core)",
            *(
                f"{seconds:7.1f} s    {what}"
                for seconds, what in zip(times, _TIMES, strict=True)
                if seconds is not None
            ),
            f"Python {found['python']}, {found['cores']} cores, {found['system']}",
        )
    )


_TIMES = (
    "from the installation command to the first instance that runs",
    "from the installation command until all of them run",
    "from PUT of a new version until all of its instances run and are healthy",
)


@dataclass
class _BenchNode:
    """A node whose instances all run; times are in seconds, None without instances."""

    api: httpx.Client
    agent: int  # number of the process
    app: dict[str, Any]
    first_running: float | None
    all_running: float | None

    def update(self) -> float:
        """Replace every instance; seconds from the request until the new version runs."""
        self.app["services"][0]["env"] = [{"name": "VERSION", "value": "2"}]
        began = time.monotonic()
        version = _ask(self.api, "PUT", "/v1/apps/bench", self.app)["version"]

        def has_run() -> bool:
            return any(
                (app["version"], app["status"]) == (version, "Running") for app in _apps(self.api)
            )

        _wait(has_run, "the new version does not run")
        return time.monotonic() - began


@contextlib.contextmanager
def _node(
    server: BenchServer, folder: Path, instances: int, image: str | None
) -> Iterator[_BenchNode]:
    home = folder / "agent"
    token = (server.data / "admin.token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    base = server.ready["api"]
    with httpx.Client(base_url=base, headers=headers, verify=NO_TLS, timeout=30) as api:
        _ask(api, "POST", "/v1/nodes", {"name": "bench", "labels": {"role": "bench"}})
        app = _describe(api, instances, image) if instances else {}
        install = _ask(api, "GET", "/v1/nodes/bench/init")["cmd"]
        variables = {**os.environ, "EDGESYNC_HOME": str(home)}
        began = time.monotonic()
        done = subprocess.run(  # noqa: S603
            [shutil.which("sh") or "sh", "-c", f"{install} --background"],
            env=variables,
            cwd=folder,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise click.ClickException(f"the agent was not installed:\n{done.stderr[-2000:]}")
        times: list[float | None] = []
        try:
            for count in (1, instances):
                if instances:
                    _wait(partial(_do_run, api, count), "not all instances run")
                times.append(time.monotonic() - began if instances else None)
            yield _BenchNode(api, int((home / "agent.pid").read_text()), app, *times)
        finally:
            _remove(home)


def _describe(api: httpx.Client, instances: int, image: str | None) -> dict[str, Any]:
    """Create one app of so many instances for the node."""
    service: dict[str, Any] = {"name": "sleeper", "replica": instances}
    app: dict[str, Any] = {"name": "bench", "selector": "role=bench", "services": [service]}
    if image:
        service |= {"image": image, "command": ["sh", "-c", _SLEEP]}
    else:
        data = [
            {"key": key, "value": {"type": "kv", "value": text}}
            for key, text in (("program.yml", "entry: run.sh\n"), ("run.sh", _PROGRAM))
        ]
        _ask(api, "POST", "/v1/configs", {"name": "program", "data": data})
        service["programConfig"] = "program"
        app["mode"] = "native"
    _ask(api, "POST", "/v1/apps", app)
    return app


def _apps(api: httpx.Client) -> list[dict[str, Any]]:
    report = _ask(api, "GET", "/v1/nodes/bench/stats").get("report") or {}
    return report.get("appstats") or []


def _do_run(api: httpx.Client, count: int) -> bool:
    found = [one for app in _apps(api) for one in (app.get("instances") or {}).values()]
    return [one["status"] for one in found].count("Running") >= count


def _wait(condition: Callable[[], bool], failure: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise click.ClickException(failure)
        time.sleep(0.1)


def _remove(home: Path) -> None:
    command = [sys.executable, str(home / "agent.pyz"), "uninstall", "--home", str(home)]
    subprocess.run(command, check=False, capture_output=True)  # noqa: S603


@contextlib.contextmanager
def _plain_python() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-S", "-c", _PLAIN])  # noqa: S603
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _ask(api: httpx.Client, method: str, path: str, body: Any = None) -> Any:
    answer = api.request(method, path, json=body)
    if answer.is_error:
        raise click.ClickException(f"{method} {path}: {answer.text[:500]}")
    return answer.json()

"""The cost of the idle node agent: memory and CPU, with instances that it runs.

A server, a node that is brought in by its installation command, and one app for it: host processes,
or containers of an image. Once all instances run the agent is left alone, and measured. Beside it
stands a Python of the same version that has loaded TLS, HTTP and JSON and sleeps.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import httpx

from edgesync.bench.figures import machine
from edgesync.bench.site import (
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
_PROGRAM = "#!/bin/sh\nexec sleep 86400\n"


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
    """Benchmark the idle node agent; baseline: a sleeping Python."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgesync-bench-")))
        server = start_server(folder / "server")
        stack.callback(server.stop)
        server.wait_until_ready()
        agent = stack.enter_context(_agent(server, folder, instances, image))
        plain = stack.enter_context(_plain_python())
        time.sleep(settle)
        used, began = cpu_seconds(agent), time.monotonic()
        time.sleep(seconds)
        found = {
            "instances": instances,
            "kind": "containers" if image else "host processes",
            "seconds": seconds,
            "memory_bytes": memory_bytes(agent),
            "memory_goal_bytes": MEMORY_GOAL,
            "plain_memory_bytes": memory_bytes(plain),
            "agent_cores": (cpu_seconds(agent) - used) / (time.monotonic() - began),
            "agent_cores_goal": CPU_GOAL,
            **machine(),
        }
    click.echo(json.dumps(found, indent=2) if as_json else _lines(found))


def _lines(found: dict[str, Any]) -> str:
    memory, plain = found["memory_bytes"], found["plain_memory_bytes"]
    percent = 100 * found["agent_cores"]
    return "\n".join(
        (
            f"node agent at rest, {found['instances']} {found['kind']}, {found['seconds']} s",
            f"memory  {memory / 2**20:5.1f} MiB  (goal {MEMORY_GOAL / 2**20:.0f} MiB;"
            f" a Python that sleeps with TLS, HTTP and JSON {plain / 2**20:.1f} MiB,"
            f" ratio {memory / plain:.2f})",
            f"CPU     {percent:5.2f} %    (goal {100 * CPU_GOAL:.0f} % of a core)",
            f"Python {found['python']}, {found['cores']} cores, {found['system']}",
        )
    )


@contextlib.contextmanager
def _agent(server: BenchServer, folder: Path, instances: int, image: str | None) -> Iterator[int]:
    """Number of an agent's process whose instances all run."""
    home = folder / "agent"
    token = (server.data / "admin.token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=server.ready["api"], headers=headers, timeout=30) as api:
        _ask(api, "POST", "/v1/nodes", {"name": "bench", "labels": {"role": "bench"}})
        if instances:
            _describe(api, instances, image)
        install = _ask(api, "GET", "/v1/nodes/bench/init")["cmd"]
        variables = {**os.environ, "EDGESYNC_HOME": str(home)}
        done = subprocess.run(  # noqa: S603
            [shutil.which("sh") or "sh", "-c", f"{install} --background"],
            env=variables,
            cwd=folder,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise click.ClickException(f"the agent was not installed:\n{done.stderr[-2000:]}")
        try:
            _wait_until_running(api, instances, home)
            yield int((home / "agent.pid").read_text())
        finally:
            _remove(home)


def _describe(api: httpx.Client, instances: int, image: str | None) -> None:
    """One app of so many instances for the node."""
    service: dict[str, Any] = {"name": "sleeper", "replica": instances}
    app: dict[str, Any] = {"name": "bench", "selector": "role=bench", "services": [service]}
    if image:
        service |= {"image": image, "command": ["sleep", "86400"]}
    else:
        data = [
            {"key": key, "value": {"type": "kv", "value": text}}
            for key, text in (("program.yml", "entry: run.sh\n"), ("run.sh", _PROGRAM))
        ]
        _ask(api, "POST", "/v1/configs", {"name": "program", "data": data})
        service["programConfig"] = "program"
        app["mode"] = "native"
    _ask(api, "POST", "/v1/apps", app)


def _wait_until_running(api: httpx.Client, instances: int, home: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        report = _ask(api, "GET", "/v1/nodes/bench/stats").get("report") or {}
        apps = report.get("appstats") or []
        found = [one for app in apps for one in (app.get("instances") or {}).values()]
        if sum(one["status"] == "Running" for one in found) == instances:
            return
        if time.monotonic() > deadline:
            log = (home / "agent.log").read_text(errors="replace")
            raise click.ClickException(f"not all instances run:\n{log[-2000:]}")
        time.sleep(0.2)


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

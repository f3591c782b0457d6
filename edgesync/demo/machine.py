"""This machine as a node of the demo: by the install line, with its apps in real containers.

Everything that is made here is removed when the demo ends: containers, their networks and files,
and images that were pulled.
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesync.cli.resources.manifests import Document
from edgesync.demo.api import DemoApi

AGENT_SECONDS = 60
"""That a command of the agent has: it waits for its first report, and for containers to stop."""

BROKER_PORT = 1883
_CANNOT_PULL = ("cannot pull ", "no image is pulled")
"""Begins the node agent's cause for an image that it cannot get."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The node *name*, whose agent lives in *home*."""

    name: str
    home: Path

    def failure(self, api: DemoApi) -> str:
        """Why an app does not run here, such as an image that cannot be pulled; empty for none."""
        stats = api.call("GET", f"/v1/nodes/{self.name}/stats")
        for app in (stats.get("report") or {}).get("appstats") or ():
            cause = str(app.get("cause") or "")
            if app.get("status") == "Failed" or cause.startswith(_CANNOT_PULL):
                return f"{app.get('name')}: {cause}"
        return ""


def engine_of_machine(folder: Path) -> str:
    """The container engine of this machine as the node agent names it; empty where none answers.

    Nor is this machine made a node where the install line cannot run.
    """
    if not all(map(shutil.which, ("sh", "curl", "openssl", "python3"))):
        return ""
    done = _agent([sys.executable, "-m", "edgesync_agent"], "engine", folder / "no-agent")
    return done.stdout.strip() if done.returncode == 0 else ""


def real_apps(resources: Sequence[Document]) -> Iterator[str]:
    """The images and ports of *resources* on this machine, a line for each service."""
    for resource in resources:
        for service in resource.body.get("services", ()):
            ports = ", ".join(
                f"port {port['hostPort']}"
                for port in service.get("ports", ())
                if "hostPort" in port
            )
            network = "the machine's network" if service.get("hostNetwork") else ports
            yield f"{resource.name}: image {service['image']}, {network or 'no port'}"


def fit_to_machine(resources: Sequence[Document]) -> None:
    """Give the broker of *resources* a free port, and its data a place that goes with it."""
    port = _free_port()
    for resource in resources:
        for service in resource.body.get("services", ()):
            for each in service.get("ports", ()):
                if each.get("hostPort") == BROKER_PORT:
                    each["hostPort"] = port
        for volume in resource.body.get("volumes", ()):
            if "hostPath" in volume:
                del volume["hostPath"]
                volume["emptyDir"] = {}
        data: Any = resource.body.get("data")
        for item in data if isinstance(data, list) else ():
            value = item["value"]
            value["value"] = value["value"].replace(f"127.0.0.1:{BROKER_PORT}", f"127.0.0.1:{port}")


def _free_port() -> int:
    """MQTT's default port of this machine if it is free, else any."""
    for port in (BROKER_PORT, 0):
        with contextlib.suppress(OSError), socket.create_server(("", port)) as taken:
            found: int = taken.getsockname()[1]
            return found
    return BROKER_PORT


@contextlib.contextmanager
def installed_machine(api: DemoApi, folder: Path) -> Iterator[Machine]:
    """Make this machine a node by the install line; remove all of it at the end.

    OSError with the installer's words where it fails.
    """
    name = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower()).strip("-")[:40] or "machine"
    names = {node["name"] for node in api.call("GET", "/v1/nodes")["items"]}
    if name not in names:
        api.call("POST", "/v1/nodes", {"name": name, "labels": {"role": "gateway"}})
    home = folder / "agent"
    command = api.call("GET", f"/v1/nodes/{name}/init")["cmd"]
    try:
        done = subprocess.run(  # noqa: S603  # the line that the server gave
            ["sh", "-c", f"{command} --background"],  # noqa: S607
            env={**os.environ, "EDGESYNC_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=AGENT_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise OSError(done.stderr.strip() or done.stdout.strip())
        yield Machine(name, home)
    finally:
        if (program := home / "agent.pyz").exists():
            _agent([sys.executable, str(program)], "stop", home)
            _agent([sys.executable, str(program)], "uninstall", home)


def _agent(program: Sequence[str], command: str, home: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603
        [*program, command, "--home", str(home)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=AGENT_SECONDS,
        check=False,
    )

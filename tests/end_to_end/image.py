"""The image of the Dockerfile, built by `scripts/image` and run as docker-compose.yml runs it.

The base image has Debian's Python and the pinned wheels, which the build takes without a network.
So what the official image of Python has of its own is not covered: its newer Python and its pip.
"""

import json
import os
import re
import ssl
import subprocess
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.deadlines import UNIT
from tests.edgesync_agent.engines import RunningEngine
from tests.repo.tracked import ROOT, text_of


class Docker:
    """The command `docker` for one engine."""

    def __init__(self, running: RunningEngine) -> None:
        self.engine = running.engine
        self.environment = {
            **os.environ,
            "DOCKER_HOST": f"unix://{running.path}",
            "DOCKER_CONFIG": str(running.folder / "client"),
            "DOCKER_BUILDKIT": "0",  # the builder that needs no plug-in
        }

    def build(self, folder: Path, base: str, version: str) -> str:
        """Have `scripts/image` build it on *base* and save it in *folder*; its output."""
        done = subprocess.run(
            [str(ROOT / "scripts/image"), str(folder), version, "--network", "none"],
            env={**self.environment, "EDGESYNC_IMAGE_BASE": base},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300 * UNIT,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout

    def __call__(self, *arguments: str, is_refused: bool = False) -> str:
        """What it prints; *is_refused*: it has to fail."""
        done = subprocess.run(
            ["docker", *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=200 * UNIT,
        )
        output = done.stdout + done.stderr
        assert (done.returncode != 0) is is_refused, output[-3000:]
        return output if is_refused else done.stdout.strip()

    def inspect(self, name: str) -> Any:
        return json.loads(self("inspect", name))[0]


def as_in_compose() -> tuple[str, ...]:
    """Options of `docker run` for the one service of docker-compose.yml."""
    text = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", text_of(ROOT / "docker-compose.yml"))
    service = yaml.safe_load(text)["services"]["edgesync"]
    assert service["read_only"] is True
    options = ["--read-only", "--stop-timeout", service["stop_grace_period"].removesuffix("s")]
    for option, key in (("cap-drop", "cap_drop"), ("security-opt", "security_opt")):
        options += [f"--{option}={value}" for value in service[key]]
    options += [f"--tmpfs={value}" for value in service["tmpfs"]]
    options += [f"--volume={value}" for value in service["volumes"]]
    options += [f"--env={key}={value}" for key, value in service["environment"].items()]
    return tuple(options)


def health(docker: Docker, name: str) -> str:
    # Asked often, which is a tenth of the CPU without the command.
    status: str = docker.engine.call("GET", f"/containers/{name}/json")["State"]["Health"]["Status"]
    return status


def ready_answer(docker: Docker, name: str) -> httpx.Response:
    """`/readyz`, asked from outside by its authority."""
    port = docker("port", name, "9004/tcp").rpartition(":")[2]
    trust = ssl.create_default_context(cadata=docker("exec", name, "cat", "/data/ca/root.pem"))
    return httpx.get(f"https://127.0.0.1:{port}/readyz", verify=trust, timeout=10 * UNIT)

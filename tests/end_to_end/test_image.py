"""The Dockerfile: built, and run as docker-compose.yml runs it.

The base image is made of Debian's packages from where apt of this machine has them, and of the
pinned wheels, which the build takes without a network. So what the official image of Python has
of its own is not covered: its newer Python and its pip.
"""

import io
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.deadlines import UNIT
from tests.edgesync_agent.engines import (
    NEEDS_DOCKER,
    RunningEngine,
    running_engine,
)
from tests.edgesync_agent.registry import running_registry
from tests.end_to_end.conftest import wait_for
from tests.repo.tracked import ROOT, text_of

MISSING = [name for name in ("docker", "mmdebstrap", "apt-get") if shutil.which(name) is None]
IS_SKIPPED = bool(MISSING) and not os.environ.get("CI")
pytestmark = [
    *NEEDS_DOCKER,
    pytest.mark.slow,
    pytest.mark.skipif(IS_SKIPPED, reason=f"needs {', '.join(MISSING)}"),
    pytest.mark.timeout(300 * UNIT),
]

BASE, IMAGE = "edgesync-test/base:1", "edgesync-test/edgesync:1"
# Essential packages are not among the dependencies of others.
PACKAGES = (
    *("base-files", "base-passwd", "coreutils", "dash", "login", "passwd"),
    *("python3", "python-is-python3"),
)
MASTER = "./usr/share/base-passwd/{}.master"
PIP = '#!/bin/sh\nexec python "$(echo /wheels/pip-*.whl)/pip" "$@"\n'
PIP_SETTINGS = "[global]\nno-index = 1\nfind-links = /wheels\nbreak-system-packages = 1\n"


class Docker:
    """The command `docker` for one engine."""

    def __init__(self, running: RunningEngine) -> None:
        self.environment = {
            **os.environ,
            "DOCKER_HOST": f"unix://{running.path}",
            "DOCKER_CONFIG": str(running.folder / "client"),
            "DOCKER_BUILDKIT": "0",  # the builder that needs no plug-in
        }

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


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    folder = tmp_path_factory.mktemp("image")
    assert not MISSING
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)  # half a gigabyte
        registry = stack.enter_context(running_registry(folder / "registry"))
        yield Docker(stack.enter_context(running_engine("docker", folder / "docker", registry)))


@pytest.fixture(scope="module")
def image(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of the Dockerfile, built on `BASE`."""
    folder = tmp_path_factory.mktemp("base")
    make_base(folder / "base.tar")
    docker("import", str(folder / "base.tar"), BASE)
    shutil.rmtree(folder)
    docker("build", "--network", "none", "--build-arg", f"BASE={BASE}", "--tag", IMAGE, ".")
    return IMAGE


def make_base(archive: Path) -> None:
    """Make the file system of `BASE`: Debian's Python, with a pip that has the wheels alone."""
    wheels = archive.with_name("wheels")
    with ThreadPoolExecutor() as pool:
        downloading = pool.submit(download_wheels, wheels)
        make_debian(archive)
        downloading.result()
    with tarfile.open(archive, "r:") as files:
        # What the package does when it is configured.
        masters = {name: files.extractfile(MASTER.format(name)) for name in ("passwd", "group")}
        users = {name: file.read() for name, file in masters.items() if file is not None}
    with tarfile.open(archive, "a:") as files:
        files.add(wheels, "wheels")
        for name, content in users.items():
            add_file(files, f"etc/{name}", content)
        add_file(files, "etc/pip.conf", PIP_SETTINGS.encode())
        add_file(files, "usr/local/bin/pip", PIP.encode(), mode=0o755)


def add_file(files: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    files.addfile(entry, io.BytesIO(content))


def make_debian(archive: Path) -> None:
    """A file system of `PACKAGES`, unpacked; from the mirror of Debian that apt knows here."""
    line = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    chosen = ["Created-By: Packages", "Origin: Debian"]
    sources = output("apt-get", "indextargets", "--format", line, *chosen)
    assert sources.strip(), "apt knows nothing of Debian: apt-get update"
    settings = archive.with_name("apt.conf")
    wanted = ("http", "https", "Check-Valid-Until", "Check-Date")
    settings.write_text(output("apt-config", "dump", *(f"Acquire::{one}" for one in wanted)))
    command = ["mmdebstrap", "--quiet", "--variant=extract", f"--include={','.join(PACKAGES)}"]
    output(*command, f"--aptopt={settings}", "", str(archive), "-", given=sources)


def download_wheels(folder: Path) -> None:
    """What requirements/image.txt pins, for the Python of the machine's Debian."""
    version = re.search(r"3\.\d+", output("apt-cache", "show", "--no-all-versions", "python3"))
    assert version
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes"]
    command += ["--only-binary", ":all:", "--python-version", version[0], "-d", str(folder)]
    output(*command, "-r", str(ROOT / "requirements/image.txt"))


def output(*command: str, given: str = "") -> str:
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, check=False, timeout=200 * UNIT
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


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
    status: str = docker.inspect(name)["State"]["Health"]["Status"]
    return status


def ready_answer(docker: Docker, name: str) -> httpx.Response:
    """`/readyz`, asked from outside by its authority."""
    port = docker("port", name, "9004/tcp").rpartition(":")[2]
    trust = ssl.create_default_context(cadata=docker("exec", name, "cat", "/data/ca/root.pem"))
    return httpx.get(f"https://127.0.0.1:{port}/readyz", verify=trust, timeout=10 * UNIT)


def test_the_image_is_built_runs_read_only_and_turns_healthy(docker: Docker, image: str) -> None:
    docker("network", "create", "edgesync-image")
    options = [*as_in_compose(), "--network=edgesync-image", "--publish=127.0.0.1::9004"]
    # The command is the image's; only how often it runs is changed.
    docker("run", "--detach", "--name=server", "--health-interval=1s", *options, image)
    wait_for(lambda: health(docker, "server") != "starting", "the health check", units=60)
    assert health(docker, "server") == "healthy", docker("logs", "server")
    assert ready_answer(docker, "server").status_code == 200
    assert docker("exec", "server", "id", "-u") == "10001"
    for path in ("/src/file", "/etc/file", "/usr/local/file"):
        refusal = docker("exec", "--user=0", "server", "touch", path, is_refused=True)
        assert "Read-only file system" in refusal
    token = docker("exec", "server", "cat", "/data/admin.token")

    begun = time.monotonic()
    docker("stop", "server")
    assert time.monotonic() - begun < 15
    state = docker.inspect("server")["State"]
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 0, False)

    # Without a server the same check fails; with what the volume holds it comes back.
    check = docker.inspect(image)["Config"]["Healthcheck"]["Test"]
    assert check[0] == "CMD"
    alone = ["run", "--rm", *as_in_compose(), "--network=none", f"--entrypoint={check[1]}", image]
    assert "Connection refused" in docker(*alone, *check[2:], is_refused=True)
    docker("start", "server")
    wait_for(lambda: health(docker, "server") == "healthy", "the health check", units=60)
    assert docker("exec", "server", "cat", "/data/admin.token") == token

"""Engines and a registry of the tests' own: on sockets, data roots and ports that nothing else has.

They need root, and the packages that `.ci/run` installs. Where one is missing the tests are
skipped, aloud; in CI they fail.
"""

import base64
import contextlib
import fcntl
import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from edgesync_agent.engine import Engine, json_lines
from edgesync_agent.runtime import RuntimeFailure
from tests.ports import free_port

IMAGE = "docker.io/edgesync-test/box:1"
"""Image with busybox and nothing else."""

PASSWORD = "sesame"
_HTPASSWD = "user:$2b$04$R3GXrbfB5RkMc36VGLM12ODLXH/NHAaFl7VJV9C0nBP4dlgJl02Cu\n"
_NEEDED = {
    "docker": ("dockerd", "containerd", "iptables", "busybox", "docker-registry"),
    "podman": ("podman", "runc", "iptables", "busybox", "docker-registry"),
    "rootless": ("podman", "runc", "newuidmap", "slirp4netns", "iptables", "busybox", "useradd"),
}
_START_SECONDS = 30.0
_START_LOCK = Path(tempfile.gettempdir()) / "edgesync-test-engines.lock"
_APPLETS = ("sh", "sleep", "httpd", "cat", "echo", "id", "nc", "wget", "ls", "kill", "touch")
_PODMAN = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4000:4000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
network_config_dir = "{networks}"
"""


def missing(kind: str) -> list[str]:
    """Programs that an engine needs and that are not here."""
    found = [name for name in _NEEDED[kind] if shutil.which(name) is None]
    return found if os.geteuid() == 0 else [*found, "root"]


def marks(kind: str) -> list[pytest.MarkDecorator]:
    """Marks of a test that needs that engine; in CI it fails where the engine is missing."""
    absent = missing(kind)
    is_skipped = bool(absent) and not os.environ.get("CI")
    reason = f"needs {', '.join(absent)} for {kind}"
    return [pytest.mark.engine, pytest.mark.skipif(is_skipped, reason=reason)]


ENGINES = [pytest.param(kind, marks=marks(kind)) for kind in ("docker", "podman")]
NEEDS_DOCKER, NEEDS_PODMAN = marks("docker"), marks("podman")


@dataclass
class RunningEngine:
    """An engine that runs; `stop` and `start` it as often as you like."""

    kind: str
    folder: Path
    run: Path  # Podman wants a path of at most 50 characters
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def path(self) -> Path:
        return self.folder / f"{self.kind}.sock"

    @property
    def engine(self) -> Engine:
        return Engine(str(self.path))

    def start(self) -> None:
        """Start it and wait until it answers.

        One at a time on this machine: engines that start together make the same chains of iptables.
        """
        with open(_START_LOCK, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._start()

    def _start(self) -> None:
        command, environment = self._command()
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, cwd=self.folder
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(RuntimeFailure):
                self.engine.version()
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "log").read_text()[-3000:])
            time.sleep(0.05)  # between looks, until the deadline

    def stop(self) -> None:
        """End it; containers of Podman go on, those of Docker end."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def _command(self) -> tuple[list[str], dict[str, str]]:
        root, address = str(self.folder / "root"), f"unix://{self.path}"
        # A closed port stands in for every registry outside of this machine.
        environment = {
            **os.environ,
            "SSL_CERT_DIR": str(self.folder / "trust"),
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
        }
        if self.kind == "docker":
            return [
                *("dockerd", "--data-root", root, "--exec-root", str(self.run)),
                *("--pidfile", str(self.folder / "pid"), "-H", address, "--bridge", "none"),
                *("--shutdown-timeout", "1", "--log-level", "warn"),
            ], environment
        settings = self.folder / "containers.conf"
        settings.write_text(_PODMAN.format(networks=self.folder / "networks"))
        return [
            *("podman", "--root", root, "--runroot", str(self.run)),
            *("--log-level", "warn", "system", "service", "-t", "0", address),
        ], {**environment, "CONTAINERS_CONF": str(settings)}


def box(programs: Mapping[str, str] | None = None) -> bytes:
    """A file system with busybox and scripts by name, as `docker import` takes it."""
    program = Path(shutil.which("busybox") or "").read_bytes()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for folder in ("bin", "tmp", "www", "etc"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            archive.addfile(entry)
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(program), 0o755
        archive.addfile(entry, io.BytesIO(program))
        for name in _APPLETS:
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
        for name, script in (programs or {}).items():
            text = f"#!/bin/sh\n{script}\n".encode()
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.size, entry.mode = len(text), 0o755
            archive.addfile(entry, io.BytesIO(text))
    return content.getvalue()


def import_image(
    running: RunningEngine, name: str, *, program: str = "", script: str = "", runs: bool = False
) -> None:
    """Make an image of `box` in an engine, with *program* as *script*, which it *runs*."""
    place = running.folder / "box.tar"
    place.write_bytes(box({program: script} if program else None))
    url = "http://localhost/v1.41/images/create?fromSrc=-"
    if runs:
        url += "&changes=" + quote(f'CMD ["/bin/{program}"]')
    command = ["curl", "-sS", "--fail", "--unix-socket", str(running.path), "-X", "POST"]
    command += ["-H", "Content-Type: application/x-tar", "--data-binary", f"@{place}", url]
    done = subprocess.run(command, check=True, capture_output=True, timeout=60)
    own = json.loads(done.stdout.splitlines()[-1])["status"]
    repository, _, tag = name.rpartition(":")
    query = {"repo": repository, "tag": tag}
    running.engine.call("POST", f"/images/{own}/tag", query=query)


@contextlib.contextmanager
def running_engine(kind: str, folder: Path, registry: "RunningRegistry") -> Iterator[RunningEngine]:
    """An engine with the image `IMAGE`, until the end; containers end with it."""
    absent = missing(kind)
    assert not absent, f"{kind} needs {absent}"
    folder.mkdir(parents=True)
    (folder / "trust").mkdir()
    (folder / "trust" / "registry.pem").write_bytes(registry.certificate)
    short = Path(tempfile.mkdtemp(prefix="es-"))
    running = RunningEngine(kind, folder, short)
    running.start()
    try:
        import_image(running, IMAGE)
        yield running
    finally:
        with contextlib.suppress(RuntimeFailure):
            remove_all(running.engine)
        running.stop()
        _unmount(folder)
        _unmount(short)
        shutil.rmtree(short, ignore_errors=True)


def remove_all(engine: Engine) -> None:
    """Remove every container, and the networks and volumes that tests made."""
    for one in engine.call("GET", "/containers/json", query={"all": True}) or ():
        query = {"force": True, "v": True}
        engine.call("POST", f"/containers/{one['Id']}/kill", allow=(404, 409, 500))
        engine.call("DELETE", f"/containers/{one['Id']}", query=query, allow=(404, 409))
    for one in engine.call("GET", "/networks") or ():
        if one["Name"].startswith("edgesync"):
            engine.call("DELETE", f"/networks/{one['Name']}", allow=(404,))
    for one in (engine.call("GET", "/volumes") or {}).get("Volumes") or ():
        engine.call("DELETE", f"/volumes/{one['Name']}", allow=(404, 409))


def _unmount(folder: Path) -> None:
    """Release what an engine leaves mounted below its folder."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    places = [line.split()[1] for line in lines if line.split()[1].startswith(str(folder))]
    for place in sorted(places, reverse=True):
        subprocess.run(["umount", "-l", place], check=False, capture_output=True)


@dataclass
class RunningRegistry:
    """A registry on loopback that wants a password; *certificate* (PEM) is to be trusted."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def certificate(self) -> bytes:
        return (self.folder / "cert.pem").read_bytes()

    def start(self) -> None:
        """Start it and wait until it listens."""
        command = ["docker-registry", "serve", str(self.folder / "config.yml")]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "log").read_text()[-3000:])
            time.sleep(0.05)  # between looks, until the deadline

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def secret(self) -> dict[str, str]:
        """Its credentials, as an app names them."""
        return {"address": self.address, "username": "user", "password": PASSWORD}

    def push(self, running: RunningEngine, name: str) -> str:
        """Put `IMAGE` there under a name; the image's name, which the engine forgets."""
        engine, repository = running.engine, f"{self.address}/{name.partition(':')[0]}"
        tag = name.partition(":")[2]
        query = {"repo": repository, "tag": tag}
        engine.call("POST", f"/images/{IMAGE}/tag", query=query)
        credentials = base64.urlsafe_b64encode(json.dumps(self.secret()).encode()).decode()
        path, headers = f"/images/{repository}/push", {"X-Registry-Auth": credentials}
        pieces = engine.stream("POST", path, query={"tag": tag}, headers=headers, total=60)
        for line in json_lines(pieces):
            assert not line.get("error"), line
        engine.call("DELETE", f"/images/{repository}:{tag}")
        return f"{repository}:{tag}"


@contextlib.contextmanager
def running_registry(folder: Path) -> Iterator[RunningRegistry]:
    """A registry with htpasswd and TLS."""
    assert shutil.which("docker-registry"), "needs docker-registry"
    folder.mkdir(parents=True)
    port = free_port()
    certificate = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
    certificate += ["ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=registry"]
    certificate += ["-addext", "subjectAltName=IP:127.0.0.1"]
    certificate += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(certificate, check=True, capture_output=True)
    (folder / "htpasswd").write_text(_HTPASSWD)
    settings = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {
            "addr": f"127.0.0.1:{port}",
            "tls": {
                "certificate": str(folder / "cert.pem"),
                "key": str(folder / "key.pem"),
            },
        },
        "auth": {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}},
    }
    (folder / "config.yml").write_text(json.dumps(settings))
    running = RunningRegistry(folder, port)
    running.start()
    try:
        yield running
    finally:
        running.stop()

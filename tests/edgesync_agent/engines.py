"""Engines of the tests' own, of root and of an ordinary user, on sockets that nothing else has.

They need root, and the packages that `.ci/run` installs. Where one is missing the tests are
skipped, aloud; in CI they fail.
"""

import contextlib
import fcntl
import importlib
import io
import json
import multiprocessing
import os
import pwd
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from edgesync_agent.engine import Engine
from edgesync_agent.runtime import RuntimeFailure
from tests.deadlines import UNIT
from tests.edgesync_agent.registry import RunningRegistry, started

IMAGE = "docker.io/edgesync-test/box:1"
"""Image with busybox and nothing else."""

_ROOTLESS_DOCKER = "/usr/share/docker.io/contrib/dockerd-rootless.sh"
_NEEDED = {
    "docker": ("dockerd", "containerd", "iptables", "busybox", "docker-registry"),
    "podman": ("podman", "runc", "iptables", "busybox", "docker-registry"),
    "rootless docker": ("dockerd", "rootlesskit", _ROOTLESS_DOCKER),
    "rootless podman": ("podman", "runc"),
}
_NEEDED_ROOTLESS = ("newuidmap", "slirp4netns", "iptables", "busybox", "useradd")
_START_LOCK = Path(tempfile.gettempdir()) / "edgesync-test-engines.lock"
_APPLETS = ("sh", "sleep", "httpd", "cat", "echo", "id", "nc", "wget", "ls", "kill", "touch")
# Python imports these when they are first used: perhaps from where the user may not read.
_IMPORTED_LATE = ("_strptime", "encodings.idna")
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
    needed = _NEEDED[kind] + (_NEEDED_ROOTLESS if kind.startswith("rootless") else ())
    found = [name for name in needed if shutil.which(name) is None]
    return found if os.geteuid() == 0 else [*found, "root"]


def marks(kind: str) -> list[pytest.MarkDecorator]:
    """Marks of a test that needs that engine; in CI it fails where the engine is missing."""
    absent = missing(kind)
    is_skipped = bool(absent) and not os.environ.get("CI")
    reason = f"needs {', '.join(absent)} for {kind}"
    return [pytest.mark.engine, pytest.mark.skipif(is_skipped, reason=reason)]


ENGINES = [pytest.param(kind, marks=marks(kind)) for kind in ("docker", "podman")]
ROOTLESS = [
    pytest.param(kind, marks=marks(f"rootless {kind}"), id=f"rootless-{kind}")
    for kind in ("docker", "podman")
]
NEEDS_DOCKER, NEEDS_PODMAN = marks("docker"), marks("podman")


@dataclass
class RunningEngine:
    """An engine that runs, of root or of *user*; `stop` and `start` it as often as you like."""

    kind: str
    folder: Path
    run: Path  # Podman wants a path of at most 50 characters
    user: pwd.struct_passwd | None = None
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def path(self) -> Path:
        """The socket: that of a user where an agent of that user looks for it."""
        if self.user is None:
            return self.folder / f"{self.kind}.sock"
        return self.run / ("docker.sock" if self.kind == "docker" else "podman/podman.sock")

    @cached_property
    def engine(self) -> Engine:
        """One, which keeps the version that it has asked for."""
        return Engine(str(self.path))

    @property
    def variables(self) -> dict[str, str]:
        """The environment of the engine's user; two of them save CPU.

        Podman tells of which packages its programs are, for which dpkg reads all that is installed,
        unless nothing is. dockerd runs itself three times for each container, and collects garbage
        in a third of the time that its start takes.
        """
        saving = {"DPKG_ADMINDIR": str(self.folder / "no-packages"), "GOGC": "400"}
        if self.user is not None:
            home, run = str(self.folder), str(self.run)
            return {"PATH": os.environ["PATH"], "HOME": home, "XDG_RUNTIME_DIR": run, **saving}
        # A closed port stands in for every registry outside of this machine.
        closed = "http://127.0.0.1:9"
        proxies = {"HTTPS_PROXY": closed, "HTTP_PROXY": closed, "NO_PROXY": "127.0.0.1,localhost"}
        return {**os.environ, "SSL_CERT_DIR": str(self.folder / "trust"), **proxies, **saving}

    def start(self) -> None:
        """Start it and wait until it answers.

        One at a time on this machine: engines that start together make the same chains of iptables.
        """
        with open(_START_LOCK, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            settings = self.folder / "containers.conf"
            settings.write_text(_PODMAN.format(networks=self.folder / "networks"))
            variables = {**self.variables, "CONTAINERS_CONF": str(settings)}
            self.process = started(
                [*self._as_user(), *self._command()],
                self.folder / "log",
                self._answers,
                env=variables,
                cwd=self.folder,
            )

    def stop(self) -> None:
        """End it; containers of Podman go on, those of Docker end."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def _answers(self) -> bool:
        with contextlib.suppress(RuntimeFailure):
            self.engine.call("GET", "/containers/json")
            return True
        return False

    def _as_user(self) -> list[str]:
        if self.user is None:
            return []
        ids = [f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--clear-groups"]
        return ["setpriv", *ids]

    def _command(self) -> list[str]:
        root, is_root = str(self.folder / "root"), self.user is None
        driver = [] if is_root else ["--storage-driver", "vfs"]
        if self.kind == "podman":
            runs = str(self.run if is_root else self.run / "r")
            command = ["podman", "--root", root, "--runroot", runs, *driver, "--log-level", "warn"]
            return [*command, "system", "service", "-t", "0", f"unix://{self.path}"]
        options = ["--data-root", root, "--bridge", "none", *driver]
        options += ["--shutdown-timeout", "1", "--log-level", "warn"]
        if not is_root:
            return [_ROOTLESS_DOCKER, *options]
        places = ["--exec-root", str(self.run), "--pidfile", str(self.folder / "pid")]
        return ["dockerd", *options, *places, "-H", f"unix://{self.path}"]


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
def running_engine(kind: str, folder: Path, registry: RunningRegistry) -> Iterator[RunningEngine]:
    """An engine of root with the image `IMAGE`, until the end; containers end with it."""
    absent = missing(kind)
    assert not absent, f"{kind} needs {absent}"
    folder.mkdir(parents=True)
    (folder / "trust").mkdir()
    (folder / "trust" / "registry.pem").write_bytes(registry.certificate)
    short = Path(tempfile.mkdtemp(prefix="es-"))
    try:
        with _serving(RunningEngine(kind, folder, short)) as running:
            yield running
    finally:
        _unmount(folder)
        _unmount(short)
        shutil.rmtree(short, ignore_errors=True)


def run_as(user: int, group: int, check: Callable[..., None], *arguments: Any) -> None:
    """Call a function of a module with no more rights than a user has, in a process of its own.

    Not in this one: the C library changes the rights of a process thread by thread, and waits for
    each of them without an end. Raises AssertionError where the function raised or did not end.
    """
    one = multiprocessing.get_context("spawn").Process(
        target=_check_as, args=(user, group, check, arguments)
    )
    one.start()
    one.join(40 * UNIT)
    if one.is_alive():
        one.kill()
        one.join(10)
    assert one.exitcode == 0, f"exit code {one.exitcode}; standard error has the reason"


def _check_as(user: int, group: int, check: Callable[..., None], arguments: Sequence[Any]) -> None:
    for late in _IMPORTED_LATE:
        importlib.import_module(late)
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    check(*arguments)


@contextlib.contextmanager
def rootless_engine(kind: str) -> Iterator[RunningEngine]:
    """An engine of an ordinary user, who is added to this machine and removed again."""
    absent = missing(f"rootless {kind}")
    assert not absent, f"rootless {kind} needs {absent}"
    # Reached by any user, which pytest's folders are not; short, as Podman wants it.
    folder = Path(tempfile.mkdtemp(prefix="es-"))
    name = folder.name.replace("_", "0").lower()
    adds = ["useradd", "--no-create-home", "--home-dir", str(folder), name]
    subprocess.run(adds, check=True, capture_output=True, timeout=30)
    user = pwd.getpwnam(name)
    try:
        for place in (folder, folder / "run", folder / "run" / "podman"):
            place.mkdir(mode=0o700, exist_ok=True)
            os.chown(place, user.pw_uid, user.pw_gid)
        with _serving(RunningEngine(kind, folder, folder / "run", user)) as running:
            yield running
    finally:
        _end_processes(user.pw_uid)
        subprocess.run(["userdel", "--force", name], check=True, capture_output=True, timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _serving(running: RunningEngine) -> Iterator[RunningEngine]:
    running.start()
    try:
        import_image(running, IMAGE)
        yield running
    finally:
        with contextlib.suppress(RuntimeFailure):
            remove_all(running.engine)
        running.stop()


def _end_processes(uid: int) -> None:
    """End what a user still runs; Podman leaves a process that keeps its name space."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == uid:
                    os.kill(int(entry.name), signal.SIGKILL)


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
        subprocess.run(["umount", "-l", place], check=False, capture_output=True, timeout=30)

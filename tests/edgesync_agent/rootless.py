"""Podman of an ordinary user, whom the tests add to this machine and remove again."""

import contextlib
import importlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgesync_agent.runtime import RuntimeFailure
from tests.edgesync_agent.engines import IMAGE, RunningEngine, import_image, marks, remove_all

KIND = "rootless"
NEEDS_ROOTLESS = marks(KIND)
# By Python, when they are first needed: perhaps from where the user may not read.
_IMPORTED_LATE = ("_strptime", "encodings.idna")
_SETTINGS = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4000:4000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
"""


@dataclass
class RootlessEngine(RunningEngine):
    """Podman of *user*, on the socket where an agent of that user looks for it."""

    user: pwd.struct_passwd = field(default_factory=lambda: pwd.getpwuid(os.getuid()))

    @property
    def path(self) -> Path:
        return self.run / "podman" / "podman.sock"

    @property
    def variables(self) -> dict[str, str]:
        """The environment of the user."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "XDG_RUNTIME_DIR": str(self.run),
        }

    @contextlib.contextmanager
    def as_user(self) -> Iterator[None]:
        """Have this process, in all of its threads, the rights of the user until the end."""
        for late in _IMPORTED_LATE:
            importlib.import_module(late)
        groups = os.getgroups()
        os.setgroups([])
        os.setegid(self.user.pw_gid)
        os.seteuid(self.user.pw_uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)

    def _command(self) -> tuple[list[str], dict[str, str]]:
        settings = self.folder / "containers.conf"
        settings.write_text(_SETTINGS)
        ids = [f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--clear-groups"]
        return [
            *("setpriv", *ids, "podman", "--root", str(self.folder / "root")),
            *("--runroot", str(self.run / "r"), "--storage-driver", "vfs", "--log-level", "warn"),
            *("system", "service", "-t", "0", f"unix://{self.path}"),
        ], {**self.variables, "CONTAINERS_CONF": str(settings)}


@contextlib.contextmanager
def rootless_engine() -> Iterator[RootlessEngine]:
    """An engine with the image `IMAGE`, until the end; user and containers end with it."""
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
        running = RootlessEngine(KIND, folder, folder / "run", user=user)
        running.start()
        try:
            import_image(running, IMAGE)
            yield running
        finally:
            with contextlib.suppress(RuntimeFailure):
                remove_all(running.engine)
            running.stop()
    finally:
        _end_processes(user.pw_uid)
        subprocess.run(["userdel", "--force", name], check=True, capture_output=True, timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


def _end_processes(uid: int) -> None:
    """End what a user still runs; Podman leaves a process that keeps its name space."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == uid:
                    os.kill(int(entry.name), signal.SIGKILL)

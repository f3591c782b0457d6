"""A power cut at any write of the agent: what runs afterwards is one version, whole."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edgesync_agent.apps import open_supervisor, runtime_finders
from edgesync_agent.kernel import processes, variable_of
from edgesync_agent.removal import remove_apps
from edgesync_agent.shims import MARK
from edgesync_agent.spec import NATIVE
from edgesync_agent.supervisor import Supervisor
from tests.deadlines import UNIT

DEADLINE = 30 * UNIT
NODE = "default.n1"
MEMORY = Path("/dev/shm")  # noqa: S108
AT_A_TIME = 4  # cuts: each waits most of its time


def release(version: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A version of an app, and what it uses, as the server sends them."""
    volumes = [
        {"name": name, kind: {"name": name, "version": version}}
        for name, kind in (("files", "config"), ("password", "secret"))
    ]
    mounts = [{"name": one["name"], "mountPath": f"/etc/{one['name']}"} for one in volumes]
    command = ["/bin/sleep", f"{600 + int(version)}"]
    service = {"name": "main", "command": command, "volumeMounts": mounts}
    body = {
        "name": "web",
        "version": version,
        "mode": "native",
        "services": [service],
        "volumes": volumes,
    }
    values = [
        _value("configuration", "files", version, {"a.conf": version}),
        _value("secret", "password", version, {"key": "c2VjcmV0"}),
    ]
    return body, values


def _value(kind: str, name: str, version: str, data: dict[str, str]) -> dict[str, Any]:
    return {"kind": kind, "name": name, "value": {"name": name, "version": version, "data": data}}


def take(supervisor: Supervisor, version: str) -> None:
    """Have a version run, as a connected agent does."""
    if not supervisor.releases.has("web", version):
        supervisor.releases.put(*release(version))
    supervisor.desire({"web": version})
    supervisor.arrived()


def drive(supervisor: Supervisor, version: str) -> None:
    """Look after the apps until that version runs, and nothing else of the app."""
    limit = time.monotonic() + DEADLINE
    while not _runs(supervisor, version):
        assert time.monotonic() < limit, supervisor.statuses()
        supervisor.look()
        time.sleep(0.03)


def _runs(supervisor: Supervisor, version: str) -> bool:
    instances = supervisor.runtimes.instances_of("web")
    status = next(iter(supervisor.statuses()), {})
    is_right = status.get("version") == version and status.get("status") == "Running"
    return is_right and len(instances) == 1 and instances[0].state == "running"


def opened(home: Path) -> Supervisor:
    supervisor = open_supervisor(home, NODE, lambda line: None)
    supervisor.settle = 0.0
    supervisor.fetcher.thread.start()
    return supervisor


class _Killer:
    """Kills this process before it changes anything below *home* for the nth time."""

    CHANGES = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink"})

    def __init__(self, home: Path, kill_at: int) -> None:
        self.home = str(home)
        self.left = kill_at

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        is_opened = event == "open" and isinstance(arguments[2], int)
        writes = is_opened and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        is_below = any(str(one).startswith(self.home) for one in arguments[:2])
        if is_below and (event in self.CHANGES or writes):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def _child(work: Callable[[], None]) -> int:
    """The number of a new process that does *work*; its status is 0 once that is done."""
    number = os.fork()
    if number == 0:
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            os._exit(1)
    return number


def _in_child(work: Callable[[], None]) -> int:
    """The status of a process of its own that does *work*; -9 for one that was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(_child(work), 0)[1])


def _together(works: list[Callable[[], None]]) -> None:
    """Do each in a process of its own, all at the same time."""
    numbers = [_child(work) for work in works]
    ends = [os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) for number in numbers]
    if any(ends):
        sys.exit(f"the processes ended with {ends}")


def _update(home: Path, versions: str, kill_at: int) -> None:
    """Take one version after the other; killed on the way to the last."""
    supervisor = opened(home)
    for version in versions:
        if version == versions[-1]:
            sys.addaudithook(_Killer(home, kill_at))
        take(supervisor, version)
        drive(supervisor, version)


def _recover(home: Path, version: str) -> None:
    """Start again without a server, then with one."""
    supervisor = opened(home)
    if supervisor.desired:
        drive(supervisor, supervisor.desired["web"])
    take(supervisor, version)
    drive(supervisor, version)
    (instance,) = supervisor.runtimes.instances_of("web")
    root = home / "processes" / instance.key / "root"
    assert (root / "etc/files/a.conf").read_text() == version
    assert (root / "etc/password/key").read_text() == "secret"
    leaders = [one for one in processes() if one.number == one.session and one.state != "Z"]
    own = [variable_of(one.number, MARK) for one in leaders]
    assert [mark for mark in own if mark.startswith(str(home))] == [str(root.parent)]


def _cut(home: Path, versions: str, kill_at: int) -> bool:
    """Cut the power at one write and start again; whether there is such a write."""
    home.mkdir()
    try:
        status = _in_child(lambda: _update(home, versions, kill_at))
        recovered = _in_child(lambda: _recover(home, versions[-1]))
    finally:
        list(remove_apps({NATIVE: runtime_finders(home, NODE)[NATIVE]}))
        shutil.rmtree(home)
    if recovered or status not in {0, -signal.SIGKILL}:
        raise AssertionError(f"write {kill_at}: update {status}, recovery {recovered}")
    return status != 0


def main(folder: Path, versions: str) -> int:
    """Cut the power at each write of the last of *versions*; how many there are."""

    def work(first: int) -> None:
        cuts = itertools.count(first, AT_A_TIME)
        last = next(n for n in cuts if not _cut(folder / str(n), versions, n))
        (folder / f"last-{first}").write_text(str(last))

    firsts = range(1, AT_A_TIME + 1)
    _together([partial(work, first) for first in firsts])
    return min(int((folder / f"last-{first}").read_text()) for first in firsts) - 1


@pytest.mark.slow  # an agent starts for each write that can be the last
@pytest.mark.timeout(300)
@pytest.mark.parametrize("versions", ["1", "12"], ids=["first", "update"])
def test_after_a_power_cut_at_any_write_one_version_runs_whole(versions: str) -> None:
    # In a process without threads: each attempt is a fork of it. A killed process loses nothing
    # that it has written, so that a file system in memory shows the same, without its disk.
    module = "tests.edgesync_agent.test_power_cut"
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        done = subprocess.run(
            [sys.executable, "-m", module, folder, versions],
            capture_output=True,
            text=True,
            timeout=280,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) > 30, "there are that many writes"


if __name__ == "__main__":
    sys.stdout.write(str(main(Path(sys.argv[1]), sys.argv[2])))

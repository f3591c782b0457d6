"""Host processes: real programs, ended, adopted and measured."""

import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgesync_agent.host_processes import HostProcesses
from edgesync_agent.kernel import process_status, processes, variable_of
from edgesync_agent.process_log import ProcessLog
from edgesync_agent.runtime import (
    CREATED,
    EXITED,
    INIT,
    LIVE,
    RUNNING,
    Create,
    FailureReason,
    Instance,
    Remove,
    RuntimeFailure,
    Slot,
    Start,
    Stop,
)
from edgesync_agent.shims import MARK
from edgesync_agent.spec import (
    NATIVE,
    AppDefinition,
    MountDefinition,
    PortDefinition,
    ProbeDefinition,
    ServiceDefinition,
    VolumeDefinition,
)
from tests.deadlines import UNIT

DEADLINE = 20 * UNIT
SLEEP = ("/bin/sh", "-c", "exec sleep 60")


def until(is_true: Callable[[], Any], what: str) -> None:
    limit = time.monotonic() + DEADLINE
    while not is_true():
        assert time.monotonic() < limit, f"waited for {what}"
        time.sleep(0.02)


REAPER = """
import os, sys
from edgesync_agent.kernel import process_status, reap_children
number = os.spawnv(os.P_NOWAIT, "/bin/true", ["true"])
os.waitid(os.P_PID, number, os.WEXITED | os.WNOWAIT)
assert process_status(number).state == "Z"
reap_children()
assert process_status(number) is None
reap_children()
"""


def test_children_of_the_agent_before_are_waited_for() -> None:
    assert subprocess.run([sys.executable, "-c", REAPER], check=False, timeout=60).returncode == 0


class ProcessFiles:
    """Volumes of apps as directories of their name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, app: AppDefinition, volume: str, stage: str) -> str:
        return str(self.root / volume)

    def credentials(self, app: AppDefinition) -> Sequence[Mapping[str, str]]:
        return ()


class ProcessSite:
    """A runtime, and one app of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = ProcessFiles(folder / "volumes")
        self.runtime = self.again()
        self.app = AppDefinition("web", "1", mode=NATIVE)

    def again(self) -> HostProcesses:
        """What a restarted agent has."""
        return HostProcesses(self.folder / "processes", None, grace=2)

    def create(self, *command: str, stage: str = LIVE, **fields: Any) -> Slot:
        service = ServiceDefinition("main", command=command, **fields)
        services = {"init_services" if stage == INIT else "services": (service,)}
        self.app = replace(self.app, **services)  # type: ignore[arg-type]
        slot = Slot("web", "main", 0, stage, "d1")
        self.runtime.carry_out(Create(slot, "1"), self.app, self.files)
        return slot

    def run(self, *command: str, **fields: Any) -> Instance:
        self.create(*command, **fields)
        self.runtime.carry_out(Start(self.one()), None, self.files)
        return self.one()

    def one(self) -> Instance:
        (instance,) = self.runtime.observe()
        return instance

    def step(self, kind: Any) -> None:
        self.runtime.carry_out(kind(self.one()), None, self.files)

    def ended(self) -> Instance:
        until(lambda: self.one().state == EXITED, "the program to end")
        return self.one()

    def output(self, **options: Any) -> str:
        found = self.runtime.logs(self.one(), **{"lines": 100, **options})
        return b"".join(found).decode()

    @property
    def root(self) -> Path:
        return self.folder / "processes" / self.one().key / "root"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ProcessSite]:
    made = ProcessSite(tmp_path)
    yield made
    for instance in made.again().observe():
        made.again().carry_out(Remove(instance), None, made.files)
    left = [one for one in processes() if _mark(one.number).startswith(str(tmp_path))]
    assert not [one for one in left if one.state != "Z"]


def _mark(number: int) -> str:
    return variable_of(number, MARK)


def _program(number: int) -> str:
    try:
        return Path(f"/proc/{number}/comm").read_text().strip()
    except OSError:
        return ""


def members(site: ProcessSite) -> list[int]:
    folder = str(site.runtime.root / site.one().key)
    return [one.number for one in processes() if _mark(one.number) == folder]


def test_an_instance_goes_through_its_states_and_each_step_can_be_repeated(
    site: ProcessSite,
) -> None:
    slot = site.create(*SLEEP)
    site.create(*SLEEP)
    made = site.one()
    assert (made.slot, made.version, made.state) == (slot, "1", CREATED)
    for _ in range(2):
        site.step(Start)
        running = site.one()
        assert running.state == RUNNING
        assert running.started >= made.created
    until(lambda: "sleep" in map(_program, members(site)), "the program, which its shell begins")
    for _ in range(2):
        site.step(Stop)
        assert (site.one().state, site.one().exit_code) == (EXITED, 143)
    site.step(Start)
    assert site.one().state == RUNNING
    last = site.one()
    for _ in range(2):
        site.runtime.carry_out(Remove(last), None, site.files)
    assert site.runtime.observe() == []
    site.runtime.forget("web")
    assert list(site.runtime.root.iterdir()) == []


def test_an_instance_without_its_record_is_not_observed(site: ProcessSite) -> None:
    """It is being removed while another process looks."""
    site.create(*SLEEP)
    record = site.root.parent / "instance.json"
    content = record.read_bytes()
    record.write_bytes(b"")
    assert site.runtime.observe() == []
    record.write_bytes(content)
    assert site.one().state == CREATED


def test_how_a_program_ended_is_known(site: ProcessSite) -> None:
    site.run("/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    ended = site.ended()
    assert ended.exit_code == 3
    assert ended.finished >= ended.started
    assert site.output() == "out\nerr\n"


def test_a_program_that_is_killed_has_the_code_that_shells_have(site: ProcessSite) -> None:
    site.run("/bin/sh", "-c", "kill -9 $$")
    assert site.ended().exit_code == 137
    site.step(Start)
    assert site.ended().exit_code == 137


def test_what_does_not_end_by_itself_is_killed_with_all_it_started(site: ProcessSite) -> None:
    script = "trap '' TERM; setsid sleep 60 & sh -c 'while :; do sleep 1; done' & echo up; wait"
    site.run("/bin/sh", "-c", script)
    until(lambda: site.output() == "up\n", "the program to start")
    started = members(site)
    assert len(started) >= 4
    site.step(Stop)
    assert members(site) == []
    assert site.one().state == EXITED


AGENT = """
import os, sys, time
from pathlib import Path
from edgesync_agent.runtime import Start
from tests.deadlines import UNIT
from tests.edgesync_agent.test_host_processes import ProcessSite
site = ProcessSite(Path(sys.argv[1]))
site.create("/bin/sh", "-c", "echo up; read line < pipe; exit 7")
os.mkfifo(site.root / "pipe")
site.step(Start)
print("ready", flush=True)
time.sleep(60)
"""


def test_an_agent_that_is_killed_finds_its_processes_again(site: ProcessSite) -> None:
    command = [sys.executable, "-c", AGENT, str(site.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as agent:
        assert agent.stdout
        assert agent.stdout.readline() == b"ready\n"
        agent.send_signal(signal.SIGKILL)
    site.runtime = site.again()
    running = site.one()
    assert running.state == RUNNING
    site.step(Start)  # it runs: nothing happens
    assert site.one() == running
    (site.root / "pipe").write_text("go\n")
    assert site.ended().exit_code == 7


def test_an_instance_of_another_agent_is_left_alone(tmp_path: Path, site: ProcessSite) -> None:
    other = ProcessSite(tmp_path / "other")
    try:
        theirs = other.run(*SLEEP)
        ours = site.run(*SLEEP)
        assert theirs.key == ours.key
        site.step(Stop)
        site.step(Remove)
        site.runtime.forget("web")
        assert other.one() == theirs
    finally:
        other.step(Remove)


def test_what_a_killed_shim_leaves_is_ended_before_the_next_start(site: ProcessSite) -> None:
    site.run("/bin/sh", "-c", "echo up; exec sleep 60")
    until(lambda: site.output() == "up\n", "the program to start")
    (shim,) = [number for number in members(site) if _is_leader(number)]
    os.kill(shim, signal.SIGKILL)
    left = site.ended()
    assert left.exit_code == 137
    assert members(site)
    site.step(Start)
    until(lambda: site.output() == "up\nup\n", "the program to start again")
    assert len(members(site)) == 2


def _is_leader(number: int) -> bool:
    status = process_status(number)
    return status is not None and status.session == number


def test_what_a_removal_left_running_is_ended_at_the_next_start_of_the_agent(
    site: ProcessSite,
) -> None:
    site.run(*SLEEP)
    running = members(site)
    (site.runtime.root / site.one().key / "instance.json").unlink()
    again = site.again()
    assert again.observe() == []
    until(lambda: not any(_mark(number) for number in running), "the processes to end")


def test_after_the_machine_was_started_again_an_instance_is_to_be_started(
    site: ProcessSite,
) -> None:
    site.run("/bin/sh", "-c", "echo up; exec sleep 60")
    until(lambda: site.output() == "up\n", "the program to start")
    site.step(Stop)
    folder = site.runtime.root / site.one().key
    (folder / "begun").write_text('{"boot": "another", "at": 1.0}')
    assert site.one().state == EXITED, "it had ended before"
    (folder / "exit").unlink()
    assert site.one().state == CREATED


def test_files_are_below_the_directory_and_the_program_is_what_its_config_names(
    site: ProcessSite, tmp_path: Path
) -> None:
    program = tmp_path / "volumes" / "program"
    (program / "bin").mkdir(parents=True)
    (program / "program.yml").write_text("# ours\nentry: bin/run.sh\n")
    script = '#!/bin/sh\necho "$1 $COLOUR $EDGESYNC_APP $(cat etc/app/a.conf) $(pwd)"\n'
    (program / "bin" / "run.sh").write_text(script)
    (program / "bin" / "run.sh").chmod(0o600)
    conf = tmp_path / "volumes" / "conf"
    conf.mkdir()
    (conf / "a.conf").write_text("x=1")
    volumes = (
        VolumeDefinition("program", "config", "program", "4"),
        VolumeDefinition("conf", "config", "conf", "2"),
        VolumeDefinition("data", "hostPath", str(tmp_path / "data")),
    )
    mounts = (
        MountDefinition("program", "/var/lib/baetyl/bin", read_only=True),
        MountDefinition("conf", "/etc/app", read_only=True),
        MountDefinition("data", "/data"),
    )
    site.app = replace(site.app, volumes=volumes)
    site.run(args=("hello",), env=(("COLOUR", "red"),), mounts=mounts)
    assert site.ended().exit_code == 0
    assert site.output() == f"hello red web x=1 {site.root}\n"
    assert (tmp_path / "data").is_dir()
    (conf / "a.conf").write_text("x=2")
    site.step(Start)
    until(lambda: "x=2" in site.output(), "the new file")


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (None, "program.yml"),
        ("start: x", "entry"),
        ("entry: ../../../bin/sleep", "no program"),
        ("entry: missing", "no program"),
    ],
)
def test_a_program_that_is_not_there_is_named(
    site: ProcessSite, tmp_path: Path, program: str | None, why: str
) -> None:
    place = tmp_path / "volumes" / "program"
    place.mkdir(parents=True)
    if program:
        (place / "program.yml").write_text(program)
    site.app = replace(site.app, volumes=(VolumeDefinition("program", "config", "p", "1"),))
    mounts = (MountDefinition("program", "/var/lib/baetyl/bin"),)
    with pytest.raises(RuntimeFailure, match=why) as caught:
        site.run(mounts=mounts)
    assert caught.value.reason == FailureReason.START
    assert site.one().state == CREATED


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"hostname": "web"}, "main.hostname"),
        ({"runtime": "kata"}, "main.runtime"),
        ({"ports": (PortDefinition(80, 8080),)}, "main.ports"),
        ({"cpu": 10**9}, "main.resources.limits.cpu"),
        ({"command": ()}, "main.programConfig"),
        ({"mounts": (MountDefinition("data", "/data", read_only=True),)}, "volumeMounts"),
        ({"mounts": (MountDefinition("small", "/small"),)}, "sizeLimit"),
    ],
)
def test_what_a_host_process_cannot_have_is_refused_by_name(
    site: ProcessSite, fields: dict[str, Any], named: str
) -> None:
    volumes = (
        VolumeDefinition("data", "hostPath", "/data"),
        VolumeDefinition("small", "emptyDir", size_limit=1),
    )
    service = ServiceDefinition("main", **{"command": SLEEP, **fields})
    app = replace(site.app, services=(service,), volumes=volumes)
    for ask in (site.runtime.missing, lambda app: site.runtime.fetch(app, site.files)):
        with pytest.raises(RuntimeFailure, match=named) as caught:
            ask(app)
        assert caught.value.reason == FailureReason.REFUSED


def test_mounts_inside_each_other_are_refused(site: ProcessSite, tmp_path: Path) -> None:
    volumes = (VolumeDefinition("a", "emptyDir"), VolumeDefinition("b", "emptyDir"))
    site.app = replace(site.app, volumes=volumes)
    mounts = (MountDefinition("a", "/data"), MountDefinition("b", "/data/sub"))
    with pytest.raises(RuntimeFailure, match="/data/sub"):
        site.create(*SLEEP, mounts=mounts)
    assert site.runtime.observe() == []
    assert not list((site.runtime.root / "web").iterdir())


def test_memory_is_limited(site: ProcessSite) -> None:
    hungry = "x = bytearray(256 * 1024 * 1024); print('got it')"
    site.run(sys.executable, "-c", hungry, memory=128 * 1024 * 1024)
    assert site.ended().exit_code == 1
    assert "MemoryError" in site.output()


def test_usage_is_that_of_everything_an_instance_started(site: ProcessSite) -> None:
    site.run("/bin/sh", "-c", "while :; do :; done & wait")
    assert site.runtime.usage([site.one()])[site.one().key].cpu == 0
    found: list[float] = []

    def is_busy() -> bool:
        usage = site.runtime.usage([site.one()])[site.one().key]
        found.append(usage.cpu)
        return usage.cpu > 0.2 and usage.memory > 100_000

    until(is_busy, f"usage, not {found}")
    site.step(Stop)
    assert site.runtime.usage([site.one()]) == {}


def test_a_log_is_read_from_its_end_followed_and_bounded(site: ProcessSite) -> None:
    site.create("/bin/sh", "-c", "for i in 1 2 3; do echo line $i; done; read x < pipe; echo $x")
    os.mkfifo(site.root / "pipe")
    site.step(Start)
    until(lambda: site.output(lines=2) == "line 2\nline 3\n", "the lines")
    site.one()
    begin = time.time()
    log = site.runtime.logs(site.one(), lines=1, follow=DEADLINE)
    assert next(log) == b"line 3\n"
    (site.root / "pipe").write_text("new\n")
    assert next(filter(None, log)) == b"new\n"
    assert site.output(since=begin) == "new\n"
    assert site.output(since=1) == site.output()


def test_a_log_that_is_too_long_is_begun_anew_and_the_end_of_the_old_one_stays(
    site: ProcessSite,
) -> None:
    site.run("/bin/sh", "-c", "i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done")
    site.ended()
    log = ProcessLog(site.runtime.root / site.one().key / "log", size_limit=1000)
    log.tend(time.time())
    assert log.path.stat().st_size == 0
    assert log.tail(2)[0] == b"line 498\nline 499\n"
    site.step(Start)
    until(lambda: b"line 499" in log.path.read_bytes(), "the log to go on")
    log.tend(time.time())
    assert sum(file.stat().st_size for file in (log.path, log.before)) < 2 * 5000


class ProcessAnswer(http.server.BaseHTTPRequestHandler):
    """200 where a header is as it should be."""

    def do_GET(self) -> None:
        self.send_response(200 if self.headers["X-Key"] == "1" and self.path == "/ok" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def test_probes_ask_the_host_itself_or_run_beside_the_instance(site: ProcessSite) -> None:
    site.run(*SLEEP, env=(("COLOUR", "red"),))

    def check(kind: str, **fields: Any) -> str:
        return site.runtime.check(site.one(), ProbeDefinition(kind, **fields))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), ProcessAnswer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        headers = (("X-Key", "1"),)
        assert check("httpGet", port=port, path="/ok", headers=headers) == ""
        assert "HTTP 503" in check("httpGet", port=port, path="/ok")
        assert "HTTP 503" in check("httpGet", port=port, headers=headers)
        assert check("tcpSocket", port=port) == ""
        assert check("httpGet", port=port, scheme="HTTPS")
        server.shutdown()
    assert "refused" in check("tcpSocket", port=port)
    assert "refused" in check("httpGet", port=port)
    assert check("exec", command=("sh", "-c", '[ "$COLOUR" = red ]')) == ""
    assert check("exec", command=("sh", "-c", "echo why; exit 4")) == "sh ended with code 4: why"
    assert "within 1 s" in check("exec", command=("sleep", "30"))
    assert "cannot be run" in check("exec", command=("no-such-program",))

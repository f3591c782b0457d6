"""The contract of a runtime, on Docker and on Podman."""

import base64
import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesync_agent.containers import Containers
from edgesync_agent.engine import Engine, find_engine
from edgesync_agent.inspection import moment_of
from edgesync_agent.parsing import read_app
from edgesync_agent.releases import Releases
from edgesync_agent.runtime import (
    CREATED,
    EXITED,
    RUNNING,
    Create,
    FailureReason,
    Instance,
    Remove,
    RuntimeFailure,
    Start,
    Stop,
)
from edgesync_agent.situation import live_slots
from edgesync_agent.spec import AppDefinition, ProbeDefinition
from edgesync_agent.volumes import Volumes
from tests.deadlines import UNIT
from tests.edgesync_agent.engine_socket import EngineSocket, Response
from tests.edgesync_agent.engines import (
    IMAGE,
    RunningEngine,
    remove_all,
)
from tests.edgesync_agent.registry import RunningRegistry
from tests.ports import free_port

SERVE = ["httpd", "-f", "-p", "80", "-h", "/www"]


def app(version: str, *services: dict[str, Any], **fields: Any) -> AppDefinition:
    given = [{"image": IMAGE, **service} for service in services]
    return read_app({"name": "web", "version": version, "services": given, **fields})


class Bench:
    """A runtime and the files it mounts."""

    def __init__(self, running: RunningEngine, folder: Path) -> None:
        self.running = running
        self.folder = folder
        self.containers = Containers(running.engine, "default.n1", folder, stop_seconds=1)
        self.volumes = Volumes(Releases(folder / "apps"), folder / "v", folder / "s")

    def put(self, body: dict[str, Any], **data: dict[str, str]) -> AppDefinition:
        values = [
            {"kind": "configuration", "value": {"name": name, "version": "1", "data": files}}
            for name, files in data.items()
        ]
        self.volumes.releases.put(body, values)
        one = self.volumes.releases.app(body["name"], body["version"])
        self.volumes.switch(one)
        return one

    def create(self, one: AppDefinition) -> list[Instance]:
        for slot in live_slots(one):
            self.containers.carry_out(Create(slot, one.version), one, self.volumes)
        return self.instances()

    def run(self, one: AppDefinition) -> list[Instance]:
        for instance in self.create(one):
            self.containers.carry_out(Start(instance), None, self.volumes)
        return self.instances()

    def instances(self) -> list[Instance]:
        return sorted(self.containers.observe(), key=lambda one: one.slot)

    def output(self, instance: Instance) -> str:
        return b"".join(self.containers.logs(instance, lines=100)).decode()

    def ended(self, one: AppDefinition) -> Instance:
        """The only instance of an app, once it has ended."""
        self.run(one)
        found: Instance = self.wait(lambda: next(i for i in self.instances() if i.state == EXITED))
        return found

    def wait(self, look: Callable[[], Any]) -> Any:
        return wait_for(look)


def wait_for(look: Callable[[], Any], units: float = 15) -> Any:
    deadline = time.monotonic() + units * UNIT
    pause = 0.02  # between looks, until the deadline
    while True:
        with contextlib.suppress(StopIteration, AssertionError):
            found = look()
            if found:
                return found
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(pause)
        pause = min(pause * 1.3, 0.2)


@pytest.fixture
def bench(running: RunningEngine, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(running, tmp_path)
    try:
        yield made
    finally:
        remove_all(running.engine)


def sh(script: str) -> dict[str, Any]:
    return {"name": "s", "command": ["sh", "-c", script], "restart": {"policy": "Never"}}


def test_the_engine_names_itself(bench: Bench) -> None:
    assert bench.containers.describe().startswith(f"{bench.running.kind}://")


def test_a_container_is_made_started_stopped_and_removed(bench: Bench) -> None:
    one = app("7", {"name": "s", "args": SERVE, "replica": 2})
    made = bench.create(one)
    assert [i.state for i in made] == [CREATED, CREATED]
    assert bench.create(one) == made  # a second time: nothing
    (first, second) = bench.run(one)
    assert (first.state, first.version, first.slot) == (RUNNING, "7", live_slots(one)[0])
    assert abs(first.started - time.time()) < 60
    for _ in range(2):
        bench.containers.carry_out(Start(first), None, bench.volumes)
    bench.containers.carry_out(Stop(first), None, bench.volumes)
    bench.containers.carry_out(Stop(first), None, bench.volumes)
    assert [i.state for i in bench.instances()] == [EXITED, RUNNING]
    for instance in (first, second, second):
        bench.containers.carry_out(Remove(instance), None, bench.volumes)
    assert bench.instances() == []
    bench.containers.forget("web")
    names = [n["Name"] for n in bench.running.engine.call("GET", "/networks")]
    assert not [name for name in names if name.startswith("edgesync")]


def test_what_another_owner_has_is_neither_seen_nor_touched(bench: Bench, tmp_path: Path) -> None:
    other = Containers(bench.running.engine, "default.n2", tmp_path)
    one = app("7", {"name": "s", "args": SERVE})
    for slot in live_slots(one):
        other.carry_out(Create(slot, "7"), one, bench.volumes)
    assert bench.instances() == []
    bench.containers.forget("web")
    assert len(other.observe()) == 1
    # A name that another owner has is an error, and what is there stays.
    (mine,) = live_slots(one)
    bench.create(one)
    (instance,) = bench.instances()
    details = bench.running.engine.call("GET", f"/containers/{instance.key}/json")
    bench.containers.carry_out(Remove(instance), None, bench.volumes)
    body = {"Image": IMAGE, "Cmd": ["sleep", "9"]}
    query = {"name": details["Name"].lstrip("/")}
    bench.running.engine.call("POST", "/containers/create", body, query=query)
    with pytest.raises(RuntimeFailure, match="another owner"):
        bench.containers.carry_out(Create(mine, "7"), one, bench.volumes)


def test_the_spec_of_a_service_holds_inside_its_container(bench: Bench) -> None:
    script = "echo $A; pwd; hostname; cat /proc/self/cgroup | head -1; id -u; ls /dev/fuse; echo $0"
    service = {
        **sh(script),
        "args": ["arg0"],
        "env": [{"name": "A", "value": "x=y z"}],
        "workingDir": "/www",
        "hostname": "h1",
        "labels": {"team": "red"},
        "devices": [{"devicePath": "/dev/fuse", "policy": "rw"}],
        "resources": {
            "limits": {"cpu": "500m", "memory": "64Mi"},
            "requests": {"cpu": "250m", "memory": "32Mi"},
        },
    }
    service["command"] = ["sh", "-c", script.replace("hostname", "echo $(cat /etc/hostname)")]
    one = app("1", service)
    bench.containers.fetch(one, bench.volumes)  # nothing of it is refused
    ended = bench.ended(one)
    lines = bench.output(ended).splitlines()
    assert (lines[0], lines[1], lines[2]) == ("x=y z", "/www", "h1")
    assert lines[-2:] == ["/dev/fuse", "arg0"]
    seen = bench.running.engine.call("GET", f"/containers/{ended.key}/json")
    host = seen["HostConfig"]
    assert (host["NanoCpus"] or host["CpuQuota"] * 10**9 // 100000) == 5 * 10**8
    assert (host["Memory"], host["MemoryReservation"]) == (2**26, 2**25)
    assert seen["Config"]["Labels"]["team"] == "red"
    assert host["LogConfig"]["Type"] in {"json-file", "k8s-file"}


def test_an_exit_code_and_out_of_memory_are_distinguished(bench: Bench) -> None:
    ended = bench.ended(app("1", sh("echo bye; exit 3")))
    assert (ended.exit_code, ended.out_of_memory) == (3, False)
    assert bench.output(ended) == "bye\n"
    bench.containers.carry_out(Remove(ended), None, bench.volumes)
    eats = {**sh("a=x; while true; do a=$a$a; done"), "resources": {"limits": {"memory": "16Mi"}}}
    ended = bench.ended(app("2", eats))
    assert ended.exit_code == 137
    # Podman does not report it where it uses cgroups of version 1.
    assert ended.out_of_memory or bench.running.kind == "podman"


class _Ending(EngineSocket):
    """Answers what is *asked* as Podman does while a container ends: 500, so many times."""

    def __init__(self, path: Path, engine: str, asked: str) -> None:
        self.asked = asked
        self.times = 0
        super().__init__(path, engine)

    def respond(
        self, method: str, target: str, body: bytes, forward: Callable[[], Response]
    ) -> Response | None:
        if method == "GET" and re.search(self.asked, target) and self.times:
            self.times -= 1
            return 500, b'{"message": "read /proc/32220/cgroup: no such process"}'
        return forward()


@pytest.mark.parametrize("asked", [r"/containers/json\?", r"/containers/\w+/json$"])
def test_a_container_that_ends_while_it_is_looked_at_is_looked_at_again(
    bench: Bench, asked: str
) -> None:
    one = app("7", {"name": "s", "args": SERVE})
    bench.create(one)
    between = _Ending(bench.running.folder / "ending.sock", str(bench.running.path), asked)
    try:
        containers = Containers(Engine(str(between.path)), "default.n1", bench.folder)
        between.times = 2
        assert [i.state for i in containers.observe()] == [CREATED]
        assert between.times == 0
        between.times = 100
        with pytest.raises(RuntimeFailure, match="no such process"):
            containers.observe()
    finally:
        between.close()


class _NotingSocket(EngineSocket):
    """Notes what is asked of an engine."""

    def __init__(self, path: Path, engine: str) -> None:
        self.asked: list[str] = []
        super().__init__(path, engine)

    def respond(
        self, method: str, target: str, body: bytes, forward: Callable[[], Response]
    ) -> Response | None:
        self.asked.append(target.partition("?")[0].partition("/v1.41")[2])
        return forward()


def test_what_costs_an_engine_much_is_asked_for_once_or_where_it_matters(bench: Bench) -> None:
    """Podman starts a dozen programs for `/version` and for `/info`."""
    between = _NotingSocket(bench.running.folder / "counting.sock", str(bench.running.path))
    try:
        containers = Containers(
            find_engine({"DOCKER_HOST": f"unix://{between.path}"}), "default.n1", bench.folder
        )
        containers.fetch(app("8", {"name": "s"}), bench.volumes)
        containers.usage(containers.observe())
        assert (between.asked.count("/version"), between.asked.count("/info")) == (1, 0)
        limited = app("9", {"name": "s", "resources": {"limits": {"memory": "64Mi"}}})
        containers.fetch(limited, bench.volumes)
        assert between.asked.count("/info") == 1
    finally:
        between.close()


def test_services_reach_each_other_by_name_and_the_node_by_port(bench: Bench) -> None:
    port = free_port()
    server = {
        "name": "server",
        "command": ["sh", "-c", "echo hello > /www/index.html; httpd -f -p 80 -h /www"],
        "ports": [{"containerPort": 80, "hostPort": port, "hostIP": "127.0.0.1"}],
    }
    script = "until wget -q -O- http://server/; do sleep 0.1; done"
    client = {**sh(script), "name": "client"}
    bench.run(app("1", server, client))
    ended = bench.wait(lambda: next(i for i in bench.instances() if i.state == EXITED))
    assert "hello" in bench.output(ended)
    probe = ProbeDefinition("httpGet", port=port, host="127.0.0.1", timeout=5)
    (running,) = [i for i in bench.instances() if i.state == RUNNING]
    assert bench.containers.check(running, probe) == ""


def test_a_port_that_is_taken_is_the_cause(bench: Bench) -> None:
    port = free_port()
    taken = [{"containerPort": 80, "hostPort": port}]
    one = app("1", {"name": "a", "args": SERVE, "ports": taken})
    bench.run(one)
    two = app("2", {"name": "b", "args": SERVE, "ports": taken})
    made = [i for i in bench.create(two) if i.slot.service == "b"]
    with pytest.raises(RuntimeFailure) as error:
        bench.containers.carry_out(Start(made[0]), None, bench.volumes)
    assert error.value.reason == FailureReason.PORT


def test_probes_look_inside(bench: Bench) -> None:
    (one,) = bench.run(app("1", {"name": "s", "args": SERVE}))
    check = bench.containers.check
    missing = ProbeDefinition("httpGet", port=80, path="/nothing", timeout=5)
    bench.wait(lambda: check(one, missing) == "GET /nothing on port 80: HTTP 404")
    assert check(one, ProbeDefinition("tcpSocket", port=80, timeout=5)) == ""
    assert check(one, ProbeDefinition("tcpSocket", port=81, timeout=1)) != ""
    run = ProbeDefinition("exec", command=("sh", "-c", "exit 0"), timeout=10)
    assert check(one, run) == ""
    fails = ProbeDefinition("exec", command=("sh", "-c", "echo no; exit 4"), timeout=10)
    assert check(one, fails) == "the command exited with code 4: no"
    slow = ProbeDefinition("exec", command=("sleep", "5"), timeout=1)
    assert check(one, slow) == "the command took longer than 1 s"


def test_files_of_a_config_change_inside_a_running_container(bench: Bench) -> None:
    def body(version: str) -> dict[str, Any]:
        mounts = [{"name": "v", "mountPath": "/conf"}]
        volume = {"name": "v", "config": {"name": "c", "version": version}}
        service = {"name": "s", "image": IMAGE, "args": SERVE, "volumeMounts": mounts}
        return {"name": "web", "version": version, "services": [service], "volumes": [volume]}

    (one,) = bench.run(bench.put(body("1"), c={"a": "old", "gone": "x"}))

    def inside(script: str) -> str:
        probe = ProbeDefinition("exec", command=("sh", "-c", f"{script}; exit 9"), timeout=10)
        return bench.containers.check(one, probe).partition("code 9")[2][2:]

    assert inside("cat /conf/a") == "old"
    bench.put(body("2"), c={"a": "new"})
    assert inside("cat /conf/a; ls /conf") == "newa"
    assert "Read-only" in inside("touch /conf/b 2>&1")
    assert bench.instances() == [one]


def test_an_empty_directory_is_shared_and_a_limited_one_is_in_memory(bench: Bench) -> None:
    volumes = [
        {"name": "d", "emptyDir": {}},
        {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]
    mounts = [{"name": "d", "mountPath": "/d"}, {"name": "m", "mountPath": "/m"}]
    fill = "head -c 3000000 /dev/zero > /m/x; echo $? > /d/code; ls -ld /d"
    writer = {**sh(fill.replace("head", "busybox head")), "volumeMounts": mounts}
    reader = {
        **sh("until cat /r/code 2>/dev/null; do sleep 0.1; done"),
        "name": "r",
        "volumeMounts": [{"name": "d", "mountPath": "/r"}],
    }
    bench.run(app("1", writer, reader, volumes=volumes))
    bench.wait(lambda: all(i.state == EXITED for i in bench.instances()))
    ends = {i.slot.service: bench.output(i) for i in bench.instances()}
    assert ends["r"].splitlines()[-1] == "1"
    assert "drwxrwxrwx" in ends["s"]
    for instance in bench.instances():
        bench.containers.carry_out(Remove(instance), None, bench.volumes)
    bench.containers.forget("web")
    assert not (bench.running.engine.call("GET", "/volumes") or {}).get("Volumes")


@pytest.mark.parametrize(
    ("volume", "why"),
    [
        ({"path": "/nowhere/x", "type": "Directory"}, "no Directory"),
        ({"path": "/etc", "type": "File"}, "no File"),
    ],
)
def test_a_host_path_has_to_be_of_its_type(bench: Bench, volume: dict[str, str], why: str) -> None:
    mounts = [{"name": "h", "mountPath": "/h"}]
    volumes = [{"name": "h", "hostPath": volume}]
    with pytest.raises(RuntimeFailure, match=why):
        bench.create(app("1", {**sh("true"), "volumeMounts": mounts}, volumes=volumes))


def test_what_no_engine_can_do_is_refused_by_name(bench: Bench) -> None:
    volumes = [{"name": "d", "emptyDir": {"sizeLimit": "1Mi"}}]
    with pytest.raises(RuntimeFailure) as error:
        bench.containers.fetch(app("1", volumes=volumes), bench.volumes)
    assert error.value.reason == FailureReason.REFUSED
    assert "volumes[0].emptyDir.sizeLimit" in str(error.value)


def test_usage_is_that_of_the_engine(bench: Bench) -> None:
    bench.run(app("1", sh("a=0; while true; do a=$((a+1)); done")))
    (one,) = bench.instances()
    bench.containers.usage([one])
    used = bench.wait(
        lambda: next(u for u in bench.containers.usage([one]).values() if u.cpu > 0.1)
    )
    assert 0 < used.memory < 2**26


def test_logs_have_an_end_a_beginning_and_can_be_followed(bench: Bench) -> None:
    (one,) = bench.run(app("1", sh("i=0; while true; do echo $i; i=$((i+1)); sleep 0.05; done")))
    bench.wait(lambda: "5\n" in bench.output(one))
    tail = b"".join(bench.containers.logs(one, lines=2)).decode()
    assert len(tail.splitlines()) == 2
    began, pieces = time.monotonic(), b""
    for piece in bench.containers.logs(one, lines=1, follow=1.0):
        pieces += piece
    assert 0.5 < time.monotonic() - began < 5
    assert len(pieces.splitlines()) > 3


def registry_app(image: str, secret: bool, **fields: Any) -> dict[str, Any]:  # noqa: FBT001
    volumes = [{"name": "reg", "secret": {"name": "reg", "version": "1"}}] if secret else []
    registries = [{"name": "reg", "version": "1"}] if secret else []
    service = {**sh("true"), "image": image, **fields}
    body = {"name": "web", "version": "1", "services": [service]}
    return {**body, "volumes": volumes, "registries": registries}


def test_an_image_is_pulled_with_the_password_and_pruned_when_no_version_needs_it(
    bench: Bench, registry: RunningRegistry
) -> None:
    image = registry.push(bench.running.engine, IMAGE, f"team/{bench.running.kind}:1")
    releases = bench.volumes.releases
    releases.put(registry_app(image, secret=False), [])
    denied = releases.app("web", "1")
    assert bench.containers.missing(denied) == [image]
    with pytest.raises(RuntimeFailure) as error:
        bench.containers.fetch(denied, bench.volumes)
    # Docker tries a registry on loopback again without TLS, and tells the error of that.
    assert error.value.reason == FailureReason.REGISTRY or "HTTPS server" in str(error.value)
    encoded = {k: _base64(v) for k, v in registry.secret().items()}
    secret = {"kind": "secret", "value": {"name": "reg", "version": "1", "data": encoded}}
    releases.put(registry_app(image, secret=True), [secret])
    allowed = releases.app("web", "1")
    bench.containers.fetch(allowed, bench.volumes)
    assert bench.containers.missing(allowed) == []
    bench.containers.prune([allowed])
    assert bench.containers.missing(allowed) == []
    bench.containers.prune([])
    assert bench.containers.missing(allowed) == [image]
    assert bench.containers.missing(app("1", sh("true"))) == []  # it was not pulled here
    gone = registry_app(f"{registry.address}/team/none:1", secret=True)
    releases.put(gone, [secret])
    with pytest.raises(RuntimeFailure) as error:
        bench.containers.fetch(releases.app("web", "1"), bench.volumes)
    assert error.value.reason in {FailureReason.IMAGE, FailureReason.REGISTRY}
    never = registry_app(image, secret=False, imagePullPolicy="Never")
    releases.put(never, [])
    with pytest.raises(RuntimeFailure, match="imagePullPolicy"):
        bench.containers.fetch(releases.app("web", "1"), bench.volumes)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_times_of_engines_are_read() -> None:
    assert moment_of("2026-11-28T04:00:00.5Z") == moment_of("2026-11-28T06:00:00.5+02:00")
    assert moment_of("0001-01-01T00:00:00Z") == 0.0
    assert moment_of(None) == 0.0

"""Apps that run, change, fail and come back, on real engines and without a server."""

import base64
import contextlib
import http.client
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesync_agent.containers import Containers
from edgesync_agent.releases import Releases
from edgesync_agent.runtime import FailureReason
from edgesync_agent.supervisor import Supervisor
from tests.edgesync_agent.engines import (
    IMAGE,
    NEEDS_DOCKER,
    NEEDS_PODMAN,
    RunningEngine,
    remove_all,
    running_engine,
)
from tests.edgesync_agent.registry import RunningRegistry
from tests.edgesync_agent.supervised import NODE, supervisor_of
from tests.edgesync_agent.test_containers import wait_for
from tests.ports import free_port


class SupervisedMachine:
    """A machine with an engine and, from time to time, an agent; *home* is its disk."""

    def __init__(self, running: RunningEngine, home: Path) -> None:
        self.running = running
        self.home = home
        self.port = free_port()
        self.lines: list[str] = []
        self.supervisor: Supervisor | None = None
        self.releases = Releases(home / "apps")

    @property
    def secrets(self) -> Path:
        return self.home / "memory"

    def boot(self) -> Supervisor:
        """Start an agent."""
        self.supervisor = supervisor_of(self.running.engine, self.home, self.lines.append)
        self.supervisor.start()
        return self.supervisor

    def kill(self) -> None:
        """End the agent; what runs goes on."""
        if self.supervisor is not None:
            self.supervisor.close()
            self.supervisor.thread.join(30)
            self.supervisor = None

    def deliver(self, *bodies: dict[str, Any], **data: dict[str, str]) -> None:
        """Have these apps desired, with their configs, as the server would."""
        for body in bodies:
            values = []
            for volume in body.get("volumes", ()):
                for key, kind in (("config", "configuration"), ("secret", "secret")):
                    if key in volume:
                        name = volume[key]["name"]
                        values.append(_value(kind, name, body["version"], data[name]))
            self.releases.put(body, values)
        versions = {body["name"]: body["version"] for body in bodies}
        if self.supervisor is not None:
            self.supervisor.desire(versions)
        else:
            self.releases.keep_desired(versions)

    def entry(self, name: str = "web") -> dict[str, Any]:
        assert self.supervisor is not None
        found = [one for one in self.supervisor.statuses() if one["name"] == name]
        return found[0] if found else {}

    def wait(self, status: str, version: str, name: str = "web") -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            one = self.entry(name)
            is_so = one.get("status") == status and one.get("version") == version
            return one if is_so else None

        try:
            found: dict[str, Any] = wait_for(look)
        except AssertionError as error:
            raise AssertionError(f"{self.entry(name)}\n" + "\n".join(self.lines)) from error
        return found

    def get(self, path: str = "/") -> str:
        """What the app's port answers; empty where it does not."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.read().decode().strip() if answer.status == 200 else ""
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            connection.close()


def _value(kind: str, name: str, version: str, data: dict[str, str]) -> dict[str, Any]:
    if kind == "secret":
        data = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return {"kind": kind, "value": {"name": name, "version": version, "data": data}}


def web(version: str, page: str, port: int, **fields: Any) -> dict[str, Any]:
    """An app that serves a page of its own and what its config holds."""
    probe = {"httpGet": {"port": 80, "path": fields.pop("probe", "/")}, "periodSeconds": 1}
    script = f"echo {page} > /www/index.html; ln -s /conf /www/conf; exec httpd -f -p 80 -h /www"
    service = {
        "name": "s",
        "image": IMAGE,
        "command": ["sh", "-c", script],
        "ports": [{"containerPort": 80, "hostPort": port, "hostIP": "127.0.0.1"}],
        "readinessProbe": probe,
        "volumeMounts": [
            {"name": "c", "mountPath": "/conf"},
            {"name": "p", "mountPath": "/secret"},
        ],
        **fields.pop("service", {}),
    }
    volumes = [
        {"name": "c", "config": {"name": "conf", "version": version}},
        {"name": "p", "secret": {"name": "password", "version": version}},
    ]
    body = {"name": "web", "version": version, "services": [service], "volumes": volumes}
    return {**body, **fields}


FILES = {"conf": {"a": "1"}, "password": {"pw": "s3cret"}}


@contextlib.contextmanager
def machine_with(running: RunningEngine, home: Path) -> Iterator[SupervisedMachine]:
    one = SupervisedMachine(running, home)
    try:
        yield one
    finally:
        one.kill()
        remove_all(running.engine)


@pytest.fixture
def machine(running: RunningEngine, tmp_path: Path) -> Iterator[SupervisedMachine]:
    """With each kind of engine."""
    with machine_with(running, tmp_path / "home") as one:
        yield one


@pytest.fixture(params=[pytest.param("docker", marks=NEEDS_DOCKER)])
def docker_machine(
    request: pytest.FixtureRequest, engines: dict[str, RunningEngine], tmp_path: Path
) -> Iterator[SupervisedMachine]:
    """For what does not depend on the engine."""
    with machine_with(engines[request.param], tmp_path / "home") as one:
        yield one


class ScriptedClient:
    """Asks the app's port without a pause, and counts what was not answered."""

    def __init__(self, machine: SupervisedMachine) -> None:
        self.machine = machine
        self.answers: list[str] = []
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self) -> "ScriptedClient":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self.thread.join(timeout=60)

    def _run(self) -> None:
        while not self.is_over.wait(0.01):
            self.answers.append(self.machine.get())


def test_what_is_offered_is_here_before_it_runs(docker_machine: SupervisedMachine) -> None:
    machine = docker_machine
    supervisor = machine.boot()
    machine.deliver(web("1", "one", machine.port), **FILES)
    machine.wait("Running", "1")
    later = {"name": "later", "version": "5", "services": [{"name": "o", "image": IMAGE}]}
    for body in (web("2", "two", machine.port), later):
        values = [
            _value("configuration", "conf", "2", FILES["conf"]),
            _value("secret", "password", "2", FILES["password"]),
        ]
        machine.releases.put(body, values if body["name"] == "web" else [])
    supervisor.prepare({"web": "2", "later": "5"})
    wait_for(lambda: supervisor.is_prepared("web", "2") and supervisor.is_prepared("later", "5"))
    assert (machine.entry()["version"], machine.get()) == ("1", "one")
    assert machine.entry("later") == {}
    assert machine.releases.has("later", "5")
    supervisor.desire({"web": "2"})
    machine.wait("Running", "2")
    assert machine.get() == "two"
    assert machine.releases.has("later", "5")  # what is offered is not pruned


def test_two_apps_run_change_and_go(machine: SupervisedMachine) -> None:
    machine.boot()
    other = {
        "name": "other",
        "version": "3",
        "services": [{"name": "o", "image": IMAGE, "args": ["sleep", "99"]}],
    }
    machine.deliver(web("1", "one", machine.port), other, **FILES)
    entry = machine.wait("Running", "1")
    machine.wait("Running", "3", "other")
    assert machine.get() == "one"
    (instance,) = entry["instances"].values()
    assert (instance["serviceName"], instance["status"], instance["restarts"]) == (
        "s",
        "Running",
        0,
    )
    # A config that changes reaches the running container, which goes on.
    changed = {**FILES, "conf": {"a": "2"}}
    machine.deliver(web("2", "one", machine.port), other, **changed)
    entry = machine.wait("Running", "2")
    assert machine.get("/conf/a") == "2"
    assert list(entry["instances"]) == [instance["name"]]
    # A container that is removed by hand is made again, and that is reported.
    engine = machine.running.engine
    (key,) = [one.key for one in _observed(machine) if one.slot.app == "other"]
    engine.call("DELETE", f"/containers/{key}", query={"force": True})
    wait_for(lambda: machine.entry("other").get("drift"))
    machine.wait("Running", "3", "other")
    # What is not desired any more goes with all that it had.
    machine.deliver(other)
    wait_for(lambda: not machine.entry())
    assert {one.slot.app for one in _observed(machine)} == {"other"}
    assert not list((machine.home / "volumes").glob("web*"))
    assert not list(machine.secrets.glob("web*"))


def _observed(machine: SupervisedMachine) -> list[Any]:
    return list(Containers(machine.running.engine, NODE, machine.home).observe())


def test_secrets_are_files_in_memory_and_nowhere_in_the_engine(
    docker_machine: SupervisedMachine,
) -> None:
    machine = docker_machine
    machine.boot()
    machine.deliver(web("1", "one", machine.port), **FILES)
    machine.wait("Running", "1")
    (file,) = [one for one in machine.secrets.rglob("pw") if not one.is_symlink()]
    assert file.stat().st_mode & 0o777 == 0o444
    assert machine.secrets.stat().st_mode & 0o777 == 0o700
    (instance,) = _observed(machine)
    seen = machine.running.engine.call("GET", f"/containers/{instance.key}/json")
    assert "s3cret" not in str(seen)


def test_a_version_that_is_never_ready_is_taken_back_while_the_old_one_serves(
    machine: SupervisedMachine,
) -> None:
    machine.boot()
    machine.deliver(web("1", "one", machine.port), **FILES)
    machine.wait("Running", "1")
    broken = web("2", "two", machine.port, probe="/none", progressDeadlineSeconds=3)
    with ScriptedClient(machine) as client:
        machine.deliver(broken, **FILES)
        entry = machine.wait("Failed", "2")
    assert set(client.answers) == {"one"}
    failure = entry["failure"]
    assert (failure["reason"], failure["service"]) == (FailureReason.READINESS, "s")
    assert failure["seconds"] in {3, 4}
    assert "HTTP 404" in failure["message"]
    assert entry["running"] == "1"
    # A good one follows; the gap is the switch alone.
    with ScriptedClient(machine) as client:
        machine.deliver(web("3", "three", machine.port), **FILES)
        machine.wait("Running", "3")
        wait_for(lambda: client.answers[-1] == "three")
    missed = client.answers.count("")
    assert set(client.answers) <= {"one", "", "three"}
    assert client.answers.index("three") - client.answers.index("") == missed


def test_a_program_that_ends_is_the_cause_with_code_and_log(
    docker_machine: SupervisedMachine,
) -> None:
    machine = docker_machine
    machine.boot()
    machine.deliver(web("1", "one", machine.port), **FILES)
    machine.wait("Running", "1")
    ends = {"command": ["sh", "-c", "echo no database; exit 7"]}
    # Not tried beside the old one: that is stopped, and started again.
    fields = {"workload": "statefulset", "service": ends}
    machine.deliver(web("2", "two", machine.port, **fields), **FILES)
    entry = machine.wait("Failed", "2")
    failure = entry["failure"]
    assert (failure["reason"], failure["exitCode"]) == (FailureReason.EXIT, 7)
    assert "no database" in failure["log"]
    wait_for(lambda: machine.get() == "one")


def test_a_registry_that_is_down_leaves_the_old_version(
    docker_machine: SupervisedMachine, registry: RunningRegistry
) -> None:
    machine = docker_machine
    image = registry.push(machine.running.engine, IMAGE, f"app/{machine.running.kind}:2")
    machine.boot()
    machine.deliver(web("1", "one", machine.port), **FILES)
    machine.wait("Running", "1")
    registry.stop()
    try:
        body = web("2", "two", machine.port, service={"image": image})
        body["registries"] = [{"name": "reg", "version": "1"}]
        body["volumes"].append({"name": "reg", "secret": {"name": "reg", "version": "1"}})
        machine.deliver(body, **FILES, reg=registry.secret())
        entry = wait_for(
            lambda: "cannot pull" in machine.entry().get("cause", "") and machine.entry()
        )
        assert (entry["status"], entry["running"]) == ("Pending", "1")
        assert machine.get() == "one"
    finally:
        registry.start()
    machine.wait("Running", "2")
    assert machine.get() == "two"


def test_apps_come_back_with_their_engine(machine: SupervisedMachine) -> None:
    machine.boot()
    machine.deliver(web("1", "one", machine.port), **FILES)
    machine.wait("Running", "1")
    machine.running.stop()
    wait_for(lambda: machine.entry()["status"] == "Pending")
    machine.running.start()
    machine.wait("Running", "1")
    wait_for(lambda: machine.get() == "one")


def test_after_a_reboot_the_last_state_runs_without_a_server(
    docker_machine: SupervisedMachine,
) -> None:
    machine = docker_machine
    machine.boot()
    machine.deliver(web("1", "one", machine.port), **FILES)
    machine.wait("Running", "1")
    machine.kill()
    for one in _observed(machine):  # as after a reboot: nothing runs, and memory is empty
        machine.running.engine.call("POST", f"/containers/{one.key}/kill", allow=(409,))
    shutil.rmtree(machine.secrets)
    machine.boot()
    machine.wait("Running", "1")
    wait_for(lambda: machine.get() == "one")
    assert [one.name for one in machine.secrets.rglob("pw") if not one.is_symlink()] == ["pw"]


@pytest.mark.parametrize("kind", [pytest.param("podman", marks=NEEDS_PODMAN)])
def test_a_full_disk_refuses_pulls_with_a_cause(
    kind: str, tmp_path: Path, registry: RunningRegistry
) -> None:
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "small", str(place)], check=True, timeout=60
    )
    try:
        with running_engine(kind, place / "engine", registry) as running:
            image = registry.push(running.engine, IMAGE, "app/full:1")
            machine = SupervisedMachine(running, tmp_path / "home")
            machine.boot()
            machine.deliver(web("1", "one", machine.port), **FILES)
            machine.wait("Running", "1")
            filler = place / "filler"
            free = shutil.disk_usage(place).free
            filler.write_bytes(bytes(max(free - 3 * 2**20, 0)))
            body = web("2", "two", machine.port, service={"image": image})
            body["registries"] = [{"name": "reg", "version": "1"}]
            body["volumes"].append({"name": "reg", "secret": {"name": "reg", "version": "1"}})
            machine.deliver(body, **FILES, reg=registry.secret())
            wait_for(lambda: "no image is pulled" in machine.entry().get("cause", ""))
            assert machine.get() == "one"
            filler.unlink()
            machine.wait("Running", "2")
            machine.kill()
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True, timeout=60)

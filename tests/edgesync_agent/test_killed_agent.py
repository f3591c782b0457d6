"""`kill -9` of the agent at every change that it makes in the engine: it converges afterwards."""

import contextlib
import multiprocessing
import os
import queue
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edgesync_agent.containers import Containers
from edgesync_agent.releases import Releases
from edgesync_agent.runtime import Instance
from edgesync_agent.situation import live_slots
from tests.edgesync_agent import supervised
from tests.edgesync_agent.engine_socket import KillingSocket
from tests.edgesync_agent.engines import IMAGE, NEEDS_DOCKER, RunningEngine, remove_all
from tests.edgesync_agent.test_containers import wait_for
from tests.ports import free_port

UNITS = 20
LIVES = 40  # of agents in one step
SLEEP = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"
STEPS = ("install", "update", "take back", "delete")
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([supervised.__name__])
_MAKES = {"POST /containers/create", "POST /containers/ID/start"}
_ENDS = {"POST /containers/ID/stop", "DELETE /containers/ID"}
_VOLUME = {"POST /volumes/create", "DELETE /volumes/ID"}
CHANGES = {
    "install": {"POST /networks/create", "POST /volumes/create", *_MAKES},
    "update": {*_MAKES, *_ENDS, *_VOLUME},  # an init service and a trial, then the switch
    "take back": {*_MAKES, *_ENDS, "POST /volumes/create"},
    "delete": {*_ENDS, "DELETE /networks/ID", "DELETE /volumes/ID"},
}


def shell(name: str, script: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script], **fields}


class KilledMachine:
    """A machine of its own on a common engine: a node, a disk and a port."""

    def __init__(
        self, running: RunningEngine, folder: Path, name: str, each: int, *, is_after: bool
    ) -> None:
        self.node = f"default.{name}"
        self.home = folder / name
        self.engine = running.engine
        self.socket = KillingSocket(
            folder / f"{name}.sock", str(running.path), each, is_after=is_after
        )
        self.port = free_port()
        self.releases = Releases(self.home / "apps")

    def body(self, version: str) -> dict[str, Any]:
        """Version 2 changes one service and has an init service, 3 ends at once."""
        script = f"echo {version}; {SLEEP}" if version != "3" else "echo no; exit 3"
        ports = [{"containerPort": 80, "hostPort": self.port, "hostIP": "127.0.0.1"}]
        mounts = [{"name": "c", "mountPath": "/conf"}, {"name": "d", "mountPath": "/data"}]
        fields = {"restart": {"policy": "Never"}} if version == "3" else {}
        body: dict[str, Any] = {
            "name": "web",
            "version": version,
            "services": [
                shell("changes", script, ports=ports, volumeMounts=mounts, **fields),
                shell("stays", SLEEP),
            ],
            "volumes": [
                {"name": "c", "config": {"name": "c", "version": version}},
                {"name": "d", "emptyDir": {}},
            ],
        }
        if version == "2":
            body["initServices"] = [shell("init", "exit 0")]
        if version == "3":
            body["workload"] = "statefulset"  # nothing is tried beside the old version
        return body

    def desire(self, version: str) -> None:
        """Have the disk of the machine as after the server's last message."""
        if not version:
            self.releases.keep_desired({})
            return
        value = {"name": "c", "version": version, "data": {"a": version}}
        self.releases.put(self.body(version), [{"kind": "configuration", "value": value}])
        self.releases.keep_desired({"web": version})

    def live(self, step: str) -> bool:
        """Run an agent until it is killed, or has done *step*; whether it was killed."""
        given = str(self.socket.path), str(self.home), self.node
        process = _PROCESSES.Process(target=supervised.run, args=given, daemon=True)
        process.start()
        assert process.pid is not None
        self.socket.victim.put(process.pid)
        try:
            wait_for(lambda: not process.is_alive() or self.has_done(step), UNITS)
            return not process.is_alive()
        except AssertionError as error:
            raise AssertionError(self.described(step)) from error
        finally:
            process.kill()
            process.join(30)
            with contextlib.suppress(queue.Empty):
                self.socket.victim.get_nowait()

    def has_done(self, step: str) -> bool:
        """Whether disk and engine are as the step is to leave them, with nothing besides."""
        memory = self.releases.memory("web")
        if step == "delete":
            return not (self.home / "apps" / "web").exists() and self.left() == []
        version, failed = {"install": ("1", ""), "update": ("2", ""), "take back": ("2", "3")}[step]
        if (memory.live, memory.good, memory.failed) != (version, version, failed):
            return False
        slots = live_slots(self.releases.app("web", version))
        listed = self.containers()
        if len(listed) != len(slots) or any(one["State"] != "running" for one in listed):
            return False
        has_no_trial = not any("-trial" in one for one in self.left())
        return has_no_trial and {one.slot for one in self.observed()} == set(slots)

    def containers(self) -> list[Any]:
        query = {"all": True, "filters": {"label": [f"edgesync.node={self.node}"]}}
        return self.engine.call("GET", "/containers/json", query=query) or []

    def observed(self) -> list[Instance]:
        return list(Containers(self.engine, self.node, self.home).observe())

    def left(self) -> list[str]:
        """What the engine has of this node."""
        query = {"filters": {"label": [f"edgesync.node={self.node}"]}}
        networks = self.engine.call("GET", "/networks", query=query) or []
        volumes = (self.engine.call("GET", "/volumes", query=query) or {}).get("Volumes") or []
        names = [one["Name"] for one in (*networks, *volumes)]
        return [*(one["Id"] for one in self.containers()), *names]

    def described(self, step: str) -> str:
        """What there is, for a failure."""
        seen = [self.node, step, self.releases.memory("web"), *self.socket.killed_at]
        return "\n".join(map(str, [*seen, *self.observed(), *self.left()]))


def survive(machine: KilledMachine) -> dict[str, list[str]]:
    """Take every step with agents that are killed on the way; the changes where they were.

    Each agent finds what the one before has left, on disk and in the engine, and goes on.
    """
    moments: dict[str, list[str]] = {}
    stays = ""
    for step, version in zip(STEPS, ("1", "2", "3", ""), strict=True):
        machine.desire(version)
        machine.socket.begin()
        while machine.live(step):
            assert len(machine.socket.killed_at) < LIVES, machine.socket.killed_at
        moments[step] = machine.socket.killed_at
        if version:
            (key,) = [one.key for one in machine.observed() if one.slot.service == "stays"]
            assert key == (stays or key), f"{step}: a service that did not change was made anew"
            stays = key
    return moments


@pytest.fixture(params=[pytest.param("docker", marks=NEEDS_DOCKER)])
def docker(
    request: pytest.FixtureRequest, engines: dict[str, RunningEngine]
) -> Iterator[RunningEngine]:
    running = engines[request.param]
    yield running
    remove_all(running.engine)


@pytest.mark.timeout(360)
def test_agents_killed_at_every_change_converge(docker: RunningEngine) -> None:
    """Before and after each change; and after four of them, which share an agent's memory."""
    lives = [("before", 1), ("after", 1), ("before", 4), ("after", 4)]

    def work(moment: str, each: int) -> dict[str, list[str]]:
        is_after = moment == "after"
        machine = KilledMachine(docker, Path(folder), f"{moment}{each}", each, is_after=is_after)
        try:
            return survive(machine)
        finally:
            machine.socket.close()

    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory) as folder, ThreadPoolExecutor(4) as threads:
        found = list(threads.map(work, *zip(*lives, strict=True)))
    for moments in found[:2]:
        assert {step: set(moments[step]) for step in STEPS} == CHANGES
    for moments in found[2:]:
        assert all(moments.values()), moments

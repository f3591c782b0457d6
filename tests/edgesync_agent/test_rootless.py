"""The agent of an ordinary user with the user's own engine: what runs, and what is refused."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgesync_agent.abilities import (
    CPU,
    CPU_SHARES,
    MEMORY,
    Abilities,
    abilities_of,
    check_for_engine,
)
from edgesync_agent.containers import Containers
from edgesync_agent.engine import find_engine, socket_paths
from edgesync_agent.fields import SpecError
from edgesync_agent.parsing import read_app
from edgesync_agent.runtime import FailureReason, RuntimeFailure
from tests.edgesync_agent.engines import IMAGE, ROOTLESS, RunningEngine, rootless_engine, run_as
from tests.edgesync_agent.supervised import NODE
from tests.edgesync_agent.test_containers import wait_for
from tests.edgesync_agent.test_supervisor import SupervisedMachine

USER_ID = 65534
SERVE = "cat /etc/c/a /run/s/key > /www/index.html; exec httpd -f -p 8080 -h /www"
ALL = frozenset({CPU, CPU_SHARES, MEMORY})
PODMAN = Abilities(is_podman=True, is_rootless=True, lacks=ALL, first_port=1024)


@pytest.fixture(scope="module", params=ROOTLESS)
def running(request: pytest.FixtureRequest) -> Iterator[RunningEngine]:
    with rootless_engine(request.param) as one:
        yield one


def web(
    machine: SupervisedMachine, version: str, script: str = SERVE, **fields: Any
) -> dict[str, Any]:
    port = {"containerPort": 8080, "hostPort": machine.port, "hostIP": "127.0.0.1"}
    service = {
        "name": "s",
        "image": IMAGE,
        "command": ["sh", "-c", script],
        "ports": [port],
        "volumeMounts": [
            {"name": "c", "mountPath": "/etc/c"},
            {"name": "s", "mountPath": "/run/s"},
        ],
        "readinessProbe": {
            "httpGet": {"port": 8080},
            "periodSeconds": 1,
            "failureThreshold": 2,
        },
        **fields,
    }
    volumes = [
        {"name": "c", "config": {"name": "c", "version": version}},
        {"name": "s", "secret": {"name": "s", "version": version}},
    ]
    return {
        "name": "web",
        "version": version,
        "services": [service],
        "volumes": volumes,
        "progressDeadlineSeconds": 6,
    }


def test_an_app_of_an_ordinary_user_runs_is_taken_back_and_limits_are_refused(
    running: RunningEngine,
) -> None:
    user = running.user
    assert user is not None
    run_as(user.pw_uid, user.pw_gid, _run_apps, replace(running, process=None))


def _run_apps(running: RunningEngine) -> None:
    home = running.folder / "agent"
    home.mkdir()
    machine = SupervisedMachine(running, home)
    machine.boot()
    try:
        _check_apps(machine, running)
    finally:
        machine.kill()


def _check_apps(machine: SupervisedMachine, running: RunningEngine) -> None:
    found = find_engine(running.variables)
    assert found.path == str(running.path)
    containers = Containers(found, NODE, machine.home)
    assert containers.is_rootless
    assert containers.describe().startswith(f"{running.kind}://")

    data = {"c": {"a": "file"}, "s": {"key": "secret"}}
    machine.deliver(web(machine, "1"), **data)
    machine.wait("Running", "1")
    assert machine.get() == "filesecret"
    (key,) = [one.key for one in containers.observe()]
    used = containers.usage(containers.observe())
    lacks = abilities_of(found, is_rootless=True).lacks
    assert (key in used) == (MEMORY not in lacks), "no figures rather than wrong ones"

    if lacks == ALL:
        limited = web(machine, "2", resources={"limits": {"memory": "64Mi"}})
        machine.deliver(limited, **data)
        wait_for(lambda: "services[0].resources.limits.memory" in machine.entry()["cause"])
        assert machine.get() == "filesecret"

    machine.deliver(web(machine, "3", "echo no; exit 3"), **data)
    failure = machine.wait("Failed", "3")["failure"]
    assert (failure["reason"], failure["exitCode"]) == (FailureReason.EXIT, 3)
    assert machine.entry()["running"] == "1"
    assert machine.get() == "filesecret"
    machine.deliver()
    wait_for(lambda: containers.observe() == [])


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"resources": {"limits": {"cpu": "500m"}}}, "resources.limits.cpu"),
        ({"resources": {"limits": {"memory": "64Mi"}}}, "resources.limits.memory"),
        ({"resources": {"requests": {"cpu": "500m"}}}, "resources.requests.cpu"),
        ({"resources": {"requests": {"memory": "64Mi"}}}, "resources.requests.memory"),
        ({"ports": [{"containerPort": 80, "hostPort": 80}]}, "ports[0].hostPort"),
        ({"devices": [{"devicePath": "/dev/fuse", "policy": "r"}]}, "devices[0].policy"),
    ],
)
@pytest.mark.parametrize("part", ["services", "initServices"])
def test_what_an_engine_without_root_cannot_do_is_refused_by_name(
    fields: dict[str, Any], name: str, part: str
) -> None:
    service = {"name": "s", "image": IMAGE}
    body = {"name": "web", "version": "1", "services": [service]}
    app = read_app({**body, part: [{**service, "name": "t", **fields}]})
    check_for_engine(app, Abilities())
    with pytest.raises(SpecError) as error:
        check_for_engine(app, PODMAN)
    assert error.value.field == f"{part}[0].{name}"


def test_what_the_user_was_given_is_not_refused() -> None:
    limits = {"limits": {"cpu": "1", "memory": "64Mi"}}
    ports = [{"containerPort": 80, "hostPort": 1024}, {"containerPort": 81}]
    service = {"name": "s", "image": IMAGE, "resources": limits, "ports": ports}
    app = read_app({"name": "web", "version": "1", "services": [service]})
    check_for_engine(app, replace(PODMAN, lacks=frozenset()))
    with pytest.raises(SpecError, match=r"limits\.cpu"):
        check_for_engine(app, replace(PODMAN, lacks=frozenset({CPU, CPU_SHARES})))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_socket_that_the_user_may_not_see_is_none(tmp_path: Path) -> None:
    """As `/run/podman` of root is on Debian."""
    os.chmod(tmp_path, 0o700)
    run_as(USER_ID, USER_ID, _find_none, tmp_path)


def _find_none(folder: Path) -> None:
    with pytest.raises(RuntimeFailure, match="no Docker or Podman socket found"):
        find_engine({"DOCKER_HOST": f"unix://{folder}/podman.sock"})


def test_an_ordinary_user_prefers_an_engine_without_root() -> None:
    variables = {"XDG_RUNTIME_DIR": "/run/user/1000"}
    own = ["/run/user/1000/docker.sock", "/run/user/1000/podman/podman.sock"]
    assert socket_paths(variables, is_root=False)[:2] == own
    assert socket_paths(variables, is_root=True)[2:] == own
    assert socket_paths({}, is_root=False) == socket_paths({}, is_root=True)
    chosen = {**variables, "DOCKER_HOST": "unix:///a.sock"}
    assert socket_paths(chosen, is_root=False) == ["/a.sock"]

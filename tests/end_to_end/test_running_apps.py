"""An operator's app on a machine with Docker: from the installation command to real containers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.edgesync_agent.engines import (
    IMAGE,
    NEEDS_DOCKER,
    RunningEngine,
    running_engine,
)
from tests.edgesync_agent.registry import running_registry
from tests.end_to_end.conftest import Server, kv, make_batch, running_server, wait_for
from tests.end_to_end.sim import simulated
from tests.end_to_end.test_install_command import InstalledMachine, command_for, installed
from tests.plain_http import NO_TLS
from tests.ports import free_port

pytestmark = NEEDS_DOCKER

PORT = free_port()
CODE = "/var/lib/baetyl/code"
UP = {"httpGet": {"port": 80}, "periodSeconds": 1}


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[RunningEngine]:
    with ExitStack() as stack:
        registry = stack.enter_context(running_registry(tmp_path / "registry"))
        yield stack.enter_context(running_engine("docker", tmp_path / "docker", registry))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    runtimes = f"python3={IMAGE}"
    with running_server(tmp_path / "data", "--function-runtime", runtimes) as running:
        yield running


@pytest.fixture
def machine(tmp_path: Path, docker: RunningEngine) -> Iterator[InstalledMachine]:
    one = InstalledMachine(tmp_path / "machine")
    one.environment["DOCKER_HOST"] = f"unix://{docker.path}"
    with ExitStack() as stack:
        stack.callback(lambda: one.agent("stop"))
        yield one


def web(page: str, **probe: Any) -> dict[str, Any]:
    script = f"echo {page} > /www/index.html; ln -s /conf /www/conf; exec httpd -f -p 80 -h /www"
    return {
        "name": "web",
        "selector": "role=gateway",
        "services": [
            {
                "name": "s",
                "image": IMAGE,
                "command": ["sh", "-c", script],
                "ports": [{"containerPort": 80, "hostPort": PORT, "hostIP": "127.0.0.1"}],
                "volumeMounts": [{"name": "conf", "mountPath": "/conf", "readOnly": True}],
                "readinessProbe": probe or UP,
            }
        ],
        "volumes": [{"name": "conf", "config": {"name": "conf"}}],
        "progressDeadlineSeconds": 3,
    }


FUNCTION = {
    "name": "fn",
    "type": "function",
    "selector": "role=gateway",
    "services": [
        {
            "name": "f",
            "functionConfig": {"name": "code", "runtime": "python3"},
            "functions": [{"name": "hello", "handler": "index.handler"}],
            "args": [
                "sh",
                "-c",
                "cat /var/lib/baetyl/code/index.py /etc/baetyl/conf.yml; echo; sleep 99",
            ],
        }
    ],
}


def page(path: str = "/") -> str:
    try:
        answer = httpx.get(f"http://127.0.0.1:{PORT}{path}", verify=NO_TLS, timeout=2)
    except httpx.HTTPError:
        return ""
    return answer.text.strip() if answer.status_code == 200 else ""


def explained(api: httpx.Client, name: str) -> Any:
    apps = api.get("/v1/nodes/gate/explain").json()["apps"]
    return next(one for one in apps if one["name"] == name)


def has_run(api: httpx.Client, name: str) -> Callable[[], bool]:
    return lambda: bool(explained(api, name)["outcome"] == "converged")


def put(api: httpx.Client, path: str, body: dict[str, Any]) -> None:
    answer = api.put(path, json=body)
    assert answer.status_code == 200, answer.text


@pytest.mark.timeout(360)
def test_apps_run_change_and_go_back_on_a_machine_with_docker(
    server: Server, machine: InstalledMachine, docker: RunningEngine, tmp_path: Path
) -> None:
    with server.client() as api:
        labels = {"role": "gateway", "ring": "canary"}
        api.post("/v1/nodes", json={"name": "gate", "labels": labels})
        for config, key, text in (("conf", "a", "1"), ("code", "index.py", "def handler(): 0")):
            api.post("/v1/configs", json={"name": config, "data": [kv(key, text)]})
        for app in (web("one"), FUNCTION):
            answer = api.post("/v1/apps", json=app)
            assert answer.status_code == 200, answer.text
        installed(machine.run(command_for(api, "nodes/gate")))
        wait_for(lambda: page() == "one", "the app to serve")
        for name in ("web", "fn"):
            wait_for(has_run(api, name), f"{name} to run")
        assert_reported(api)
        # A new configuration reaches the container that runs.
        put(api, "/v1/configs/conf", {"data": [kv("a", "2")]})
        wait_for(lambda: page("/conf/a") == "2", "the new file")
        wait_for(has_run(api, "web"), "web to run again")
        with simulated(
            server, make_batch(api, labels={"role": "gateway"}), tmp_path / "sim", 1, interval=1
        ):
            assert_stopped_at_the_canary(api)
        # A version that does not come up goes back, and is explained.
        broken = web("two", httpGet={"port": 80, "path": "/none"}, periodSeconds=1)
        put(api, "/v1/apps/web", broken)
        assert_taken_back(api)
        # What is removed by hand comes back, and is an event.
        (key,) = [one["Id"] for one in _containers(docker, "fn")]
        docker.engine.call("DELETE", f"/containers/{key}", query={"force": True})
        wait_for(lambda: api.get("/v1/events?type=node.drifted").json()["items"], "the event")
        wait_for(lambda: len(_containers(docker, "fn")) == 1, "the container")
        # What is deleted goes.
        for name in ("web", "fn"):
            assert api.delete(f"/v1/apps/{name}").status_code == 200
        wait_for(lambda: not _containers(docker, ""), "the containers to be gone", units=30)


def assert_reported(api: httpx.Client) -> None:
    """The node reports its apps as they are, and the function has its code and its list."""
    report = api.get("/v1/nodes/gate/stats").json()["report"]
    assert report["node"]["containerRuntime"].startswith("docker://")
    (instance,) = report["appstats"][1]["instances"].values()
    assert (instance["serviceName"], instance["status"], instance["restarts"]) == (
        "s",
        "Running",
        0,
    )
    assert instance["createTime"]
    asked = api.post("/v1/nodes/gate/commands", json={"command": "logs", "app": "fn"}).json()
    answer = api.get(f"/v1/nodes/gate/commands/{asked['id']}?wait=20").json()
    assert "def handler" in str(answer), answer
    assert "index.handler" in str(answer)


POLICY = {
    "name": "careful",
    "apps": {"names": ["web"]},
    "stages": [{"name": "canary", "selector": "ring=canary", "soak": "10m"}],
    "failure": {"action": "rollback"},
}


def assert_stopped_at_the_canary(api: httpx.Client) -> None:
    """A version whose container exits is taken back, and reaches the canary only."""
    before = api.get("/v1/apps/web").json()["version"]

    def runs_before() -> list[str]:
        nodes = [one["name"] for one in api.get("/v1/nodes").json()["items"]]
        return [name for name in nodes if version_of(api, name) == before]

    wait_for(lambda: len(runs_before()) == 2, "the simulated node", units=30)
    assert api.post("/v1/rolloutpolicies", json=POLICY).status_code == 200
    crashing = web("two")
    crashing["services"][0]["command"][2] = "exit 3"
    put(api, "/v1/apps/web", crashing)
    bad = api.get("/v1/rollouts/web").json()["target"]

    def is_over() -> bool:
        return bool(api.get("/v1/rollouts/web").json()["state"] == "rolledBack")

    wait_for(is_over, "the rollout to be taken back", units=40)
    wait_for(lambda: page() == "one", "the version before")
    assert len(runs_before()) == 2
    (row,) = api.get("/v1/rollouts/web/nodes").json()["items"]
    assert (row["node"], row["state"], row["version"]) == ("gate", "returned", before)
    assert row["cause"].startswith(f"v{bad} "), row
    assert row["cause"].endswith(f"v{before} runs again"), row
    assert api.get("/v1/apps/web").json()["version"] == before
    for name in runs_before():
        sent = [
            app["version"]
            for deploy in api.get(f"/v1/nodes/{name}/deploys").json()["items"]
            for app in deploy["apps"]
            if app["name"] == "web"
        ]
        assert (bad in sent) == (name == "gate"), sent
    assert api.delete("/v1/rolloutpolicies/careful").status_code == 200


def version_of(api: httpx.Client, node: str) -> str:
    """The version of the app that the node reports."""
    report = api.get(f"/v1/nodes/{node}/stats").json().get("report") or {}
    found = [one["version"] for one in report.get("apps") or () if one["name"] == "web"]
    return found[0] if found else ""


def assert_taken_back(api: httpx.Client) -> None:
    """The new version fails while the old one serves every request."""
    missed = 0

    def is_taken_back() -> bool:
        nonlocal missed
        missed += page() != "one"
        return bool(explained(api, "web")["outcome"] == "failed")

    wait_for(is_taken_back, "the version to be taken back")
    assert missed == 0
    message = explained(api, "web")["message"]
    for words in ("failed its readiness probe after 3 s (service s: GET /none", "runs again"):
        assert words in message

    def is_an_event() -> bool:
        events = api.get("/v1/events?type=node.failed").json()["items"]
        return any("failed its readiness probe" in one["message"] for one in events)

    wait_for(is_an_event, "the event of the failure")
    stats = api.get("/v1/nodes/gate/stats").json()["report"]["appstats"]
    failure = next(one for one in stats if one["name"] == "web")["failure"]
    assert (failure["reason"], failure["service"]) == ("ReadinessProbeFailed", "s")


def _containers(docker: RunningEngine, app: str) -> list[dict[str, Any]]:
    found = docker.engine.call("GET", "/containers/json", query={"all": True}) or []
    return [one for one in found if app in {"", one["Labels"].get("edgesync.app")}]

"""Rollouts of a real server to simulated nodes: good, bad, held, superseded, and over a crash."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end import sim
from tests.end_to_end.conftest import (
    Server,
    count_running,
    make_app,
    make_batch,
    running_server,
    wait_for,
)
from tests.ports import free_port

NODES = 20
CANARY = {"name": "canary", "limit": 2}
ALL = {"name": "all"}
ENDED = {"done", "failed", "rolledBack", "superseded", "aborted"}


def simulated(
    server: Server, batch: dict[str, Any], folder: Path, *arguments: str, count: int = NODES
) -> AbstractContextManager[None]:
    """The nodes run meanwhile, whatever becomes of the server."""
    return sim.simulated(server, batch, folder, count, "--quiet", *arguments, interval=1)


class RolloutOperator:
    """Apps, each with a policy of its own, and their rollouts."""

    def __init__(self, api: httpx.Client) -> None:
        self.api = api

    def app(self, name: str, **rules: Any) -> None:
        """An app that runs on all nodes, and then a policy that governs it."""
        version = make_app(self.api, name, selector="site=a")["version"]
        wait_for(lambda: self.running(name, version) == NODES, "the first version", units=60)
        body = {"name": f"careful-{name}", "apps": {"names": [name]}, **rules}
        answer = self.api.post("/v1/rolloutpolicies", json=body)
        assert answer.status_code == 200, answer.text

    def put(self, name: str, image: str) -> str:
        app = self.api.get(f"/v1/apps/{name}").json()
        app["services"][0]["image"] = image
        answer = self.api.put(f"/v1/apps/{name}", json=app)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["version"])

    def rollout(self, name: str) -> dict[str, Any]:
        answer = self.api.get(f"/v1/rollouts/{name}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def act(self, name: str, action: str) -> httpx.Response:
        return self.api.post(f"/v1/rollouts/{name}/{action}")

    def becomes(self, name: str, *states: str) -> dict[str, Any]:
        """The rollout of the app of that name once it is in one of *states*."""
        wait_for(
            lambda: self.rollout(name)["state"] in {*states, *ENDED}, f"{name}: {states}", units=60
        )
        found = self.rollout(name)
        assert found["state"] in states, found
        return found

    def running(self, name: str, version: str) -> int:
        return count_running(self.api, name, version)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RolloutOperator]:
    """A server with nodes on which the app `bad` never works."""
    folder = tmp_path_factory.mktemp("rollouts")
    with running_server(folder / "data") as server, server.client() as api:
        batch = make_batch(api, labels={"site": "a"})
        with simulated(server, batch, folder / "sim", "--fail", "bad:100%"):
            yield RolloutOperator(api)


def test_a_good_version_goes_to_the_canary_and_then_to_all(operator: RolloutOperator) -> None:
    operator.app("web", stages=[CANARY | {"soak": "2s"}, ALL])
    version = operator.put("web", "nginx:2")
    wait_for(lambda: operator.running("web", version), "the canary", units=60)
    assert operator.rollout("web")["stages"][0]["nodes"] == 2
    done = operator.becomes("web", "done")
    assert [stage["counts"] for stage in done["stages"]] == [{"updated": 2}, {"updated": 18}]
    assert operator.running("web", version) == NODES
    query = {"type": "rollout.*"}

    def newest() -> str:
        found: str = operator.api.get("/v1/events", params=query).json()["items"][0]["type"]
        return found

    wait_for(lambda: newest() == "rollout.done", "the event", units=60)


def test_a_bad_version_is_taken_back_from_the_canary(operator: RolloutOperator) -> None:
    operator.app("bad", stages=[CANARY, ALL], failure={"action": "rollback"})
    before = operator.api.get("/v1/apps/bad").json()
    bad = operator.put("bad", "nginx:2")
    found = operator.becomes("bad", "rolledBack")
    assert found["cause"] in {"1 node failed, of 0 allowed", "2 nodes failed, of 0 allowed"}
    wait_for(lambda: operator.running("bad", before["version"]) == NODES, "the return", units=60)
    assert operator.running("bad", bad) == 0
    after = operator.api.get("/v1/apps/bad").json()
    assert (after["version"], after["services"]) == (before["version"], before["services"])
    audit = operator.api.get("/v1/audit", params={"action": "app.undo"}).json()["items"]
    assert [(one["name"], one["actor"]["kind"]) for one in audit] == [("bad", "server")]


def test_a_rollout_is_held_approved_and_ended(operator: RolloutOperator) -> None:
    operator.app("held", stages=[CANARY, {"name": "all", "approval": "required"}])
    version = operator.put("held", "nginx:2")
    waiting = operator.becomes("held", "waitingForApproval")
    assert (waiting["waiting"], waiting["waits"][0]["reason"]) == (18, "approval")
    assert operator.act("held", "pause").json()["state"] == "paused"
    assert operator.act("held", "approve").status_code == 409
    assert operator.act("held", "resume").status_code == 200
    operator.becomes("held", "waitingForApproval")
    approved = operator.act("held", "approve").json()
    assert approved["stages"][1]["approvedBy"] == "administrator"
    operator.becomes("held", "done")
    assert operator.running("held", version) == NODES

    version = operator.put("held", "nginx:3")
    operator.becomes("held", "waitingForApproval")
    assert operator.act("held", "abort").json()["state"] == "aborted"
    assert operator.running("held", version) == 2
    audit = operator.api.get("/v1/audit", params={"kind": "rollout"}).json()["items"]
    actions = [one["action"] for one in audit]
    assert actions[:3] == ["rollout.abort", "rollout.approve", "rollout.resume"]


def test_a_newer_version_supersedes_the_rollout(operator: RolloutOperator) -> None:
    operator.app("newer", stages=[CANARY | {"soak": "1h"}, ALL])
    first = operator.put("newer", "nginx:2")
    wait_for(lambda: operator.running("newer", first) == 2, "the canary", units=60)
    version = operator.put("newer", "nginx:3")
    wait_for(lambda: operator.running("newer", version) == 2, "the canary again", units=60)
    operator.act("newer", "hurry")
    operator.becomes("newer", "done")
    assert operator.running("newer", version) == NODES


def test_a_rollout_goes_on_when_the_server_is_killed(tmp_path: Path) -> None:
    ports = ("--mqtt-port", str(free_port()))
    with running_server(tmp_path / "data", *ports) as server, server.client() as api:
        operator = RolloutOperator(api)
        batch = make_batch(api, labels={"site": "a"})
        with simulated(server, batch, tmp_path / "sim"):
            operator.app(
                "web", stages=[{"name": "slow", "limit": "50%"}, ALL], budget={"maxUnavailable": 3}
            )
            version = operator.put("web", "nginx:2")
            wait_for(lambda: operator.running("web", version), "the first nodes", units=60)
            server.process.kill()
            server.process.wait(timeout=60)
            with running_server(tmp_path / "data", *ports) as again, again.client() as api:
                operator = RolloutOperator(api)
                operator.becomes("web", "done")
                assert operator.running("web", version) == NODES

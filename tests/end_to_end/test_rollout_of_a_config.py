"""A rollout of a config, with nodes that join, get other labels, and a server that restarts."""

from pathlib import Path
from typing import Any

import httpx

from tests.end_to_end.conftest import kv, make_app, make_batch, running_server, wait_for
from tests.end_to_end.test_rollouts import RolloutOperator, simulated
from tests.ports import free_port

NODES = 4
CANARY = {"name": "canary", "selector": "ring=canary"}


def put_policy(api: httpx.Client, **rest: Any) -> int:
    """Make or change the policy; its version."""
    stages = [CANARY, {"name": "all", **rest}]
    rules = {"apps": {"names": ["web"]}, "stages": stages, "failure": {"action": "rollback"}}
    is_there = api.get("/v1/rolloutpolicies/careful").is_success
    answer = (
        api.put("/v1/rolloutpolicies/careful", json=rules)
        if is_there
        else api.post("/v1/rolloutpolicies", json={"name": "careful", **rules})
    )
    assert answer.status_code == 200, answer.text
    return int(answer.json()["version"])


def put_config(api: httpx.Client, text: str) -> str:
    """Change the config that the app uses; the version that the app gets by that."""
    answer = api.put("/v1/configs/web-conf", json={"data": [kv("a.conf", text)]})
    assert answer.status_code == 200, answer.text
    return str(api.get("/v1/apps/web").json()["version"])


def config_text(api: httpx.Client) -> str:
    return str(api.get("/v1/configs/web-conf").json()["data"][0]["value"]["value"])


def relabel(api: httpx.Client, name: str) -> None:
    answer = api.patch(f"/v1/nodes/{name}", json={"labels": {"ring": "canary"}})
    assert answer.status_code == 200, answer.text


def names(api: httpx.Client) -> set[str]:
    return {node["name"] for node in api.get("/v1/nodes").json()["items"]}


def test_a_config_goes_to_the_canary_and_what_it_breaks_is_taken_back(tmp_path: Path) -> None:
    ports = ("--mqtt-port", str(free_port()))
    with running_server(tmp_path / "data", *ports) as server, server.client() as api:
        operator = RolloutOperator(api)
        batch = make_batch(api, labels={"site": "a"})
        base = make_app(api, selector="site=a")["version"]
        bad = put_policy(api) + 2  # the config gets the next version
        arguments = ("--fail", f"web@{bad}:100%")
        with simulated(server, batch, tmp_path / "sim", *arguments, count=NODES):
            wait_for(lambda: operator.running("web", base) == NODES, "the first version", units=60)
            (canary, *_) = sorted(names(api))
            relabel(api, canary)

            assert put_config(api, "x = 2") == str(bad)
            assert operator.becomes("web", "rolledBack")["cause"].startswith("1 node failed")
            assert operator.running("web", base) == NODES
            assert config_text(api) == "x = 1"
            undone = api.get("/v1/audit", params={"action": "config.undo"}).json()["items"]
            assert [one["name"] for one in undone] == ["web-conf"]

            put_policy(api, approval="required")
            good = put_config(api, "x = 3")
            operator.becomes("web", "waitingForApproval")
            assert operator.running("web", good) == 1
            server.process.kill()
            server.process.wait(timeout=60)
            with running_server(tmp_path / "data", *ports) as again, again.client() as api:
                operator = RolloutOperator(api)
                late = ("--fingerprint", "late-{index}")
                with simulated(again, batch, tmp_path / "late", *late, count=1):
                    # It fetches the config at the version that the others have still.
                    runs_base = lambda: operator.running("web", base) == NODES  # noqa: E731
                    wait_for(runs_base, "the node that joined", units=60)
                    (joined,) = {name for name in names(api) if "late" in name}
                    relabel(api, joined)
                    wait_for(lambda: operator.running("web", good) == 2, "its stage", units=60)
                    operator.becomes("web", "waitingForApproval")
                    assert operator.act("web", "approve").status_code == 200
                    operator.becomes("web", "done")
                    assert operator.running("web", good) == NODES + 1

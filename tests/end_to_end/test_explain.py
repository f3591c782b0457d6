"""A fleet with each node in another state, and the explanation of each."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from cloud.core.node import NodeSpec
from cloud.core.report import Order, read_report
from cloud.operations.nodes import create_node
from cloud.operations.reports import receive_report
from cloud.store.transaction import Transaction
from tests.builders import open_store
from tests.end_to_end.conftest import Server, make_app, make_batch, running_server, wait_for
from tests.preloaded import ForkedProcess

GATEWAY = {"role": "gateway"}
TOO_MANY = 100_000
"""Replicas that no simulated node starts."""


def test_each_node_has_a_reason(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with running_server(data):
        pass  # makes the authority; a database in use has to have one
    asyncio.run(hear_an_hour_ago(data, "away"))
    with running_server(data) as server, server.client() as api:
        batch = make_batch(api, labels=GATEWAY)
        make_app(api, selector="role=gateway")
        make_app(api, "broken", selector="baetyl-node-name=sim-0002")
        broken = {"services": [{"name": "broken", "image": "nginx:1", "replica": TOO_MANY}]}
        patch(api, "/v1/apps/broken", broken)
        with simulated(server, batch, tmp_path / "nodes"):
            good = wait_for(lambda: explained(api, "sim-0001", "Running"), "the good node")
            bad = wait_for(lambda: explained(api, "sim-0002", "AppFailed"), "the failing node")
            patch(api, "/v1/nodes/sim-0003", {"labels": {"role": "shop"}})
            wait_for(lambda: explained(api, "sim-0003")["converged"], "the node of the shop")
            shop = explained(api, "sim-0003", query="?app=web")
            away = explained(api, "away")

    assert (good["converged"], good["message"]) == (True, "runs all that is wanted")
    (web,) = good["apps"]
    assert web["wanted"] == web["reported"]
    assert web["wantedTime"] <= web["toldTime"] <= web["acknowledgedTime"] <= web["reportedTime"]
    failed = next(app for app in bad["apps"] if app["name"] == "broken")
    assert (bad["converged"], failed["outcome"]) == (False, "failed")
    assert "replica" in failed["cause"]
    assert failed["cause"] in bad["message"]
    (web,) = away["apps"]
    assert (away["converged"], away["state"]["name"]) == (False, "offline")
    assert (web["outcome"], web["reason"], web["toldTime"]) == ("pending", "OfflineSince", None)
    assert "it will be updated when it returns" in web["message"]
    (web,) = shop["apps"]
    assert (web["outcome"], web["reason"]) == ("unselected", "SelectorMismatch")
    assert "asks for role=gateway, and the node's is 'shop'" in web["message"]


async def hear_an_hour_ago(data: Path, name: str) -> None:
    """Let the node be one that reported once, and has been silent since."""
    then = datetime.now(UTC) - timedelta(hours=1)

    def hear(tx: Transaction) -> None:
        create_node(tx, "default", name, NodeSpec(labels=GATEWAY), now=then)
        receive_report(tx, f"default.{name}", read_report({}, Order()), "json", now=then)

    async with open_store(data) as store:
        await store.write(hear)


@contextmanager
def simulated(server: Server, batch: dict[str, Any], folder: Path) -> Iterator[None]:
    command = ["sim", "--count", "3", "--quiet"]
    command += ["--batch", batch["name"], "--token", batch["securityKey"], "--ca", server.ca]
    command += ["--activation", server.activation, "--mqtt", f"127.0.0.1:{server.mqtt_port}"]
    command += ["--state-dir", str(folder), "--apply-delay", "0", "--interval", "0.5"]
    process = ForkedProcess(command, "/dev/null")
    try:
        yield
    finally:
        process.kill()
        process.wait(timeout=60)


def explained(api: httpx.Client, name: str, reason: str = "", query: str = "") -> Any:
    """The explanation of the node; nothing before it gives that reason."""
    answer = api.get(f"/v1/nodes/{name}/explain{query}")
    if answer.status_code == 404:
        return {} if reason else {"converged": False}
    found = answer.json()
    return found if not reason or reason in {app["reason"] for app in found["apps"]} else {}


def patch(api: httpx.Client, path: str, body: Any) -> Any:
    headers = {"Content-Type": "application/merge-patch+json"}
    answer = api.patch(path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()

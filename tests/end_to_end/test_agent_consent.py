"""The user of a machine with the node agent, whose consent a rollout takes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deadlines import UNIT
from tests.end_to_end.conftest import Server, kv, running_server, wait_for
from tests.end_to_end.test_install_command import InstalledMachine, command_for, installed

SCRIPT = "#!/bin/sh\ntrap 'exit 0' TERM\nwhile :; do sleep 0.2; done\n"

pytestmark = pytest.mark.timeout(150 * UNIT)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[InstalledMachine]:
    one = InstalledMachine(tmp_path / "machine")
    yield one
    one.agent("uninstall")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path / "data") as running:
        yield running


def put(api: httpx.Client, method: str, path: str, body: Any) -> Any:
    answer = api.request(method, path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def program(greeting: str) -> dict[str, Any]:
    script = SCRIPT.replace("\n", f"\necho {greeting}\n", 1)
    return {"name": "program", "data": [kv("program.yml", "entry: run.sh"), kv("run.sh", script)]}


def test_a_version_runs_once_the_user_has_accepted_it(
    server: Server, machine: InstalledMachine
) -> None:
    with server.client() as api:
        put(api, "POST", "/v1/configs", program("one"))
        service = {"name": "main", "programConfig": "program"}
        body = {"name": "web", "mode": "native", "selector": "site=a", "services": [service]}
        first = put(api, "POST", "/v1/apps", body)["version"]
        put(api, "POST", "/v1/nodes", {"name": "till", "labels": {"site": "a"}})
        installed(machine.run(command_for(api, "nodes/till")))

        def runs(version: str) -> bool:
            [app] = api.get("/v1/nodes/till/explain").json()["apps"]
            return bool(app["outcome"] == "converged" and app["running"] == version)

        wait_for(lambda: runs(first), "the first version", units=60)
        policy = {"name": "p", "apps": {"names": ["web"]}, "consent": {"latest": "72h"}}
        put(api, "POST", "/v1/rolloutpolicies", policy)
        put(api, "PUT", "/v1/configs/program", program("two"))
        new = api.get("/v1/apps/web").json()["version"]

        def listed() -> bool:
            line = f"web version {new}, fetched, waits for consent, "
            return machine.agent("consent").stdout.startswith(line)

        wait_for(listed, "the offer", units=60)
        done = machine.agent('consent defer --until 1h --reason "machine in use"')
        assert done.stdout == f"edgesync: web version {new} is deferred\n", done.stderr

        def deferred() -> bool:
            message = str(api.get("/v1/nodes/till/explain").json()["message"])
            words = f"version {new} is deferred by the device until "
            return words in message and message.endswith(": machine in use")

        wait_for(deferred, "the answer", units=60)
        assert f"deferred until {api_until(api)}: machine in use" in machine.agent("status").stdout
        assert runs(first)
        assert machine.agent("consent accept").returncode == 0
        wait_for(lambda: runs(new), "the new version", units=60)
        rollout = "/v1/rollouts/web"
        wait_for(lambda: api.get(rollout).json()["state"] == "done", "the end", units=60)


def api_until(api: httpx.Client) -> str:
    """Until when the device has deferred the version, by its report."""
    [offer] = api.get("/v1/nodes/till/stats").json()["report"]["offers"]
    return str(offer["until"])

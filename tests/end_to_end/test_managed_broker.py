"""`edgesync serve --broker managed`: one command, and nodes on a Mosquitto."""

import asyncio
import json
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from cloud.opened_hub import BROKER_DIRECTORY as DIRECTORY
from tests.broker.mosquitto import NEEDS_MOSQUITTO
from tests.deadlines import UNIT
from tests.end_to_end.conftest import (
    Server,
    activate,
    make_app,
    make_batch,
    running_server,
    wait_for,
)
from tests.end_to_end.mosquitto import lets_in
from tests.end_to_end.node import connected
from tests.end_to_end.pressure import refusals, speaking
from tests.ports import free_port
from tests.preloaded import run_edgesync

pytestmark = NEEDS_MOSQUITTO

MANAGED = ("--broker", "managed")


def broker_of(server: Server) -> psutil.Process:
    (child,) = psutil.Process(server.process.pid).children()
    return child


def test_nodes_report_and_are_updated_through_the_broker(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", *MANAGED) as server, server.client() as api:
        assert api.get("/readyz").status_code == 200
        assert "mosquitto" in broker_of(server).name()
        node = activate(server, make_batch(api), "n1")
        with connected(server, node) as mqtt:
            mqtt.report(apps=[])
            version = make_app(api, selector="baetyl-node-name=n1")["version"]
            assert mqtt.next()["content"]["apps"] == [{"name": "web", "version": version}]
        broker = broker_of(server)
        assert server.stop() == 0
        assert not broker.is_running()


def test_a_revoked_node_is_out_within_a_second_and_others_stay(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", *MANAGED) as server, server.client() as api:
        batch = make_batch(api)
        mine, other = (activate(server, batch, name) for name in ("n1", "n2"))
        with connected(server, mine) as node, connected(server, other) as untouched:
            assert api.post("/v1/nodes/n1/revoke").status_code == 200
            assert node.disconnected.wait(10 * UNIT)
            node.client.loop_stop()
            wait_for(lambda: not lets_in(server.mqtt_port, mine), "the node to be refused")
            untouched.report(apps=[])


def test_a_node_that_floods_is_refused_and_disconnected_and_others_are_served(
    tmp_path: Path,
) -> None:
    variables = {"EDGESYNC_NODE_MESSAGES_PER_SECOND": "5"}
    with running_server(tmp_path / "data", *MANAGED, **variables) as server:
        with server.client() as api:
            batch = make_batch(api)
            mine, other = (activate(server, batch, name) for name in ("n1", "n2"))

        async def flood() -> dict[str, Any]:
            async with speaking(server, mine) as node, speaking(server, other) as untouched:
                for _ in range(95):  # 50 at once are carried out, and 5 a second
                    node.send("report", "report", {"apps": []})
                while (answer := await node.answer())["kind"] != "error":
                    pass
                await untouched.report(apps=[])
                for _ in range(200):
                    node.send("report", "report", {"apps": []})
                with suppress(asyncio.IncompleteReadError, ConnectionError):
                    while True:
                        await node.answer()
                await untouched.report(apps=[])
                return answer

        refused = asyncio.run(flood())
        assert refused["meta"]["code"] == "TooManyRequests"
        assert "budget" in refused["content"]
        assert refusals(server, "node_budget") >= 50
        assert "default.n1 sends more than twice its budget" in server.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_broker_ends_with_the_server_and_starts_again_with_it(
    tmp_path: Path, number: signal.Signals
) -> None:
    port = str(free_port())
    data, options = tmp_path / "data", (*MANAGED, "--mqtt-port", port)
    with running_server(data, *options) as server, server.client() as api:
        node = activate(server, make_batch(api), "n1")
        broker = broker_of(server)
        server.stop(number)
    with running_server(data, *options) as server:
        assert broker_of(server).pid != broker.pid
        with connected(server, node) as mqtt:
            mqtt.report(apps=[])
    wait_for(lambda: not broker.is_running(), "the first broker to end")


def test_a_broker_that_was_killed_is_started_again(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", *MANAGED) as server, server.client() as api:
        node = activate(server, make_batch(api), "n1")
        broker_of(server).kill()

        # Until the server is back, Mosquitto acknowledges reports and forwards them to no one.
        connections = "connected to the broker"
        wait_for(lambda: server.log().count(connections) == 2, "the broker to be there again")
        with connected(server, node) as mqtt:
            mqtt.report(apps=[])
        assert "Mosquitto has ended (-9)" in server.log()
        assert api.get("/readyz").status_code == 200


def serve(data: Path, *options: str, path: str | None = None) -> "subprocess.CompletedProcess[str]":
    command = ["serve", "--data-dir", str(data), *MANAGED]
    command += [f"--{name}-port=0" for name in ("api", "activation", "sync")]
    environment = {"PATH": path} if path is not None else None
    return run_edgesync(*command, *options, timeout=30 * UNIT, environment=environment)


def test_with_a_broker_of_its_own_a_server_needs_no_address_of_one(tmp_path: Path) -> None:
    done = serve(tmp_path / "data", "--broker-for-nodes", "mqtts://localhost:8883")
    assert done.returncode == 2
    assert "broker and broker_for_nodes" in done.stderr


def test_what_to_install_is_named(tmp_path: Path) -> None:
    old = tmp_path / "mosquitto"
    old.write_text("#!/bin/sh\necho mosquitto version 1.6.12\n")
    old.chmod(0o755)
    done = serve(tmp_path / "data", path=str(tmp_path))
    assert done.returncode == 1
    assert "managed needs Mosquitto 2" in done.stderr
    assert "apt install mosquitto" in done.stderr


def test_a_path_that_fits_no_socket_is_refused(tmp_path: Path) -> None:
    done = serve(tmp_path / ("d" * 100))
    assert done.returncode == 1
    assert "too long for a socket" in done.stderr


def test_the_same_data_directory_serves_with_either_hub(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server, server.client() as api:
        node = activate(server, make_batch(api), "n1")
    with running_server(data, *MANAGED) as server, connected(server, node) as mqtt:
        mqtt.report(apps=[])
    assert (data / DIRECTORY / "mosquitto.conf").exists()
    with running_server(data) as server, connected(server, node) as mqtt:
        mqtt.report(apps=[])


def test_the_demo_runs_on_it(tmp_path: Path) -> None:
    command = ["demo", "--simulated", "--broker=managed"]
    command += ["--nodes", "2", "--exit-when-converged", "--data-dir", str(tmp_path / "data")]
    done = run_edgesync(*command, timeout=60 * UNIT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nodes connect to a Mosquitto" in done.stdout
    ready = json.loads((tmp_path / "data" / "ready.json").read_text())
    assert ready["mqtt"].startswith("mqtts://127.0.0.1:")

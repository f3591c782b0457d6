"""A server, and nodes, on a cluster of three NATS servers that the command has configured."""

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from broker.nats_admission import client_id_for
from tests.broker.nats import NEEDS_NATS, PROGRAM
from tests.deadlines import UNIT
from tests.end_to_end.conftest import (
    Server,
    activate,
    make_app,
    make_batch,
    running_server,
    wait_for,
)
from tests.end_to_end.mosquitto import connack
from tests.end_to_end.sim import simulated
from tests.ports import free_port
from tests.preloaded import run_edgesync

pytestmark = [*NEEDS_NATS, pytest.mark.timeout(360)]

PEERS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
NODES = 8
NOT_AUTHORIZED = 5


@dataclass
class NatsCommands:
    """The programs of a cluster; the data directory of a server, and the files of its brokers."""

    folder: Path
    port: int = field(default_factory=free_port)
    server_port: int = field(default_factory=free_port)
    running: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def broker(self) -> Path:
        return self.folder / "broker"

    def configure(self) -> None:
        command = ["broker", "config", "nats", "--data-dir", str(self.folder / "data")]
        command += ["--out", str(self.broker), "--route-port", str(free_port())]
        command += ["--node-port", str(self.port), "--server-port", str(self.server_port)]
        for peer in PEERS:
            command += ["--peer", peer]
        done = run_edgesync(*command, timeout=60 * UNIT)
        assert done.returncode == 0, done.stderr

    def start(self, number: int) -> None:
        assert PROGRAM is not None
        own = self.broker / str(number)
        with (own / "log").open("ab") as log:
            self.running[number] = subprocess.Popen(
                [PROGRAM, "-c", str(own / "nats.conf")], stdout=log, stderr=log
            )

    def kill(self, number: int) -> None:
        process = self.running.pop(number)
        process.kill()
        process.wait(20 * UNIT)

    @contextmanager
    def server(self) -> Iterator[Server]:
        places = ",".join(f"nats://{peer}:{self.server_port}" for peer in PEERS)
        with running_server(
            self.folder / "data",
            *("--broker", places, "--broker-for-nodes", f"mqtts://127.0.0.1:{self.port}"),
            *("--broker-credentials-file", str(self.broker / "credentials.json")),
        ) as server:
            wait_for(lambda: is_ready(server), "NATS")
            yield server

    def answer(self, context: ssl.SSLContext, client_id: str) -> int | None:
        """The return code of a CONNECT; None where the connection ended without one."""
        return connack(self.port, context, client_id)


def is_ready(server: Server) -> bool:
    return httpx.get(f"{server.api}/readyz", timeout=20 * UNIT).status_code == 200


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[NatsCommands]:
    made = NatsCommands(tmp_path)
    made.configure()
    try:
        for number in (1, 2, 3):
            made.start(number)
        yield made
    finally:
        for number in list(made.running):
            made.kill(number)


def test_only_a_valid_certificate_is_good_for_its_node(cluster: NatsCommands) -> None:
    with cluster.server() as server, server.client() as api:
        batch = make_batch(api)
        mine, other = (activate(server, batch, name) for name in ("n1", "n2"))
        old, own = mine.context(), client_id_for(mine.node_id)
        wait_for(lambda: cluster.answer(old, own) == 0, "the cluster", units=90)
        assert cluster.answer(other.context(), client_id_for(other.node_id)) == 0
        assert cluster.answer(other.context(), own) == NOT_AUTHORIZED
        assert api.post("/v1/register/b1/record/n1/reset").status_code == 200
        wait_for(lambda: cluster.answer(old, own) == NOT_AUTHORIZED, "the revocation")
        again = activate(server, batch, "n1")
        assert again.node_id == mine.node_id
        assert cluster.answer(again.context(), own) == 0
        assert cluster.answer(old, own) == NOT_AUTHORIZED  # the name is valid, this is not


def test_nodes_converge_although_a_server_of_the_cluster_is_killed(
    cluster: NatsCommands, tmp_path: Path
) -> None:
    with cluster.server() as server, server.client() as api:
        batch = make_batch(api)

        def converged(version: str) -> int:
            names = [node["name"] for node in api.get("/v1/nodes").json()["items"]]
            stats = [api.get(f"/v1/nodes/{name}/stats").json() for name in names]
            apps = [[app["version"] for app in one["report"]["apps"]] for one in stats]
            return apps.count([version])

        at_two = f"{PEERS[1]}:{cluster.port}"
        first = make_app(api, selector="baetyl-batch=b1")["version"]
        with simulated(server, batch, tmp_path / "sim", NODES, "--mqtt", at_two, interval=1):
            wait_for(lambda: converged(first) == NODES, "the first version", units=120)
            cluster.kill(1)  # where the server is connected
            app = api.get("/v1/apps/web").json()
            app["services"][0]["image"] = "nginx:2"
            second = api.put("/v1/apps/web", json=app).json()["version"]
            assert second != first
            wait_for(lambda: converged(second) == NODES, "the second version", units=120)
            assert f"connected to NATS at {PEERS[1]}" in server.log()

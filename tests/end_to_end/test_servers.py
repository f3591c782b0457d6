"""Two servers on one PostgreSQL and one Mosquitto, and what happens when a part of it dies."""

import contextlib
import itertools
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.broker.mosquitto import NEEDS_MOSQUITTO
from tests.deadlines import UNIT
from tests.end_to_end.cable import Cable
from tests.end_to_end.conftest import (
    Identity,
    Server,
    activate,
    count_running,
    make_app,
    make_batch,
    running_server,
    wait_for,
)
from tests.end_to_end.mosquitto import PROGRAM, lets_in, listens
from tests.end_to_end.node import MqttNode, connected
from tests.plain_http import NO_TLS
from tests.ports import free_port
from tests.postgres import NEEDS_POSTGRES, USER, Postgres, running_postgres, running_standby
from tests.preloaded import ForkedProcess, run_edgesync

pytestmark = [*NEEDS_MOSQUITTO, *NEEDS_POSTGRES, pytest.mark.timeout(360)]

NODES = 12


@dataclass
class ServerFleet:
    """All its parts; servers can be started again."""

    folder: Path
    url: str
    ports: tuple[int, int]
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def broker(self) -> str:
        return f"mqtts://localhost:{self.ports[1]}"

    @contextmanager
    def server(self, name: str, tree: Path | None = None) -> Iterator[Server]:
        """A server with a copy of the first one's keys; of the version in *tree*, or this one."""
        data = self.folder / name
        if not data.exists():
            data.mkdir()
            for file in ("secrets.key", "audit.key", "admin.token"):
                shutil.copy(self.folder / "one" / file, data / file)
            shutil.copytree(self.folder / "one" / "ca", data / "ca")
        with running_server(
            data,
            *("--broker", self.broker, "--broker-for-nodes", f"mqtts://localhost:{self.ports[0]}"),
            *("--server-id", name, "--crl-file", str(self.folder / "broker" / "crl.pem")),
            tree=tree,
            EDGESYNC_DATABASE=self.url,
        ) as server:
            wait_for(lambda: is_ready(server), "the broker")
            yield server

    def start_broker(self) -> None:
        assert PROGRAM is not None
        command = [PROGRAM, "-c", str(self.folder / "broker" / "mosquitto.conf")]
        log = (self.folder / "broker.log").open("ab")
        with log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(lambda: listens(self.ports[0]) or process.poll() is not None, "Mosquitto")
        assert process.poll() is None, (self.folder / "broker.log").read_text()
        self.process = process

    def signal_broker(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill_broker(self) -> None:
        """As a crash does."""
        self.signal_broker(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(20 * UNIT)

    def stop_broker(self) -> None:
        """As an operator does: it saves what it holds."""
        self.signal_broker(signal.SIGTERM)
        assert self.process is not None
        self.process.wait(20 * UNIT)


def is_ready(server: Server) -> bool:
    """Whether it reaches the broker: 200, or else 503."""
    status = httpx.get(f"{server.api}/readyz", verify=NO_TLS, timeout=20 * UNIT).status_code
    assert status in {200, 503}
    return status == 200


@pytest.fixture
def fleet(tmp_path: Path, postgres: Postgres) -> Iterator[ServerFleet]:
    with server_fleet(tmp_path, postgres) as made:
        yield made


@contextmanager
def server_fleet(
    folder: Path, postgres: Postgres, tree: Path | None = None
) -> Iterator[ServerFleet]:
    """Configured by the command, as an operator does; the broker runs, no server does."""
    made = ServerFleet(folder, postgres.schema_of(folder), (free_port(), free_port()))
    command = ["broker", "config", "mosquitto"]
    command += ["--data-dir", str(folder / "one"), "--out", str(folder / "broker")]
    command += ["--node-address", "127.0.0.1", "--node-port", str(made.ports[0])]
    command += ["--server-port", str(made.ports[1])]
    if os.geteuid() == 0:
        command += ["--user", "root"]
    done = run_edgesync(*command, timeout=60 * UNIT, tree=tree)
    assert done.returncode == 0, done.stderr
    made.start_broker()
    try:
        yield made
    finally:
        made.stop_broker()


@contextmanager
def simulated(
    server: Server,
    fleet: ServerFleet,
    batch: dict[str, Any],
    *,
    interval: int = 1,
    count: int = NODES,
    tree: Path | None = None,
) -> Iterator[None]:
    command = ["sim", "--quiet", "--count", str(count)]
    command += ["--batch", batch["name"], "--activation", server.activation, "--ca", server.ca]
    command += [
        "--mqtt",
        f"localhost:{fleet.ports[0]}",
        "--interval",
        str(interval),
        "--apply-delay",
        "0",
        "--state-dir",
        str(fleet.folder / "sim"),
    ]
    command += ["--token", batch["securityKey"]]
    log = fleet.folder / "sim.log"
    process = ForkedProcess(command, log, tree=tree)
    try:
        yield
    finally:
        process.kill()
        process.wait(timeout=60)


def put_image(api: httpx.Client, image: str) -> str:
    app = api.get("/v1/apps/web").json()
    app["services"][0]["image"] = image
    answer = api.put("/v1/apps/web", json=app)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["version"])


def test_servers_share_a_fleet_and_one_dies(fleet: ServerFleet) -> None:
    with ExitStack() as stack:
        one = stack.enter_context(fleet.server("one"))
        two = stack.enter_context(fleet.server("two"))
        first, second = (stack.enter_context(server.client()) for server in (one, two))
        batch = make_batch(first, labels={"site": "a"})
        version = make_app(second, selector="site=a")["version"]
        stack.enter_context(simulated(one, fleet, batch))
        wait_for(lambda: count_running(second, "web", version) == NODES, "all nodes", units=60)

        version = put_image(second, "nginx:2")  # pushed by either, through the broker
        wait_for(lambda: count_running(first, "web", version) == NODES, "the update", units=60)

        one.process.kill()
        one.process.wait(timeout=60)
        version = put_image(second, "nginx:3")
        wait_for(
            lambda: count_running(second, "web", version) == NODES, "one server alone", units=60
        )

        with fleet.server("one") as again, again.client() as api:
            version = put_image(api, "nginx:4")
            wait_for(lambda: count_running(api, "web", version) == NODES, "both again", units=60)


def test_servers_drive_one_rollout_and_one_dies(fleet: ServerFleet) -> None:
    """Each node is admitted once, and the budget holds, whichever server drives it."""
    with ExitStack() as stack:
        one = stack.enter_context(fleet.server("one"))
        two = stack.enter_context(fleet.server("two"))
        first, second = (stack.enter_context(server.client()) for server in (one, two))
        batch = make_batch(first, labels={"site": "a"})
        version = make_app(second, selector="site=a")["version"]
        stack.enter_context(simulated(one, fleet, batch))
        wait_for(lambda: count_running(second, "web", version) == NODES, "all nodes", units=60)
        rules = {"apps": {"names": ["web"]}, "budget": {"maxUnavailable": 2}}
        policy = {"name": "careful", "stages": [{"name": "half", "limit": "50%"}], **rules}
        assert first.post("/v1/rolloutpolicies", json=policy).status_code == 200

        version = put_image(first, "nginx:2")
        wait_for(lambda: count_running(second, "web", version), "the first nodes", units=60)
        one.process.kill()
        one.process.wait(timeout=60)

        def state() -> str:
            return str(second.get("/v1/rollouts/web").json()["state"])

        wait_for(lambda: state() == "done", "the end", units=60)
        assert count_running(second, "web", version) == NODES
        sent = [
            deploy
            for number in range(1, NODES + 1)
            for deploy in second.get(f"/v1/nodes/sim-{number:04}/deploys").json()["items"]
            if {"name": "web", "version": version} in deploy["apps"]
        ]
        assert len(sent) == NODES


def test_nothing_acknowledged_is_lost_when_every_server_dies(fleet: ServerFleet) -> None:
    """The broker has acknowledged it; a server that comes back takes it from there."""
    with fleet.server("one") as one, one.client() as api:
        identity = activate(one, make_batch(api), "n1")
        one.process.kill()
        one.process.wait(timeout=60)
    report = {"kind": "report", "meta": {"seq": 1}, "content": {"node": {"hostname": "kept"}}}
    send(fleet, identity, report)
    with fleet.server("one") as again, again.client() as api:
        wait_for(lambda: hostname(api) == "kept", "the report that was acknowledged")


def test_a_broker_that_restarts_is_found_again(fleet: ServerFleet) -> None:
    with fleet.server("one") as one, one.client() as api:
        identity = activate(one, make_batch(api), "n1")
        report = {"kind": "report", "meta": {"seq": 1}, "content": {"node": {"hostname": "one"}}}
        send(fleet, identity, report)
        wait_for(lambda: hostname(api) == "one", "the first report")
        # Only the broker knows who is connected.
        assert api.get("/v1/nodes/n1").json()["state"]["connected"] is None
        metrics = api.get("/metrics").text
        assert "edgesync_ingest_queue_messages 0.0" in metrics
        assert "edgesync_connections" not in metrics
        fleet.stop_broker()
        wait_for(lambda: not is_ready(one), "it to be noticed")
        fleet.start_broker()
        wait_for(lambda: is_ready(one), "it to be found")
        report["meta"], report["content"] = {"seq": 2}, {"node": {"hostname": "two"}}
        send(fleet, identity, report)
        wait_for(lambda: hostname(api) == "two", "the second report")


def test_nothing_answered_is_lost_when_the_broker_is_killed(fleet: ServerFleet) -> None:
    """It loses what it held; nodes report again what had no answer."""
    with fleet.server("one") as one, one.client() as api:
        batch = make_batch(api, labels={"site": "a"})
        identity = activate(one, make_batch(api, "b2"), "n1")
        version = make_app(api, selector="site=a")["version"]
        # No test may wait for an interval.
        with simulated(one, fleet, batch, interval=3600), Talker(one, identity) as talker:
            wait_for(lambda: count_running(api, "web", version) == NODES, "all nodes", units=60)
            wait_for(lambda: talker.answered >= 20, "answers")
            fleet.kill_broker()
            answered = talker.answered
            version = put_image(api, "nginx:2")
            fleet.start_broker()
            wait_for(lambda: talker.answered > answered, "answers again", units=60)
            assert int(hostname(api)) >= answered
            wait_for(lambda: count_running(api, "web", version) == NODES, "the update", units=60)
        assert int(hostname(api)) >= talker.answered


class Talker:
    """A node that numbers its reports, and reports *pause* seconds after it is answered.

    It reports again where no answer comes, as docs/protocol.md has it.
    """

    def __init__(self, server: Server, identity: Identity, *, pause: float = 0) -> None:
        self.answered = 0
        self._pause = pause
        self._node = MqttNode(identity)
        self._node.client.reconnect_delay_set(1, 1)
        self._port = server.mqtt_port
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._talk, daemon=True)

    def __enter__(self) -> "Talker":
        self._node.client.connect("localhost", self._port)
        self._node.client.loop_start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(timeout=60)
        self._node.client.disconnect()
        self._node.client.loop_stop()

    def _talk(self) -> None:
        node = self._node
        while not self._is_over.wait(self._pause):
            node.sequence += 1
            content = {"node": {"hostname": str(node.sequence)}}
            node.send("report", "report", content, seq=node.sequence, run="r")
            with contextlib.suppress(queue.Empty):
                self.answered = node.received["delta"].get(timeout=1)["meta"]["seq"]


def test_what_comes_while_the_database_is_away_is_stored_later(
    fleet: ServerFleet, tmp_path: Path
) -> None:
    with running_postgres() as postgres:
        fleet.url = postgres.schema_of(tmp_path)
        with fleet.server("one") as one, one.client() as api:
            identity = activate(one, make_batch(api), "n1")
            postgres.stop()
            report = {"kind": "report", "meta": {"seq": 1}, "content": {"node": {"hostname": "in"}}}
            send(fleet, identity, report)
            assert api.get("/v1/nodes").status_code == 503
            postgres.start()
            wait_for(lambda: api.get("/v1/nodes").status_code == 200, "the database")
            wait_for(lambda: hostname(api) == "in", "the report that was acknowledged")
            assert one.process.poll() is None


class NodeMaker:
    """An operator who makes nodes, with a *pause* after each, through one server."""

    def __init__(self, api: httpx.Client, prefix: str, *, pause: float = 0.01) -> None:
        self.acknowledged: list[str] = []
        self._pause = pause
        self._api, self._prefix = api, prefix
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> "NodeMaker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(timeout=60)

    def _write(self) -> None:
        for number in itertools.count():
            if self._is_over.wait(self._pause):
                return
            name = f"{self._prefix}-{number}"
            with contextlib.suppress(httpx.TransportError):
                if self._api.post("/v1/nodes", json={"name": name}).is_success:
                    self.acknowledged.append(name)


def test_nothing_acknowledged_is_lost_when_the_primary_database_dies(fleet: ServerFleet) -> None:
    """A standby that each commit waits for takes its place; servers find it by themselves."""
    with ExitStack() as stack:
        primary = stack.enter_context(running_postgres())
        standby = stack.enter_context(running_standby(primary))
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in (primary, standby))
        fleet.url = f"postgresql://{USER}@{hosts}/postgres"
        servers = [stack.enter_context(fleet.server(name)) for name in ("one", "two")]
        apis = [stack.enter_context(server.client()) for server in servers]
        identity = activate(servers[0], make_batch(apis[0]), "n1")
        with Talker(servers[0], identity) as talker, ExitStack() as load:
            writers = [
                load.enter_context(NodeMaker(api, f"w{number}")) for number, api in enumerate(apis)
            ]

            def progress() -> list[int]:
                return [talker.answered, *(len(one.acknowledged) for one in writers)]

            def went_on(before: list[int]) -> bool:
                return all(now > was for now, was in zip(progress(), before, strict=True))

            wait_for(lambda: min(progress()) >= 10, "load", units=60)
            primary.kill()
            before = progress()
            standby.promote()
            wait_for(lambda: went_on(before), "both servers on the standby", units=120)
        assert int(hostname(apis[1])) >= talker.answered
        names = {one["name"] for one in apis[0].get("/v1/nodes").json()["items"]}
        assert {name for one in writers for name in one.acknowledged} <= names
        assert [server.process.poll() for server in servers] == [None, None]


def test_a_node_that_is_cut_off_converges_when_the_network_is_back(fleet: ServerFleet) -> None:
    with fleet.server("one") as one, one.client() as api, Cable(fleet.ports[0]) as cable:
        identity = activate(one, make_batch(api), "n1")
        version = make_app(api, selector="baetyl-node-name=n1")["version"]
        node = MqttNode(identity)
        node.client.reconnect_delay_set(1, 1)
        node.client.connect("localhost", cable.port, keepalive=5)
        node.client.loop_start()
        try:
            assert node.subscribed.wait(20 * UNIT)
            assert node.report(apps=[])["content"]["apps"] == [{"name": "web", "version": version}]
            cable.cut()
            assert node.disconnected.wait(30 * UNIT), "the node does not notice"
            version = put_image(api, "nginx:2")
            node.subscribed.clear()
            cable.mend()
            assert node.subscribed.wait(30 * UNIT), "the node does not come back"
            assert node.report(apps=[])["content"]["apps"] == [{"name": "web", "version": version}]
        finally:
            node.client.disconnect()
            node.client.loop_stop()


def test_a_command_of_a_server_that_died_is_sent_by_one_that_is_left(fleet: ServerFleet) -> None:
    with fleet.server("one") as one, one.client() as api:
        identity = activate(one, make_batch(api), "n1")
        # A server that dies while it sends a command has sent it: no other one sends it again.
        fleet.stop_broker()
        wait_for(lambda: not is_ready(one), "it to be noticed")
        given = api.post("/v1/nodes/n1/commands", json={"command": "report", "seconds": 600}).json()
        one.process.kill()
        one.process.wait(timeout=60)
    fleet.start_broker()
    with fleet.server("two") as two, two.client() as api, connected(two, identity) as node:
        node.report(apps=[])
        content = node.next("command")["content"]
        assert (content["id"], content["command"]) == (given["id"], "report")
        node.send("command-response", "command", {"id": given["id"], "status": "done"})
        answer = api.get(f"/v1/nodes/n1/commands/{given['id']}?wait=20").json()
        assert answer["status"] == "done", answer


def test_a_revoked_node_is_out_at_the_broker_too(fleet: ServerFleet) -> None:
    with fleet.server("one") as one, one.client() as api:
        identity = activate(one, make_batch(api), "n1")
        # Its address is that of the broker, which a ready server names as its own.
        with connected(one, identity) as node:
            assert api.delete("/v1/nodes/n1").status_code == 200
            assert node.disconnected.wait(20 * UNIT), "still connected"
        fleet.signal_broker(signal.SIGHUP)
        wait_for(lambda: not lets_in(fleet.ports[0], identity), "the list to be read")


def send(fleet: ServerFleet, identity: Identity, report: dict[str, Any]) -> None:
    """Publish a report and wait for the broker's acknowledgement."""
    command = ["mosquitto_pub", "-h", "localhost", "-p", str(fleet.ports[0]), "-q", "1"]
    command += ["-i", identity.node_id, "-t", identity.topic("report"), "-m", json.dumps(report)]
    command += ["--cafile", str(identity.ca), "--cert", str(identity.cert)]
    command += ["--key", str(identity.key)]
    subprocess.run(command, check=True, timeout=30 * UNIT)


def hostname(api: httpx.Client) -> str:
    node: dict[str, Any] = api.get("/v1/nodes/n1/stats").json()["report"].get("node") or {}
    return str(node.get("hostname", ""))

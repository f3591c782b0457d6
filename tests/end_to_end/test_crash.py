"""kill -9 in the middle, and a polite end under load."""

import json
import signal
import sqlite3
import threading
from pathlib import Path
from typing import Any

import httpx

from tests.deadlines import UNIT
from tests.end_to_end.conftest import (
    Server,
    activate,
    make_app,
    make_batch,
    running_server,
    wait_for,
)
from tests.end_to_end.node import MqttNode, connected


def load(server: Server, count: int) -> list[tuple[MqttNode, dict[int, int]]]:
    """Nodes that publish reports as fast as they are acknowledged, each with its acks so far."""
    with server.client() as api:
        batch = make_batch(api)
    nodes = []
    for number in range(count):
        node = MqttNode(activate(server, batch, f"n{number}"))
        sent: dict[int, int] = {}
        acked: dict[int, int] = {0: 0}
        lock = threading.Lock()

        def publish(node: MqttNode = node, sent: dict[int, int] = sent) -> None:
            node.sequence += 1
            content = {"node": {"hostname": str(node.sequence)}, "apps": []}
            meta = {"seq": node.sequence, "run": "r"}
            payload = {"kind": "report", "meta": meta, "content": content}
            topic = node.identity.topic("report")
            info = node.client.publish(topic, json.dumps(payload), qos=1)
            sent[info.mid] = node.sequence

        def on_publish(
            _c: Any,
            _u: Any,
            mid: int,
            *_: Any,
            publish: Any = publish,
            sent: dict[int, int] = sent,
            acked: dict[int, int] = acked,
            lock: Any = lock,
        ) -> None:
            with lock:
                acked[0] = max(acked[0], sent.get(mid, 0))
            publish()

        node.client.on_publish = on_publish
        node.client.connect("localhost", server.mqtt_port)
        node.client.loop_start()
        assert node.subscribed.wait(20 * UNIT)
        for _ in range(8):
            publish()
        nodes.append((node, acked))
    return nodes


def stop(nodes: list[tuple[MqttNode, dict[int, int]]]) -> None:
    for node, _ in nodes:
        node.client.on_publish = None
        node.client.loop_stop()


def hostnames(api: httpx.Client, count: int) -> list[int]:
    return [
        int(api.get(f"/v1/nodes/n{number}/stats").json()["report"]["node"]["hostname"])
        for number in range(count)
    ]


def test_kill_9_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        nodes = load(server, 5)
        with server.client() as api:
            app = make_app(api, selector="a=b")
        wait_for(lambda: all(acked[0] >= 50 for _, acked in nodes), "50 acks each")
        server.stop(signal.SIGKILL)
        stop(nodes)
        acknowledged = [acked[0] for _, acked in nodes]
    with running_server(data) as again, again.client() as api:
        stored = hostnames(api, 5)
        assert all(kept >= acked for kept, acked in zip(stored, acknowledged, strict=True))
        assert api.get("/v1/apps/web").json()["version"] == app["version"]
        with connected(again, nodes[0][0].identity) as node:
            node.sequence = 1_000_000
            assert node.report(apps=[])["content"] == {}
    with sqlite3.connect(data / "edgesync.db") as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)


def test_sigterm_under_load_ends_it_cleanly_and_soon(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        nodes = load(server, 5)
        wait_for(lambda: all(acked[0] >= 20 for _, acked in nodes), "20 acks each")
        assert server.stop(signal.SIGTERM) == 0
        stop(nodes)
        acknowledged = [acked[0] for _, acked in nodes]
        log = server.log()
        assert "Traceback" not in log
        assert "was destroyed" not in log
    with running_server(data) as again, again.client() as api:
        stored = hostnames(api, 5)
        assert all(kept >= acked for kept, acked in zip(stored, acknowledged, strict=True))

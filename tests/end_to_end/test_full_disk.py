"""A disk that is full for a while: answers, stored data, and recovery of the server."""

import queue
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.deadlines import UNIT
from tests.end_to_end.conftest import Server, activate, kv, make_app, make_batch, wait_for
from tests.end_to_end.node import MqttNode, connected
from tests.plain_http import NO_TLS

LIMIT = 32 * 1024
"""No file may be written beyond it: SQLite's log is longer by far, that of the server is not."""


@contextmanager
def full_disk(server: Server, limit: int = LIMIT) -> Iterator[None]:
    """As the server sees it: the owner of the process may limit the size of its files."""
    pid, which = server.process.pid, resource.RLIMIT_FSIZE
    before = resource.prlimit(pid, which)
    resource.prlimit(pid, which, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, which, before)


def report(node: MqttNode, hostname: str) -> int:
    """Publish a report and wait for nothing; its number."""
    node.sequence += 1
    node.send("report", "report", {"node": {"hostname": hostname}}, seq=node.sequence, run="r")
    return node.sequence


def answers(node: MqttNode) -> Iterator[dict[str, Any]]:
    while True:
        try:
            yield node.received["delta"].get_nowait()
        except queue.Empty:
            return


def hostname(api: httpx.Client) -> str:
    return str(api.get("/v1/nodes/n1/stats").json()["report"]["node"]["hostname"])


def readiness(server: Server) -> tuple[int, str]:
    answer = httpx.get(f"{server.api}/readyz", params={"verbose": ""}, verify=NO_TLS)
    assert set(answer.json()["seconds"]) == {"database", "writes"}
    return answer.status_code, answer.json()["checks"]["writes"]


def written(api: httpx.Client) -> dict[str, float]:
    """The metrics of writes."""
    lines = [line for line in api.get("/metrics").text.splitlines() if "edgesync_database" in line]
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    }


def test_a_full_disk_loses_nothing_that_was_acknowledged(server: Server, api: httpx.Client) -> None:
    identity = activate(server, make_batch(api), "n1")
    config = {"name": "kept", "data": [kv("a", "b")]}
    with connected(server, identity) as node:
        answer = node.report(node={"hostname": "before"})
        acked = node.acked.get(timeout=20 * UNIT)
        with full_disk(server):
            sequence = report(node, "while it was full")
            refused = wait_for(
                lambda: (answer := api.post("/v1/configs", json=config)).is_error and answer,
                "the API to notice",
            )
            assert refused.status_code == 503
            assert refused.json()["code"] == "ServiceUnavailable"
            reason = "cannot store messages, trying again: the database cannot be used"
            wait_for(lambda: reason in server.log(), "the inbox")
            # What is there can be read; nothing that is not stored is acknowledged or answered.
            assert hostname(api) == "before"
            assert api.get("/v1/configs/kept").status_code == 404
            assert list(answers(node)) == []
            assert node.acked.empty()
            assert server.process.poll() is None
            assert readiness(server) == (503, "failed")
            assert written(api)["edgesync_database_writable"] == 0
            assert written(api)['edgesync_database_writes_total{outcome="failed"}'] > 0

        answer = node.next()
        assert answer["meta"]["seq"] == sequence
        assert node.acked.get(timeout=20 * UNIT) > acked
        assert hostname(api) == "while it was full"
        assert api.post("/v1/configs", json=config).status_code == 200
        version = make_app(api, selector="baetyl-node-name=n1")["version"]
        wanted = {"apps": [{"name": "web", "version": version}]}
        assert node.report(apps=[])["content"]["apps"] == wanted["apps"]
        assert node.report(**wanted)["content"] == {}
        assert readiness(server) == (200, "ok")
    assert written(api)["edgesync_database_writable"] == 1


def test_a_full_disk_is_noticed_where_nothing_is_written(server: Server) -> None:
    assert readiness(server) == (200, "ok")
    with full_disk(server, 1024):
        wait_for(lambda: readiness(server) == (503, "failed"), "the probe to fail")
    wait_for(lambda: readiness(server) == (200, "ok"), "the probe to succeed")

"""The server's clock steps an hour ahead and back, while a node stays connected and reports."""

import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.conftest import activate, make_app, make_batch, running_server
from tests.end_to_end.node import MqttNode, connected
from tests.preloaded import run_edgesync

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
HOUR = timedelta(hours=1)

pytestmark = pytest.mark.skipif(
    LIBRARY is None and "CI" not in os.environ, reason="libfaketime is not installed"
)


class SteppedClock:
    """What a process believes that was started with `variables`; never what it measures with."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.variables = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self.step(timedelta())

    def step(self, ahead: timedelta) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead.total_seconds():+.0f}\n")
        new.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> SteppedClock:
    return SteppedClock(tmp_path / "clock")


def test_a_clock_step_disconnects_no_node(clock: SteppedClock, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data, **clock.variables) as server, server.client() as api:
        identity = activate(server, make_batch(api), "n1")
        version = make_app(api, selector="baetyl-node-name=n1")["version"]
        with connected(server, identity) as node:
            for number, ahead in enumerate((timedelta(), HOUR, timedelta())):
                if number:  # not after the last: its update would be a deploy of its own
                    app = api.get("/v1/apps/web").json()
                    app["services"][0]["image"] = f"nginx:{node.sequence}"
                    version = api.put("/v1/apps/web", json=app).json()["version"]
                clock.step(ahead)
                assert_all_is_well(api, node, ahead, version)
            assert not node.disconnected.is_set()
        deploys = api.get("/v1/nodes/n1/deploys").json()["items"]
        assert [one["outcome"] for one in deploys] == ["converged"] * 3
        assert server.log().count("Traceback") == 0
    verified = run_edgesync("audit", "verify", "--data-dir", str(data))
    assert verified.returncode == 0, verified.stderr
    with sqlite3.connect(data / "edgesync.db") as database:
        assert database.execute("SELECT count(*) FROM certificate").fetchone() == (1,)


def assert_all_is_well(api: httpx.Client, node: MqttNode, ahead: timedelta, version: str) -> None:
    """The node receives its desired state, reports it, and is ready at once."""
    wanted = [{"name": "web", "version": version}]
    hostname = f"at {ahead}"
    response = node.report(apps=[], node={"hostname": hostname})
    server_time = datetime.fromisoformat(response["meta"]["time"])
    assert abs(server_time - datetime.now(UTC) - ahead) < timedelta(minutes=5)
    assert response["content"]["apps"] == wanted
    assert node.report(apps=wanted, node={"hostname": hostname})["content"] == {}
    kept: dict[str, Any] = api.get("/v1/nodes/n1/stats").json()
    assert kept["report"]["node"]["hostname"] == hostname
    answer = api.get("/v1/nodes/n1")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["ready"], answer.json()["state"]["name"]) == (True, "online")

"""A machine that does not know what time it is becomes a node all the same."""

import contextlib
import http.server
import json
import re
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent_sim.errors import ActivationUnanswered
from agent_sim.state import read_ca
from agent_sim.watch import MachineClock
from certs.authority import Authority
from certs.keys import key_pem, new_private_key
from edgesync_agent.activation import activate
from edgesync_agent.apps import open_supervisor
from edgesync_agent.clock import Clock, WrongTime
from edgesync_agent.errors import AgentError
from edgesync_agent.https import learn_time, post
from edgesync_agent.link import AgentLink
from edgesync_agent.node import AgentNode
from tests.end_to_end.conftest import Server, make_batch, wait_for
from tests.preloaded import ForkedProcess

YEAR = 365 * 86400.0


def clock_at(year: str) -> Clock:
    return Clock({"1970": lambda: 12.0, "2040": lambda: 2_220_000_000.0, "now": time.time}[year])


@pytest.mark.parametrize(("year", "status"), [("1970", "True"), ("2040", "True"), ("now", "False")])
def test_a_node_with_a_wrong_clock_activates_connects_and_is_shown_to_have_one(
    server: Server, api: httpx.Client, tmp_path: Path, year: str, status: str
) -> None:
    api.post("/v1/nodes", json={"name": "gate"})
    token = re.search(r"token=([\w-]+)", api.get("/v1/nodes/gate/init").json()["cmd"])
    assert token is not None
    settings = {
        "kind": "node",
        "token": token[1],
        "activation": server.activation,
        "mqttHost": "127.0.0.1",
        "mqttPort": server.mqtt_port,
    }
    home, ca = tmp_path / "home", Path(server.ca)
    assert activate(home, ca, settings, clock_at(year)) == "default.gate"
    identity = json.loads((home / "identity" / "identity.json").read_text())
    certificate = home / "identity" / "cert.pem"
    clock = clock_at(year)  # as after a restart
    if year != "now":
        with pytest.raises(WrongTime):
            AgentLink(home, identity, certificate, clock)
    learn_time(identity["activation"], ca, clock)
    assert abs(clock.now() - time.time()) < 30
    link = AgentLink(home, identity, certificate, clock)
    link.open("default.gate")
    apps = open_supervisor(home, "default.gate", lambda line: None)
    node = AgentNode(apps.releases, apps, "r", lambda line: None, clock)

    def send(channel: str, kind: str, meta: dict[str, Any], content: dict[str, Any]) -> None:
        link.publish(channel, json.dumps({"kind": kind, "meta": meta, "content": content}).encode())

    with contextlib.closing(link), contextlib.closing(apps):
        node.report(send, {"hostname": "gate"}, {})
        stats = wait_for(lambda: _stats_of_a_report(api), "the report")
    (condition,) = stats["conditions"]
    assert (condition["type"], condition["status"]) == ("ClockSkew", status)
    if year == "1970":
        assert condition["skewSeconds"] < -50 * YEAR
        assert "behind" in condition["message"]


def _is_ready(api: httpx.Client, name: str) -> bool:
    return bool(api.get(f"/v1/nodes/{name}").json().get("ready"))


def _stats_of_a_report(api: httpx.Client) -> Any:
    stats = api.get("/v1/nodes/gate/stats").json()
    return stats if stats["report"]["time"] else None


@contextlib.contextmanager
def serving(
    authority: Authority, folder: Path, *, issued: datetime, reported: str
) -> Iterator[str]:
    """A server of *authority* with a certificate of that time whose time is *reported*."""
    key = new_private_key()
    made = authority.issue_server(key.public_key(), ["localhost"], [], now=issued, serial=5)
    (folder / "pair.pem").write_text(key_pem(key).decode() + made.chain_pem)

    class ClockHandler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            asked.append(body)
            self._answer(200)

        def do_GET(self) -> None:
            self._answer(404)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps({"time": reported}).encode())

        def log_message(self, *_: Any) -> None:
            pass

    asked: list[bytes] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pair.pem")
    there = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ClockHandler)
    there.socket = context.wrap_socket(there.socket, server_side=True)
    thread = threading.Thread(target=there.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"https://localhost:{there.server_port}"
    finally:
        there.shutdown()
        there.server_close()
        thread.join(timeout=60)
        assert asked == []


@pytest.mark.parametrize("reported", ["true", "nonsense"])
@pytest.mark.parametrize("clock", [Clock(), clock_at("1970"), clock_at("2040")])
def test_an_expired_certificate_is_refused_by_any_clock(
    tmp_path: Path, clock: Clock, reported: str
) -> None:
    now = datetime.now(UTC)
    issued = now - timedelta(days=1000)
    authority, _ = Authority.create("test", now=issued, serials=(1, 2))
    (tmp_path / "ca.pem").write_text(authority.root_pem)
    server_time = now.strftime("%Y-%m-%dT%H:%M:%SZ") if reported == "true" else "noon"
    with (
        serving(authority, tmp_path, issued=issued, reported=server_time) as url,
        pytest.raises(OSError, match="the server's certificate is valid from"),
    ):
        post(f"{url}/v1/active", tmp_path / "ca.pem", {"secret": 1}, clock)
    assert clock.skew == 0


def test_a_server_of_another_authority_is_not_asked_for_the_time(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    (mine, _), (other, _) = (Authority.create(n, now=now, serials=(1, 2)) for n in ("a", "b"))
    (tmp_path / "ca.pem").write_text(mine.root_pem)
    server_time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    with serving(other, tmp_path, issued=now, reported=server_time) as url:
        for ask in (
            lambda: post(url, tmp_path / "ca.pem", {"secret": 1}, clock_at("1970")),
            lambda: learn_time(url, tmp_path / "ca.pem", clock_at("1970")),
        ):
            with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
                ask()


def test_an_activation_with_a_wrong_clock_fails_with_the_reason(tmp_path: Path) -> None:
    issued = datetime.now(UTC) - timedelta(days=1000)
    authority, _ = Authority.create("test", now=issued, serials=(1, 2))
    (tmp_path / "ca.pem").write_text(authority.root_pem)
    with serving(authority, tmp_path, issued=issued, reported="noon") as url:
        settings = {"kind": "node", "token": "t", "activation": url}
        with pytest.raises(AgentError, match="certificate is valid from"):
            activate(tmp_path / "home", tmp_path / "ca.pem", settings, Clock())


@pytest.mark.parametrize("offset", [-1_770_000_000, 500_000_000])
def test_simulated_nodes_with_wrong_clocks_become_ready(
    server: Server, api: httpx.Client, tmp_path: Path, offset: int
) -> None:
    batch = make_batch(api)
    command = ["sim", "--count", "2", "--batch", "b1"]
    command += ["--activation", server.activation, "--ca", server.ca, "--mqtt"]
    command += [f"localhost:{server.mqtt_port}", "--token", batch["securityKey"]]
    command += ["--state-dir", str(tmp_path / "nodes"), "--clock-offset", str(offset)]
    fleet = ForkedProcess(command, "/dev/null")
    try:
        for name in ("sim-0001", "sim-0002"):
            wait_for(partial(_is_ready, api, name), name)
            (condition,) = api.get(f"/v1/nodes/{name}/stats").json()["conditions"]
            assert condition["status"] == "True"
            assert abs(condition["skewSeconds"] - offset) < 60
    finally:
        fleet.kill()
        fleet.wait(timeout=60)


@pytest.mark.parametrize("year", ["1970", "now"])
async def test_a_simulated_node_does_not_believe_a_certificate_that_has_ended(
    tmp_path: Path, year: str
) -> None:
    now = datetime.now(UTC)
    issued = now - timedelta(days=1000)
    authority, _ = Authority.create("test", now=issued, serials=(1, 2))
    (tmp_path / "ca.pem").write_text(authority.root_pem)
    clock = clock_at(year)
    server_time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    with serving(authority, tmp_path, issued=issued, reported=server_time) as url:
        trust = read_ca(tmp_path / "ca.pem")
        watch = MachineClock(url, trust, lambda: datetime.fromtimestamp(clock.read(), UTC))
        with pytest.raises(ActivationUnanswered, match="the certificate is valid from"):
            await watch.learn()
    assert watch.skew == timedelta()

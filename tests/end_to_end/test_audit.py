"""The audit log of a real server: what devices try is in it, and kill -9 breaks nothing."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud.opening import database_of
from cloud.store.log_check import check_log
from tests.end_to_end.conftest import (
    Server,
    activate,
    claim_for,
    make_batch,
    make_csr,
    running_server,
    wait_for,
)
from tests.end_to_end.node import MqttNode, connected
from tests.preloaded import run_edgesync


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("audit") / "data") as running:
        yield running


def entries(server: Server, **query: str) -> list[dict[str, Any]]:
    """What the log holds of it, oldest first."""
    with server.client() as api:
        answer = api.get("/v1/audit", params={"namespace": "*", **query})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items[::-1]


def test_the_start_of_the_server_is_the_first_entry(shared: Server) -> None:
    first = entries(shared)[0]
    assert (first["number"], first["action"]) == (1, "server.start")
    assert first["actor"] == {"kind": "server", "name": "", "namespace": ""}


def test_every_attempt_of_activation_is_written_down(shared: Server) -> None:
    with shared.client() as api:
        batch = make_batch(api, "audited")
    activate(shared, batch, "sn-1")
    claim = claim_for(batch, "sn-2", make_csr()[1])
    with shared.devices() as devices:
        for wrong in ({"securityValue": "a wrong guess"}, {"csr": "no csr"}, {"batchName": "gone"}):
            assert devices.post("/v1/active", json={**claim, **wrong}).status_code in {400, 401}
    found = entries(shared, kind="record")
    assert [(one["name"], one["outcome"]) for one in found] == [
        ("audited/sn-1", "done"),
        ("audited/sn-2", "RequestAccessDenied"),
        ("audited/sn-2", "RequestParamInvalid"),
        ("gone/sn-2", "RequestAccessDenied"),
    ]
    assert {one["actor"]["kind"] for one in found} == {"device"}
    assert {one["address"] for one in found} == {"127.0.0.1"}
    assert found[0]["after"]["nodeName"] == "sn-1"
    assert found[0]["also"] == {"certificate": 1, "node": 1}
    assert "token is not that of the batch" in found[1]["also"]["cause"]
    text = str(entries(shared))
    assert "a wrong guess" not in text
    assert batch["securityKey"] not in text


def test_a_renewal_and_a_node_that_is_refused_are_written_down(shared: Server) -> None:
    with shared.client() as api:
        identity = activate(shared, make_batch(api, "renewing"), "sn-9")
        context = identity.context()
        with httpx.Client(base_url=shared.activation, verify=context) as renewing:
            assert renewing.post("/v1/renew", json={"csr": make_csr()[1]}).status_code == 200
            assert api.post("/v1/nodes/sn-9/revoke").status_code == 200
            assert renewing.post("/v1/renew", json={"csr": make_csr()[1]}).status_code == 401
    done, refused = entries(shared, action="certificate.renew")
    for one in (done, refused):
        assert one["actor"] == {"kind": "node", "name": "sn-9", "namespace": "default"}
        assert (one["namespace"], one["name"], one["address"]) == ("default", "sn-9", "127.0.0.1")
    assert (done["outcome"], done["also"]) == ("done", {"certificate": 1})
    assert refused["outcome"] == "RequestAccessDenied"
    node = MqttNode(identity)
    node.client.connect("localhost", shared.mqtt_port)
    node.client.loop_start()
    found = wait_for(lambda: entries(shared, action="node.connect"), "the refusal")
    node.client.loop_stop()
    assert {(one["name"], one["outcome"]) for one in found} == {("sn-9", "RequestAccessDenied")}


def test_what_is_refused_before_anybody_is_known_is_written_down(shared: Server) -> None:
    with shared.devices() as devices:
        enroll = "/.well-known/est/simpleenroll"
        assert devices.post(enroll).status_code == 401
        assert devices.post(enroll, auth=("other/b7", "a token")).status_code == 415
        for path in ("/v1/init/install.sh", "/v1/init/agent.pyz"):
            assert devices.get(path, params={"token": "a wrong guess"}).status_code == 401
    found = entries(shared, kind="record")[-2:] + entries(shared, kind="installer")
    assert [(one["action"], one["namespace"], one["name"], one["outcome"]) for one in found] == [
        ("record.activate", "default", "", "RequestAccessDenied"),
        ("record.activate", "other", "b7", "UnsupportedMediaType"),
        ("installer.read", "*", "", "RequestAccessDenied"),
        ("installer.read", "*", "", "RequestAccessDenied"),
    ]
    assert {one["actor"]["kind"] for one in found} == {"device"}
    assert {one["address"] for one in found} == {"127.0.0.1"}
    assert "a wrong guess" not in str(found)
    assert "a token" not in str(found)


def test_a_renewal_too_many_is_written_down_whichever_way_it_came(shared: Server) -> None:
    with shared.client() as api:
        batch = make_batch(api, "eager")
        shown, over_mqtt = (activate(shared, batch, name) for name in ("sn-20", "sn-21"))
    body = {"csr": make_csr()[1]}
    with httpx.Client(base_url=shared.activation, verify=shown.context()) as renewing:
        codes = [renewing.post("/v1/renew", json=body).status_code for _ in range(7)]
    assert codes == [200] * 6 + [429]
    with connected(shared, over_mqtt) as node:
        for _ in range(7):
            node.send("renew", "renew", body)
            node.next("renew-response")
    for name in ("sn-20", "sn-21"):
        found = entries(shared, action="certificate.renew", name=name)
        assert [one["outcome"] for one in found] == ["done"] * 6 + ["TooManyRequests"]


def test_commands_write_down_what_they_do_beside_the_server(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        run(data, "ca", "rotate")
        with server.client() as api:
            assert api.post("/v1/nodes", json={"name": "n1"}).status_code == 200
        assert check_log(database_of(data, ""), data).broken == 0
        found = entries(server, kind="authority")
        assert [(one["action"], one["actor"]["kind"]) for one in found] == [
            ("authority.rotate", "command")
        ]
        assert found[0]["actor"]["name"]
        server.stop()
    run(data, "rekey")
    verdict = check_log(database_of(data, ""), data)
    with running_server(data) as again:
        (found_again,) = entries(again, action="server.rekey")
    assert (verdict.broken, verdict.head.number) == (0, found_again["number"])


def run(data: Path, *words: str) -> None:
    run_edgesync(*words, "--data-dir", str(data), timeout=120).check_returncode()


def test_kill_9_under_load_leaves_a_whole_log(tmp_path: Path) -> None:
    data = tmp_path / "data"
    acknowledged: list[str] = []

    def change(server: Server, worker: int) -> None:
        number = 0
        try:
            with server.client() as api:
                while True:
                    number += 1
                    name = f"w{worker}-{number}"
                    if api.post("/v1/nodes", json={"name": name}).status_code == 200:
                        acknowledged.append(name)
        except httpx.HTTPError:
            return

    with running_server(data, "--requests-per-second", "0") as server:
        workers = [threading.Thread(target=change, args=(server, one)) for one in range(4)]
        for worker in workers:
            worker.start()
        wait_for(lambda: len(acknowledged) > 100, "changes")
        server.stop(signal.SIGKILL)
        for worker in workers:
            worker.join(timeout=60)
    before = check_log(database_of(data, ""), data)
    assert before.broken == 0, before
    with running_server(data) as again:
        verified = run_edgesync("audit", "verify", "--data-dir", str(data))
        assert verified.returncode == 0, verified.stderr
        assert f"{before.checked + 1} entries verified." in verified.stdout
        with again.client() as api:
            names = {node["name"] for node in api.get("/v1/nodes").json()["items"]}
        with_entry = {one["name"] for one in all_entries(again, "node.create")}
    assert set(acknowledged) <= names
    assert names == with_entry


def all_entries(server: Server, action: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    place = ""
    with server.client() as api:
        while True:
            answer = api.get("/v1/audit", params={"action": action, "continue": place}).json()
            found += answer["items"]
            place = answer["listOptions"]["continue"]
            if not place:
                return found

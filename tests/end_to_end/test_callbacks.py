"""Callbacks for activations are delivered despite crashes of either side."""

import signal
from pathlib import Path

import httpx

from tests.end_to_end.conftest import (
    Server,
    claim_for,
    make_batch,
    make_csr,
    running_server,
    wait_for,
)
from tests.jobs.receiver import receiving
from tests.ports import free_port


def state(api: httpx.Client) -> dict[str, object]:
    found: dict[str, object] = api.get("/v1/callback/crm").json()["state"]
    return found


def test_a_callback_survives_its_receiver_and_the_server(tmp_path: Path) -> None:
    port = free_port()
    data, url = tmp_path / "data", f"http://127.0.0.1:{port}/hook"
    with running_server(data) as server, server.client() as api:
        made = api.post("/v1/callback", json={"name": "crm", "url": url}).json()
        batch = make_batch(api, callbackName="crm")
        activate_with_callback(server, batch, "SN-1", site="north")
        wait_for(lambda: state(api)["lastError"], "the first attempt")
        assert state(api)["pending"] == 1
        server.stop(signal.SIGKILL)
    with running_server(data) as server, receiving(port) as receiver, server.client() as api:
        wait_for(lambda: receiver.got, "the callback")
        got = receiver.got[0]
        assert (got.method, got.path) == ("POST", "/hook")
        assert got.is_signed_with(made["secret"])
        facts = got.json.pop("edgesync")
        assert got.json["site"] == "north"
        assert facts["time"].endswith("Z")
        assert {**facts, "time": ""} == {
            "event": "activation",
            "namespace": "default",
            "nodeName": "sn-1",
            "batchName": "b1",
            "recordName": "sn-1",
            "fingerprintValue": "sn-1",
            "activeIp": "127.0.0.1",
            "isFirst": True,
            "time": "",
        }
        wait_for(lambda: state(api)["pending"] == 0, "the queue to be empty")
        assert len({each.id for each in receiver.got}) == 1


def test_a_failing_callback_does_not_touch_the_activation(
    server: Server, api: httpx.Client
) -> None:
    with receiving() as receiver:
        receiver.status = 500
        api.post("/v1/callback", json={"name": "crm", "url": receiver.url})
        batch = make_batch(api, callbackName="crm")
        activate_with_callback(server, batch, "SN-1")
        wait_for(lambda: state(api)["lastError"] == "answered 500", "the refusal to show")
        assert api.get("/v1/register/b1/record/sn-1").json()["active"] == 1
        assert api.get("/v1/nodes/sn-1").status_code == 200


def activate_with_callback(
    server: Server, batch: dict[str, object], fingerprint: str, **extra: str
) -> None:
    _, csr = make_csr()
    claim = {**claim_for(batch, fingerprint, csr), "penetrateData": extra}
    with server.devices() as devices:
        answer = devices.post("/v1/active", json=claim)
    assert answer.status_code == 200, answer.text

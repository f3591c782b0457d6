"""A batch with an empty whitelist names itself as the reason, and is put right."""

from typing import Any

import httpx
import pytest

from tests.end_to_end.conftest import Server, activate, claim_for, make_batch, make_csr, wait_for


def events(api: httpx.Client, batch: str) -> list[dict[str, Any]]:
    query = {"type": "batch.refused", "kind": "batch", "name": batch}
    items: list[dict[str, Any]] = api.get("/v1/events", params=query).json()["items"]
    return items


def refused_devices(api: httpx.Client, batch: str) -> list[tuple[str, str]]:
    answer = api.get(f"/v1/register/{batch}/refused").json()
    assert answer["total"] == len(answer["items"])
    return [(one["fingerprintValue"], one["reason"]) for one in answer["items"]]


def attempt(server: Server, claim: dict[str, Any]) -> httpx.Response:
    with server.devices() as client:
        return client.post("/v1/active", json=claim)


def test_an_empty_whitelist_is_named_where_an_operator_looks(
    server: Server, api: httpx.Client
) -> None:
    batch = make_batch(api, enableWhitelist=1)
    assert "enableWhitelist is 1 and the batch has no records" in batch["warning"]
    _, csr = make_csr()
    refused = attempt(server, claim_for(batch, "SN-1", csr))
    assert refused.status_code == 401
    assert "whitelist" not in refused.text
    [event] = wait_for(lambda: events(api, "b1"), "the event of the refused device")
    assert event["data"] == {
        "fingerprintValue": "SN-1",
        "reason": "NotOnWhitelist",
        "address": "127.0.0.1",
    }
    assert "add a record for it, or set enableWhitelist to 0" in event["message"]
    assert refused_devices(api, "b1") == [("SN-1", "NotOnWhitelist")]
    assert api.get("/v1/overview").json()["refused"] == [{"batch": "b1", "devices": 1}]
    changed = api.put("/v1/register/b1", json={"enableWhitelist": 0}).json()
    assert (changed["enableWhitelist"], changed["warning"]) == (0, "")
    assert activate(server, changed, "SN-1").node_id == "default.sn-1"
    assert refused_devices(api, "b1") == []
    # Another device with that fingerprint has another key.
    assert attempt(server, claim_for(batch, "SN-1", csr)).status_code == 400
    assert refused_devices(api, "b1") == [("SN-1", "OtherKey")]
    # And one whose node is there already, made by an operator.
    api.post("/v1/nodes", json={"name": "sn-2"}).raise_for_status()
    assert attempt(server, claim_for(batch, "SN-2", csr)).status_code == 400
    assert refused_devices(api, "b1") == [("SN-2", "NameTaken"), ("SN-1", "OtherKey")]


def test_a_guess_without_the_token_causes_no_event(server: Server, api: httpx.Client) -> None:
    batch = make_batch(api, enableWhitelist=1)
    _, csr = make_csr()
    wrong = claim_for(batch, "SN-1", csr) | {"securityValue": "guess"}
    assert attempt(server, wrong).status_code == 401
    assert attempt(server, claim_for(batch, "SN-2", csr)).status_code == 401
    found = wait_for(lambda: events(api, "b1"), "the event of the device with the token")
    assert [event["data"]["fingerprintValue"] for event in found] == ["SN-2"]
    assert refused_devices(api, "b1") == [("SN-2", "NotOnWhitelist"), ("SN-1", "WrongToken")]


@pytest.mark.parametrize("whitelist", [0, 1])
def test_a_full_batch_and_one_with_records(
    server: Server, api: httpx.Client, whitelist: int
) -> None:
    batch = make_batch(api, enableWhitelist=whitelist, quotaNum=1)
    record = {"name": "sn-1", "fingerprintValue": "SN-1", "nodeName": "sn-1"}
    api.post("/v1/register/b1/record", json=record).raise_for_status()
    warning = api.get("/v1/register/b1").json()["warning"]
    assert warning == (
        "" if whitelist else "no new device can activate: 1 records have reached quotaNum; raise it"
    )
    activate(server, batch, "SN-1")
    _, csr = make_csr()
    refused = attempt(server, claim_for(batch, "SN-2", csr))
    assert refused.status_code in {400, 401}
    [event] = wait_for(lambda: events(api, "b1"), "the event of the refused device")
    assert event["data"]["reason"] == ("NotOnWhitelist" if whitelist else "QuotaReached")

"""A device becomes a node, over real HTTPS."""

import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.deadlines import UNIT
from tests.end_to_end.conftest import (
    Identity,
    Server,
    activate,
    claim_for,
    make_batch,
    make_csr,
    running_server,
)
from tests.end_to_end.node import connected


def post(server: Server, body: Any) -> httpx.Response:
    with server.devices() as client:
        return client.post("/v1/active", json=body)


def assert_refused(answer: httpx.Response, status: int, code: str, words: str = "") -> None:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) - {"field"} == {"code", "message", "request-id", "time"}
    assert answer.headers["date"]
    assert body["code"] == code
    assert words in body["message"]


def test_a_device_gets_a_certificate_for_its_own_key_and_its_batchs_labels(
    server: Server, api: httpx.Client
) -> None:
    batch = make_batch(api, labels={"site": "north"})
    key, csr = make_csr()
    answer = post(server, claim_for(batch, "SN-1", csr))
    body = answer.json()
    assert body["nodeName"] == "sn-1"
    assert body["namespace"] == "default"
    assert body["certificate"]["key"] == ""
    assert body["mqttCert"]["cert"] == body["certificate"]["cert"]
    assert body["certificate"]["cert"].count("BEGIN") == 1
    certificate = x509.load_pem_x509_certificate(body["certificate"]["cert"].encode())
    assert certificate.public_key() == key.public_key()
    [name] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == "default.sn-1"
    assert body["certificate"]["ca"] == Path(server.ca).read_text()
    node = api.get("/v1/nodes/sn-1").json()
    assert node["labels"]["site"] == "north"
    assert node["labels"]["baetyl-batch"] == "b1"
    assert node["ready"] is False
    record = api.get("/v1/register/b1/record/sn-1").json()
    assert (record["active"], record["nodeName"]) == (1, "sn-1")
    assert record["activeIp"] == "127.0.0.1"


def test_activating_twice_gives_the_same_node(server: Server, api: httpx.Client) -> None:
    batch = make_batch(api)
    _, csr = make_csr()
    answers = [post(server, claim_for(batch, name, csr)).json() for name in ("Sn-1", " sn-1\n")]
    assert [answer["nodeName"] for answer in answers] == ["sn-1", "sn-1"]
    assert api.get("/v1/nodes").json()["total"] == 1
    assert api.get("/v1/register/b1/record").json()["total"] == 1


def test_an_active_device_is_not_given_away_until_its_record_is_reset(
    server: Server, api: httpx.Client
) -> None:
    """The attacker has the batch's token and read the fingerprint off the device."""
    batch = make_batch(api)
    owner = activate(server, batch, "sn-1")
    with connected(server, owner) as node:
        node.report(apps=[])
        _, csr = make_csr()
        stolen = post(server, claim_for(batch, "sn-1", csr))
        assert_refused(stolen, 400, "RegisterRecordActivated", "reset the record")
        node.report(apps=[])
        assert api.post("/v1/register/b1/record/sn-1/reset").json()["active"] == 0
        assert node.disconnected.wait(5 * UNIT)
    assert post(server, claim_for(batch, "sn-1", csr)).status_code == 200


def test_without_a_signing_request_there_is_no_key_unless_it_is_switched_on(
    tmp_path: Path, server: Server, api: httpx.Client
) -> None:
    claim = claim_for(make_batch(api), "sn-1", "")
    del claim["csr"]
    assert_refused(post(server, claim), 400, "RequestParamInvalid", "csr")
    assert api.get("/v1/nodes").json()["total"] == 0
    with running_server(tmp_path / "other", "--server-generated-keys") as generous:
        with generous.client() as other:
            claim = claim_for(make_batch(other), "sn-1", "")
        # The first answer is lost; the agent tries again until it has one.
        lost = given(generous, claim, tmp_path / "lost")
        with connected(generous, lost) as lost_node:
            kept = given(generous, claim, tmp_path / "kept")
            assert lost_node.disconnected.wait(5 * UNIT)
        with connected(generous, kept) as node:
            node.report(apps=[])
            assert_refused(post(generous, claim), 400, "RegisterRecordActivated", "reset")
            node.report(apps=[])


def given(server: Server, claim: dict[str, Any], folder: Path) -> Identity:
    """What a device that has the server make its key is given."""
    answer = post(server, claim)
    assert answer.status_code == 200, answer.text
    folder.mkdir()
    for part in ("ca", "cert", "key"):
        (folder / part).write_text(answer.json()["certificate"][part])
    return Identity(answer.json()["nodeName"], folder / "ca", folder / "cert", folder / "key")


def test_what_does_not_prove_itself_is_refused_and_leaves_nothing(
    server: Server, api: httpx.Client
) -> None:
    batch = make_batch(api, enableWhitelist=1)
    _, csr = make_csr()
    good = claim_for(batch, "sn-1", csr)
    answer = api.post("/v1/register/b1/record", json={"fingerprintValue": "sn-1"})
    assert answer.status_code == 200, answer.text
    words = set()
    for wrong in (
        {"securityValue": "wrong"},
        {"securityType": "None"},
        {"batchName": "b2"},
        {"namespace": "other"},
        {"fingerprintValue": "sn-2"},
    ):
        answer = post(server, {**good, **wrong})
        assert_refused(answer, 401, "RequestAccessDenied", "log of the server")
        words.add(answer.json()["message"])
        assert answer.json()["request-id"] in server.log()
    assert len(words) == 1
    invalid = "RequestParamInvalid"
    assert_refused(post(server, {**good, "csr": "x"}), 400, invalid, "csr")
    assert_refused(post(server, {**good, "namespace": "a.b"}), 400, invalid, "namespace")
    assert_refused(post(server, {**good, "fingerprintValue": 3}), 400, invalid, "fingerprintValue")
    for field in ("batchName", "fingerprintValue", "namespace"):
        assert_refused(post(server, {**good, field: "a\0b"}), 400, invalid, field)
    assert_refused(post(server, []), 400, invalid)
    assert_refused(post(server, {**good, "mode": "x" * 70_000}), 413, "RequestTooLarge")
    with server.devices() as client:
        assert_refused(client.get("/v1/active"), 404, "RequestMethodNotFound")
        assert_refused(client.post("/v1/nodes", json={}), 404, "RequestMethodNotFound")
    assert api.get("/v1/nodes").json()["total"] == 0
    assert post(server, good).status_code == 200


def test_a_fingerprint_cannot_take_over_a_node_that_is_there(
    server: Server, api: httpx.Client
) -> None:
    assert api.post("/v1/nodes", json={"name": "precious"}).status_code == 200
    batch = make_batch(api)
    _, csr = make_csr()
    assert_refused(post(server, claim_for(batch, "precious", csr)), 400, "RequestParamInvalid")
    first = make_batch(api, "b2", enableWhitelist=1)
    second = make_batch(api, "b3", enableWhitelist=1)
    for batch in (first, second):
        body = {"fingerprintValue": f"sn-{batch['name']}", "nodeName": "gate"}
        assert api.post(f"/v1/register/{batch['name']}/record", json=body).status_code == 200
    assert post(server, claim_for(first, "sn-b2", csr)).status_code == 200
    assert_refused(
        post(server, claim_for(second, "sn-b3", csr)), 400, "RequestParamInvalid", "another device"
    )


def test_who_guesses_is_locked_out_and_a_site_is_not(tmp_path: Path) -> None:
    """All of them come from one address; who forges another in a header is still the same."""
    forged = {"X-Forwarded-For": "192.0.2.9", "Forwarded": "for=192.0.2.9"}
    with (
        running_server(tmp_path / "data", "--denials-per-minute", "3") as server,
        server.client() as api,
        server.devices() as devices,
    ):
        batch = make_batch(api, enableWhitelist=1)
        api.post("/v1/register/b1/record", json={"fingerprintValue": "own"})
        other = make_batch(api, "b2")
        (_, csr), (_, waiting_csr) = make_csr(), make_csr()
        own, waiting = claim_for(batch, "own", csr), claim_for(batch, "waits", waiting_csr)
        assert devices.post("/v1/active", json=own).status_code == 200
        assert devices.post("/v1/active", json=waiting).status_code == 401
        answers = [
            devices.post("/v1/active", json=claim_for(batch, f"g-{n}", csr), headers=forged)
            for n in range(6)
        ]
        assert {answer.status_code for answer in answers[:2]} == {401}
        assert_refused(answers[-1], 429, "TooManyRequests")
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 20
        assert devices.post("/v1/active", json=own).status_code == 200
        assert devices.post("/v1/active", json=waiting).status_code == 401
        api.post("/v1/register/b1/record", json={"fingerprintValue": "waits"})
        assert devices.post("/v1/active", json=waiting).status_code == 200
        assert devices.post("/v1/active", json=claim_for(other, "new", csr)).status_code == 200
        command = api.get("/v1/register/b1/init").json()["cmd"]
        token = re.search(r"token=([\w-]+)", command)
        assert token is not None
        api.post("/v1/register/b1/record", json={"fingerprintValue": "brought"})
        brought = {"installToken": token[1], "fingerprintValue": "brought", "csr": csr}
        assert devices.post("/v1/active", json=brought).status_code == 200
        assert api.get("/v1/register/b1/record/own").json()["activeIp"] == "127.0.0.1"


def test_a_thousand_at_once_do_not_overrun_a_quota_of_five_hundred(tmp_path: Path) -> None:
    with (
        running_server(tmp_path / "data", "--requests-per-second", "0") as server,
        server.client() as api,
        ThreadPoolExecutor(32) as threads,
    ):

        def ask(claims: Sequence[dict[str, Any]]) -> list[httpx.Response]:
            """Activate one device after the other, by a connection of their own."""
            with server.devices() as devices:
                return [devices.post("/v1/active", json=claim) for claim in claims]

        batch = make_batch(api, quotaNum=500)
        _, csr = make_csr()
        claims = [claim_for(batch, f"sn-{number}", csr) for number in range(1000)]
        answers = list(chain.from_iterable(threads.map(ask, (claims[n::32] for n in range(32)))))
        statuses = Counter(answer.status_code for answer in answers)
        assert statuses == {200: 500, 400: 500}
        codes = {answer.json()["code"] for answer in answers if answer.status_code == 400}
        assert codes == {"RegisterQuotaNumOut"}
        assert api.get("/v1/register/b1/record").json()["total"] == 500
        assert api.get("/v1/nodes?limit=1").json()["total"] == 500


def test_the_endpoint_is_tls_only_and_its_certificate_is_checked(server: Server) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.post(f"{server.activation}/v1/active", json={})
    with pytest.raises(httpx.HTTPError):
        httpx.post(f"{server.activation.replace('https', 'http')}/v1/active", json={})

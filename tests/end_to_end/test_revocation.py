"""A node that is shut out is out: at once, everywhere, and no other is."""

import os
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from tests.deadlines import UNIT
from tests.end_to_end.conftest import (
    Identity,
    Server,
    activate,
    claim_for,
    make_batch,
    make_csr,
    running_server,
    wait_for,
)
from tests.end_to_end.mosquitto import PROGRAM, lets_in, running_mosquitto
from tests.end_to_end.node import connected


@pytest.fixture(scope="module")
def crl_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("published") / "crl.pem"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, crl_file: Path) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("server") / "data"
    with running_server(data, "--crl-file", str(crl_file)) as running:
        yield running


@pytest.fixture(scope="module")
def nodes(server: Server) -> Iterator[dict[str, Identity]]:
    with server.client() as api:
        batch = make_batch(api)
        yield {name: activate(server, batch, name) for name in ("n1", "n2", "n3", "n4", "n5")}


def serial_of(identity: Identity) -> int:
    return x509.load_pem_x509_certificate(identity.cert.read_bytes()).serial_number


def serials_of(pem: bytes) -> set[int]:
    return {one.serial_number for one in x509.load_pem_x509_crl(pem)}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("/crl.pem", "/crl.der", "/v1/agent")),
        *(("GET", f"/v1/init/{file}") for file in ("install.sh", "agent.pyz")),
        ("GET", "/.well-known/est/cacerts"),
        *(("POST", path) for path in ("/v1/active", "/v1/active/", "/v1/renew")),
        ("POST", "/.well-known/est/simpleenroll"),
        ("POST", "/.well-known/est/simplereenroll"),
    ],
)
def test_the_activation_port_ignores_no_unknown_parameter(
    server: Server, method: str, path: str
) -> None:
    with server.devices() as client:
        answer = client.request(method, f"{path}?a=1")
    assert answer.status_code == 400, answer.text
    assert "unknown query parameter 'a'" in answer.json()["message"]


def test_within_a_second_a_revoked_node_is_off_the_line_and_on_the_list(
    server: Server, api: httpx.Client, nodes: dict[str, Identity], crl_file: Path
) -> None:
    mine, other = nodes["n1"], nodes["n2"]
    with connected(server, mine) as node, connected(server, other) as untouched:
        deadline = time.monotonic() + UNIT
        assert api.post("/v1/nodes/n1/revoke").status_code == 200
        assert node.disconnected.wait(deadline - time.monotonic())
        while serial_of(mine) not in serials_of(crl_file.read_bytes()):
            assert time.monotonic() < deadline, "the file does not list it"
        node.client.loop_stop()
        assert not lets_in(server.mqtt_port, mine)
        untouched.report(apps=[])
    with server.devices() as client:
        assert client.get("/crl.pem").content == crl_file.read_bytes()
        der = client.get("/crl.der")
    assert der.headers["content-type"] == "application/pkix-crl"
    assert {one.serial_number for one in x509.load_der_x509_crl(der.content)} == {serial_of(mine)}
    assert lets_in(server.mqtt_port, other)
    listed = api.get("/v1/nodes").json()["items"]
    shown = {node["name"]: node["state"]["revoked"] for node in listed}
    assert shown == {"n1": True, "n2": False, "n3": False, "n4": False, "n5": False}
    assert api.get("/v1/nodes/n1").json()["state"]["revoked"] is True


def test_a_deleted_node_is_on_the_list_too_and_numbers_only_grow(
    server: Server, api: httpx.Client, nodes: dict[str, Identity]
) -> None:
    with server.devices() as client:
        before = x509.load_pem_x509_crl(client.get("/crl.pem").content)
        again = x509.load_pem_x509_crl(client.get("/crl.pem").content)
        api.delete("/v1/nodes/n5")
        after = x509.load_pem_x509_crl(client.get("/crl.pem").content)
    assert again == before
    assert number_of(after) > number_of(before)
    assert serial_of(nodes["n5"]) in {one.serial_number for one in after}


def test_a_revoked_device_comes_back_when_an_operator_resets_its_record(
    server: Server, api: httpx.Client
) -> None:
    batch = make_batch(api, "b2")
    identity = activate(server, batch, "back")
    api.post("/v1/nodes/back/revoke")
    claim = claim_for(batch, "back", make_csr()[1])
    with server.devices() as client:
        assert client.post("/v1/active", json=claim).json()["code"] == "RegisterRecordActivated"
        assert api.post("/v1/register/b2/record/back/reset").status_code == 200
        assert client.post("/v1/active", json=claim).status_code == 200
    assert not lets_in(server.mqtt_port, identity), "the old certificate stays revoked"


def test_resetting_a_record_ends_the_connection_of_its_node(
    server: Server, api: httpx.Client
) -> None:
    identity = activate(server, make_batch(api, "b3"), "reset")
    with connected(server, identity) as node:
        assert api.post("/v1/register/b3/record/reset/reset").status_code == 200
        assert node.disconnected.wait(5 * UNIT)
        node.client.loop_stop()
    assert not lets_in(server.mqtt_port, identity)
    with server.devices() as client:
        assert serial_of(identity) in serials_of(client.get("/crl.pem").content)


def test_an_open_https_connection_is_refused_at_its_next_request(
    server: Server, api: httpx.Client
) -> None:
    identity = activate(server, make_batch(api, "b4"), "kept")
    with httpx.Client(base_url=server.sync, verify=identity.context(), timeout=20 * UNIT) as client:
        statuses, connections = [], set()
        for before in (lambda: None, lambda: api.post("/v1/nodes/kept/revoke")):
            before()
            answer = client.post("/v1/sync/report", json={"apps": []})
            statuses.append(answer.status_code)
            connections.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
    assert statuses == [200, 401]
    assert len(connections) == 1, "the same connection"


def number_of(revoked: x509.CertificateRevocationList) -> int:
    return revoked.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def test_the_list_is_signed_by_the_servers_own_authority(server: Server, crl_file: Path) -> None:
    intermediate = Path(server.ca).parent / "intermediate.pem"
    command = ["openssl", "crl", "-in", str(crl_file), "-CAfile", str(intermediate), "-noout"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "verify OK" in done.stderr


@pytest.mark.mosquitto
@pytest.mark.skipif(PROGRAM is None and "CI" not in os.environ, reason="mosquitto is not installed")
def test_mosquitto_with_the_file_refuses_who_is_revoked_and_takes_the_others(
    server: Server,
    api: httpx.Client,
    nodes: dict[str, Identity],
    crl_file: Path,
) -> None:
    """Two are revoked within a second: each list has to be newer than the one before."""
    ca = Path(server.ca).parent
    trusted = (ca / "root.pem").read_text() + (ca / "intermediate.pem").read_text()
    with running_mosquitto(crl_file.parent, ca, trusted) as broker:
        assert lets_in(broker.port, nodes["n3"])
        assert lets_in(broker.port, nodes["n4"])
        for identity in (nodes["n3"], nodes["n4"]):
            api.post(f"/v1/nodes/{identity.name}/revoke")
            wait_for(partial(is_listed, crl_file, identity), "the list")
            broker.reload()
            wait_for(partial(is_refused, broker.port, identity), "a refusal")
        assert lets_in(broker.port, nodes["n2"])


def is_listed(crl_file: Path, identity: Identity) -> bool:
    return serial_of(identity) in serials_of(crl_file.read_bytes())


def is_refused(port: int, identity: Identity) -> bool:
    return not lets_in(port, identity)

"""Nodes renew their certificates, over MQTT and HTTPS, and come back when they have ended."""

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.deadlines import UNIT
from tests.end_to_end.conftest import Identity, Server, make_csr, running_server
from tests.end_to_end.fleet import keep, make_past
from tests.end_to_end.node import connected


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Identity]]:
    data = tmp_path_factory.mktemp("renewal") / "data"
    ages = {"young": 1, "old": 80, "rotating": 80, "away": 250, "forgotten": 300, "gone": 100}
    return data, anyio.run(make_past, data, ages)


@pytest.fixture(scope="module")
def server(past: tuple[Path, dict[str, Identity]]) -> Iterator[Server]:
    with running_server(past[0]) as running:
        yield running


@pytest.fixture(scope="module")
def nodes(past: tuple[Path, dict[str, Identity]]) -> dict[str, Identity]:
    return past[1]


def csr_of(identity: Identity, name: str = "anything") -> str:
    key = serialization.load_pem_private_key(identity.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def renew(server: Server, identity: Identity, csr: str, *, shown: bool = False) -> httpx.Response:
    """Ask by the certificate of the handshake, or by sending it along."""
    if not shown:
        with server.devices() as client:
            body = {"csr": csr, "certificate": identity.cert.read_text()}
            return client.post("/v1/renew", json=body)
    context = identity.context()
    with httpx.Client(base_url=server.activation, verify=context, timeout=30 * UNIT) as client:
        return client.post("/v1/renew", json={"csr": csr})


def check(identity: Identity, answer: Any, folder: Path, key: Any = None) -> Identity:
    """What a node looks at before it takes a certificate over; then the files of the new one."""
    given = answer["certificate"]
    certificate = x509.load_pem_x509_certificate(given["cert"].encode())
    [name] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == f"{answer['namespace']}.{answer['nodeName']}" == identity.node_id
    assert (given["key"], given["ca"]) == ("", identity.ca.read_text())
    key = key or serialization.load_pem_private_key(identity.key.read_bytes(), None)
    made = keep(folder, identity.name, key, given["cert"], given["ca"])
    (folder / "chain.pem").write_text(given["chain"])
    verify = ["openssl", "verify", "-purpose", "sslclient", "-CAfile", str(made.ca)]
    subprocess.run(
        [*verify, "-untrusted", str(folder / "chain.pem"), str(made.cert)], check=True, timeout=60
    )
    made.context()  # fails if the key is not that of the certificate
    return made


def assert_connects(server: Server, identity: Identity) -> None:
    with connected(server, identity) as node:
        assert node.report(apps=[])["kind"] == "report"


def is_let_in(identity: Identity, port: int) -> bool:
    """Return whether the hub waits for a CONNECT; TLS 1.3 may refuse after the handshake."""
    with socket.create_connection(("localhost", port), timeout=10 * UNIT) as plain:
        try:
            with identity.context().wrap_socket(plain, server_hostname="localhost") as secure:
                secure.settimeout(0.3)
                return bool(secure.recv(1))
        except TimeoutError:
            return True
        except OSError:
            return False


def test_a_node_renews_over_mqtt_with_a_new_key_and_both_certificates_are_good(
    server: Server, nodes: dict[str, Identity], tmp_path: Path
) -> None:
    key, csr = make_csr()
    with connected(server, nodes["old"]) as node:
        node.send("renew", "renew", {"csr": csr}, **{"x-baetyl-request-id": "r1"})
        answer = node.next("renew-response")
        assert (answer["kind"], answer["meta"]["x-baetyl-request-id"]) == ("renew", "r1")
        assert answer["meta"]["time"]
        new = check(nodes["old"], answer["content"], tmp_path, key)
        for content, field in (
            ({"csr": "x"}, "content.csr"),
            ({}, "content.csr"),
            ({"csr": csr.replace("A", "B")}, "content.csr"),
        ):
            node.send("renew", "renew", content)
            refused = node.next("renew-response")
            assert (refused["kind"], refused["meta"]["code"]) == ("error", "RequestParamInvalid")
            assert field in refused["content"]
    assert_connects(server, new)
    assert_connects(server, nodes["old"])


def test_a_node_that_asks_too_often_over_mqtt_gets_an_error(
    server: Server, nodes: dict[str, Identity]
) -> None:
    with connected(server, nodes["rotating"]) as node:
        codes = []
        for _ in range(8):
            node.send("renew", "renew", {"csr": make_csr()[1]})
            answer = node.next("renew-response")
            codes.append(answer["meta"].get("code", answer["kind"]))
    # Three keys beside the one it has; then no more keys; then no more questions.
    assert codes == ["renew"] * 3 + ["RequestForbidden"] * 3 + ["TooManyRequests"] * 2
    assert_connects(server, nodes["rotating"])


def test_a_node_renews_over_https_with_the_certificate_it_shows(
    server: Server, nodes: dict[str, Identity], tmp_path: Path
) -> None:
    key, csr = make_csr()
    answer = renew(server, nodes["young"], csr, shown=True)
    assert answer.status_code == 200, answer.text
    assert answer.json()["time"]
    assert_connects(server, check(nodes["young"], answer.json(), tmp_path, key))


def test_a_certificate_that_ended_is_renewed_for_its_own_key_and_is_good_for_nothing_else(
    server: Server, nodes: dict[str, Identity], tmp_path: Path
) -> None:
    away = nodes["away"]
    with pytest.raises(httpx.HTTPError):  # the handshake ends
        renew(server, away, csr_of(away), shown=True)
    assert not is_let_in(away, server.mqtt_port)
    assert is_let_in(nodes["young"], server.mqtt_port)
    stolen = renew(server, away, make_csr()[1])
    assert (stolen.status_code, stolen.json()["code"]) == (401, "RequestAccessDenied")
    answer = renew(server, away, csr_of(away, "default.young"))
    assert answer.status_code == 200, answer.text
    assert_connects(server, check(away, answer.json(), tmp_path))


def test_no_node_returns_after_the_grace_period_or_once_revoked(
    server: Server, nodes: dict[str, Identity]
) -> None:
    late = renew(server, nodes["forgotten"], csr_of(nodes["forgotten"]))
    assert (late.status_code, late.json()["code"]) == (401, "RequestAccessDenied")
    assert "180 days" in late.json()["message"]
    with server.client() as api:
        assert api.delete("/v1/nodes/gone").status_code == 200
    gone = renew(server, nodes["gone"], csr_of(nodes["gone"]))
    assert (gone.status_code, gone.json()["code"]) == (401, "RequestAccessDenied")


def test_what_is_not_a_request_is_refused_by_the_name_of_its_field(
    server: Server, nodes: dict[str, Identity]
) -> None:
    csr = csr_of(nodes["young"])
    cases: list[tuple[Any, str]] = [
        ({}, "csr"),
        ({"csr": "x", "certificate": ""}, "csr"),
        ({"csr": csr}, "certificate"),
        ({"csr": csr, "certificate": "x"}, "certificate"),
        ({"csr": csr, "certificate": csr}, "certificate"),
        ([], ""),
    ]
    with server.devices() as client:
        for body, field in cases:
            answer = client.post("/v1/renew", content=json.dumps(body))
            assert (answer.status_code, answer.json()["code"]) == (400, "RequestParamInvalid")
            assert field in answer.json()["message"]
        assert client.post("/v1/renew", content=b"x" * 70_000).status_code == 413


def test_a_certificate_of_a_foreign_authority_renews_nothing(
    server: Server, nodes: dict[str, Identity], tmp_path: Path
) -> None:
    """Self-signed, with the right name and the right serial number."""
    key = ec.generate_private_key(ec.SECP256R1())
    real = x509.load_pem_x509_certificate(nodes["young"].cert.read_bytes())
    forged = (
        x509.CertificateBuilder()
        .subject_name(real.subject)
        .issuer_name(real.issuer)
        .public_key(key.public_key())
        .serial_number(real.serial_number)
        .not_valid_before(real.not_valid_before_utc)
        .not_valid_after(real.not_valid_after_utc)
        .sign(key, hashes.SHA256())
    )
    pem = forged.public_bytes(serialization.Encoding.PEM).decode()
    mine = keep(tmp_path, "young", key, pem, nodes["young"].ca.read_text())
    answer = renew(server, mine, csr_of(mine))
    assert (answer.status_code, answer.json()["code"]) == (401, "RequestAccessDenied")
    with pytest.raises((httpx.HTTPError, OSError)):
        renew(server, mine, csr_of(mine), shown=True)

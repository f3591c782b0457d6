"""The one HTTPS request of a node, against real TLS."""

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from agent_sim.activation import ActivationClaim, activate, open_client, signing_request
from agent_sim.errors import (
    ActivationRefused,
    ActivationUnanswered,
    ActivationUnreadable,
    StateError,
)
from agent_sim.state import NodeIdentity, read_ca
from tests.agent_sim.authority import SimulatorAuthority
from tests.agent_sim.conftest import ActivationServer

CLAIM = ActivationClaim(batch="b", fingerprint="n1", token="secret")


@pytest.fixture
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


async def ask(
    server: ActivationServer,
    ca: Path,
    key: ec.EllipticCurvePrivateKey,
    claim: ActivationClaim = CLAIM,
) -> NodeIdentity:
    async with open_client(server.url, read_ca(ca)) as client:
        return await activate(client, claim, key)


async def test_a_node_gets_a_certificate_for_its_own_key(
    activation_server: ActivationServer,
    authority: SimulatorAuthority,
    key: ec.EllipticCurvePrivateKey,
) -> None:
    identity = await ask(activation_server, authority.root_file, key)
    assert identity.node_id == "default.n1"
    assert identity.ca == authority.root_pem
    certificate = x509.load_pem_x509_certificate(identity.certificate.encode())
    assert certificate.public_key() == key.public_key()


async def test_requests_are_those_of_the_protocol(
    activation_server: ActivationServer,
    authority: SimulatorAuthority,
    key: ec.EllipticCurvePrivateKey,
) -> None:
    await ask(activation_server, authority.root_file, key)
    [request] = activation_server.requests
    csr = x509.load_pem_x509_csr(request.pop("csr").encode())
    assert csr.is_signature_valid
    assert csr.public_key() == key.public_key()
    assert request == {
        "path": "/v1/active",
        "batchName": "b",
        "namespace": "default",
        "fingerprintValue": "n1",
        "securityType": "Token",
        "securityValue": "secret",
    }


async def test_without_a_token_the_security_type_is_none(
    activation_server: ActivationServer,
    authority: SimulatorAuthority,
    key: ec.EllipticCurvePrivateKey,
) -> None:
    await ask(
        activation_server, authority.root_file, key, ActivationClaim(batch="b", fingerprint="n1")
    )
    [request] = activation_server.requests
    assert (request["securityType"], request["securityValue"]) == ("None", "")


async def test_a_refusal_carries_the_words_of_the_server(
    activation_server: ActivationServer,
    authority: SimulatorAuthority,
    key: ec.EllipticCurvePrivateKey,
) -> None:
    refusal = {"code": "RequestAccessDenied", "message": "wrong token", "request-id": "1"}
    activation_server.answer = lambda _: (401, refusal)
    with pytest.raises(ActivationRefused) as caught:
        await ask(activation_server, authority.root_file, key)
    error = caught.value
    assert (error.status, error.code, error.message) == (401, "RequestAccessDenied", "wrong token")


async def test_a_refusal_in_other_words_is_one_too(
    activation_server: ActivationServer,
    authority: SimulatorAuthority,
    key: ec.EllipticCurvePrivateKey,
) -> None:
    activation_server.answer = lambda _: (502, b"<html>")
    with pytest.raises(ActivationRefused) as caught:
        await ask(activation_server, authority.root_file, key)
    assert (caught.value.status, caught.value.message) == (502, "<html>")


async def test_a_server_of_another_authority_learns_nothing(
    activation_server: ActivationServer,
    foreign_authority: SimulatorAuthority,
    key: ec.EllipticCurvePrivateKey,
) -> None:
    with pytest.raises(ActivationUnanswered):
        await ask(activation_server, foreign_authority.root_file, key)
    assert activation_server.requests == []


async def test_a_server_by_another_name_learns_nothing(
    activation_server: ActivationServer,
    authority: SimulatorAuthority,
    key: ec.EllipticCurvePrivateKey,
) -> None:
    activation_server.url = activation_server.url.replace("127.0.0.1", "localhost")
    with pytest.raises(ActivationUnanswered):
        await ask(activation_server, authority.root_file, key)
    assert activation_server.requests == []


async def test_an_answer_for_another_key_is_not_taken(
    activation_server: ActivationServer,
    authority: SimulatorAuthority,
    key: ec.EllipticCurvePrivateKey,
) -> None:
    honest = activation_server.answer
    other = signing_request(ec.generate_private_key(ec.SECP256R1()), "x")
    activation_server.answer = lambda claim: honest({**claim, "csr": other})
    with pytest.raises(ActivationUnreadable):
        await ask(activation_server, authority.root_file, key)


@pytest.mark.parametrize("change", [{"nodeName": "n2"}, {"namespace": "a/b"}, {"mqttCert": {}}])
async def test_an_answer_that_does_not_fit_is_not_taken(
    activation_server: ActivationServer,
    authority: SimulatorAuthority,
    key: ec.EllipticCurvePrivateKey,
    change: dict[str, Any],
) -> None:
    honest = activation_server.answer
    activation_server.answer = lambda claim: (200, {**honest(claim)[1], **change})
    with pytest.raises(ActivationUnreadable):
        await ask(activation_server, authority.root_file, key)


def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "root.pem"
    with pytest.raises(StateError) as caught:
        read_ca(path)
    assert caught.value.path == path

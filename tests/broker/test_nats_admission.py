"""Answers to the authorization requests of NATS, and its configuration; without NATS."""

import base64
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from broker.access import may_publish, may_subscribe
from broker.errors import MalformedCredentials, MalformedRequest, MalformedTopic
from broker.nats_admission import (
    AuthorizationRequest,
    admit,
    client_id_for,
    parse_subject,
    read_request,
    refuse,
    subject_for,
)
from broker.nats_credentials import NatsCredentials
from broker.nats_files import ACCOUNT, NatsCluster, NatsNode, nats_files
from broker.topics import Channel, topic_for
from tests.broker.authority import HubAuthority

NODE = "default.gate-7"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
CREDENTIALS = NatsCredentials(
    password="11" * 32, system_password="22" * 32, route_password="33" * 32, issuer="44" * 32
)
GOLDEN = Path("tests/golden/nats.conf")


def token_of(claims: object) -> bytes:
    parts = [json.dumps({"typ": "JWT"}).encode(), json.dumps(claims).encode(), b"signature"]
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)


def request_of(certificate: str, **client: str) -> dict[str, Any]:
    return {
        "nats": {
            "server_id": {"id": "NSERVER", "name": "edgesync-1"},
            "user_nkey": "UUSER",
            "client_info": {"host": "192.0.2.7", "type": "mqtt", **client},
            "client_tls": {"verified_chains": [[certificate, "the root"]]},
        }
    }


@pytest.fixture(scope="module")
def certificate(authority: HubAuthority) -> str:
    read = x509.load_pem_x509_certificate(authority.issue(NODE, [NODE]).read_bytes())
    return read.public_bytes(Encoding.PEM).decode()


@pytest.fixture
def request_(certificate: str) -> AuthorizationRequest:
    return read_request(token_of(request_of(certificate, mqtt_id="default/gate-7")))


def claims_of(token: bytes) -> dict[str, Any]:
    """The claims of a token that is signed by the issuer which NATS knows."""
    content, _, signature = token.rpartition(b".")
    raw = base64.b32decode(CREDENTIALS.issuer_name + "=" * (-len(CREDENTIALS.issuer_name) % 8))
    key = Ed25519PublicKey.from_public_bytes(raw[1:33])
    key.verify(base64.urlsafe_b64decode(signature + b"=="), content)
    part = content.partition(b".")[2]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + b"=="))
    return claims


def test_a_request_is_of_the_node_whose_certificate_and_client_id_it_has(
    request_: AuthorizationRequest, authority: HubAuthority
) -> None:
    identity = request_.admissible
    assert identity is not None
    assert identity.node_id == NODE
    assert identity.certificate.serial_number == authority.serials[NODE]
    assert request_.address == "192.0.2.7"


@pytest.mark.parametrize(
    "client",
    [
        {"mqtt_id": "default/gate-8"},
        {"mqtt_id": NODE},
        {"mqtt_id": ""},
        {},
        {"mqtt_id": "default/gate-7", "type": "nats"},
        {"mqtt_id": "default/gate-7", "type": "websocket"},
    ],
)
def test_any_other_client_id_or_protocol_is_of_no_node(
    certificate: str, client: dict[str, str]
) -> None:
    assert read_request(token_of(request_of(certificate, **client))).admissible is None


def test_a_certificate_that_was_not_verified_is_of_no_node(certificate: str) -> None:
    claims = request_of(certificate, mqtt_id="default/gate-7")
    unverified: list[Any] = [None, {}, {"certs": [certificate]}, {"verified_chains": []}]
    for shown in unverified:
        claims["nats"]["client_tls"] = shown
        assert read_request(token_of(claims)).admissible is None


@given(st.binary(max_size=300) | st.lists(st.none() | st.text(), max_size=3).map(token_of))
def test_anything_else_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedRequest):
        read_request(data)


def test_a_node_gets_what_the_access_table_grants(request_: AuthorizationRequest) -> None:
    identity = request_.admissible
    assert identity is not None
    answer = claims_of(admit(request_, identity, ACCOUNT, CREDENTIALS, NOW))
    assert (answer["aud"], answer["sub"]) == ("NSERVER", "UUSER")
    user = claims_of(answer["nats"]["jwt"].encode())
    assert (user["aud"], user["sub"], user["name"]) == (ACCOUNT, "UUSER", NODE)
    assert user["exp"] == int(datetime(2090, 1, 1, tzinfo=UTC).timestamp())
    assert user["nats"]["allowed_connection_types"] == ["MQTT"]
    for channel in Channel:
        for node_id in (NODE, "default.gate-8"):
            topic, subject = topic_for(node_id, channel), subject_for(node_id, channel)
            for may, granted in ((may_publish, "pub"), (may_subscribe, "sub")):
                allowed = user["nats"][granted]["allow"]
                assert (subject in allowed) is may(NODE, topic)
                assert not any("*" in one or one == ">" for one in allowed)


def test_a_refusal_has_its_reason_and_lets_no_one_in(request_: AuthorizationRequest) -> None:
    answer = claims_of(refuse(request_, "revoked", CREDENTIALS, NOW))
    assert answer["nats"]["error"] == "revoked"
    assert "jwt" not in answer["nats"]


@given(st.from_regex(r"[a-z0-9]{1,8}\.[a-z0-9.-]{1,20}", fullmatch=True), st.sampled_from(Channel))
def test_a_subject_is_that_of_one_node(node_id: str, channel: Channel) -> None:
    assert parse_subject(subject_for(node_id, channel)) == (node_id, channel)
    assert "." not in client_id_for(node_id)
    assert client_id_for(node_id).replace("/", ".") == node_id


@pytest.mark.parametrize("node_id", ["a.*", "a.>", "a b", "a\r\nPUB"])
def test_an_id_that_subjects_give_a_meaning_is_refused(node_id: str) -> None:
    with pytest.raises(MalformedTopic):
        subject_for(node_id, Channel.REPORT)


def test_credentials_are_read_as_written_and_nothing_else_is() -> None:
    made = NatsCredentials.new()
    assert NatsCredentials.from_json(made.as_json()) == made
    assert made != NatsCredentials.new()
    for bad in ("", "[]", "{}", made.as_json().replace('"issuer"', '"other"')):
        with pytest.raises(MalformedCredentials):
            NatsCredentials.from_json(bad)
    with pytest.raises(MalformedCredentials):
        NatsCredentials.from_json(replace(made, password="00").as_json())


def test_the_configuration_is_the_one_that_was_tried() -> None:
    nodes = [NatsNode(host=host) for host in ("one.example.com", "2001:db8::2", "192.0.2.3")]
    cluster = NatsCluster(
        directory=PurePosixPath("/etc/edgesync/1"),
        nodes=nodes,
        credentials=CREDENTIALS,
        server_address="0.0.0.0",  # noqa: S104
        max_connections=77,
    )
    text = nats_files(cluster, 1)["nats.conf"]
    if os.environ.get("EDGESYNC_TEST_UPDATE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
    alone = nats_files(replace(cluster, nodes=nodes[:1]), 1)["nats.conf"]
    assert "cluster {" not in alone
    assert "stream_replicas: 1" in alone

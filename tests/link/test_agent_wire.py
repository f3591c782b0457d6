"""Bytes between stock agents and the server, on both links.

Messages of agents were written by Go's encoding/json from the agents' structures. To write the
answers anew: EDGESYNC_TEST_UPDATE_GOLDEN=1 pytest tests/link/test_agent_wire.py
"""

import json
import os
from pathlib import Path

import msgspec
import pytest

from broker.topics import Channel
from cloud.link.inbox import NodeInbox
from cloud.operations.activation import Claim
from cloud.operations.nodes import delete_node
from tests.baetyl.bodies import Application, BaetylSecret, Configuration, Values
from tests.baetyl.template import template_pass
from tests.link.conftest import NODE, NOW, FakeHub, ServerLink

FOLDER = Path(__file__).parents[1] / "golden" / "baetyl"

CHANNELS = {
    "report-first": Channel.REPORT,
    "report": Channel.REPORT,
    "desire-application": Channel.DESIRE,
    "desire-configuration": Channel.DESIRE,
    "desire-secret": Channel.DESIRE,
    "desire-missing": Channel.DESIRE,
}
ANSWERS = [
    *("report-first-answer", "report-answer", "desire-application-answer"),
    *("desire-configuration-answer", "desire-secret-answer", "desire-missing-answer"),
    *("mqtt-report-first-answer", "mqtt-report-answer", "mqtt-desire-application-answer"),
    *("mqtt-desire-configuration-answer", "mqtt-desire-secret-answer"),
    *("mqtt-desire-missing-answer", "mqtt-report-of-deleted-answer", "report-of-deleted-answer"),
]
OVER_MQTT = [
    *("mqtt-report-first", "mqtt-report", "mqtt-desire-application", "mqtt-desire-configuration"),
    *("mqtt-desire-secret", "mqtt-desire-missing"),
]
BODIES = {"application": Application, "configuration": Configuration, "secret": BaetylSecret}


def recorded(name: str) -> bytes:
    return (FOLDER / f"{name}.json").read_bytes()


def check(name: str, answer: bytes) -> None:
    """Compare *answer* with the bytes in the folder, or write them."""
    assert name in ANSWERS
    file = FOLDER / f"{name}.json"
    if os.environ.get("EDGESYNC_TEST_UPDATE_GOLDEN"):
        file.write_bytes(answer)
    assert answer == file.read_bytes()
    assert template_pass(answer.decode(), {}) == answer.decode()


def check_bodies(content: object) -> None:
    for value in msgspec.convert(content, Values).values or ():
        msgspec.convert(value.value, BODIES[value.kind])


@pytest.mark.parametrize("name", OVER_MQTT)
async def test_messages_of_an_agent_over_mqtt_are_answered_byte_for_byte(
    link: ServerLink, name: str
) -> None:
    hub = FakeHub(connected={NODE})
    channel = CHANNELS[name.removeprefix("mqtt-")]
    await NodeInbox(hub, link.exchange).handle([hub.inbound(channel, recorded(name))])
    [answer] = hub.payloads
    check(f"{name}-answer", answer)
    meta = json.loads(answer)["meta"]
    assert all(isinstance(value, str) for value in meta.values())
    if channel is Channel.DESIRE:
        sent = json.loads(recorded(name))["meta"]
        assert {key: meta[key] for key in ("x-baetyl-request-id", "sync")}.items() <= sent.items()
    if channel is Channel.DESIRE and "missing" not in name:
        check_bodies(json.loads(answer)["content"])


@pytest.mark.parametrize("name", CHANNELS)
async def test_messages_of_an_agent_over_https_are_answered_byte_for_byte(
    link: ServerLink, name: str
) -> None:
    kind = CHANNELS[name].value
    headers = {"kind": kind, "source": "baetyl-core", "Content-Type": "application/json"}
    async with link.client() as client:
        answer = await client.post(f"/v1/sync/{kind}", content=recorded(name), headers=headers)
    assert answer.status_code == (404 if "missing" in name else 200)
    check(f"{name}-answer", answer.content)


async def test_a_report_of_a_node_that_was_deleted_is_answered_byte_for_byte(
    link: ServerLink,
) -> None:
    await link.store.write(lambda tx: delete_node(tx, "default", "n1", now=NOW))
    hub = FakeHub(connected={NODE})
    await NodeInbox(hub, link.exchange).handle(
        [hub.inbound(Channel.REPORT, recorded("mqtt-report"))]
    )
    check("mqtt-report-of-deleted-answer", hub.payloads[0])
    async with link.client() as client:
        answer = await client.post("/v1/sync/report", content=recorded("report"))
    assert answer.status_code == 404
    check("report-of-deleted-answer", answer.content)


async def test_the_same_content_travels_on_both_links() -> None:
    for name in CHANNELS:
        bare, enveloped = json.loads(recorded(name)), json.loads(recorded(f"mqtt-{name}"))
        assert enveloped["content"] == bare
        if "missing" not in name:
            bare, enveloped = (
                json.loads(recorded(f"{prefix}{name}-answer")) for prefix in ("", "mqtt-")
            )
            assert enveloped["content"] == bare


def test_the_activation_of_an_agent_is_decoded() -> None:
    claim = msgspec.json.decode(recorded("active"), type=Claim)
    assert (claim.batch_name, claim.fingerprint_value) == ("factory-7", "8C4F1A52")
    assert (claim.security_type, claim.security_value) == ("Token", "the batch's token")
    assert (claim.mode, claim.penetrate_data) == (
        "native",
        {"batch": "factory-7", "namespace": "default"},
    )

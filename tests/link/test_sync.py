"""The HTTPS link: real TLS, a real web server, the real store."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from broker.messages import Message
from broker.topics import Channel
from certs.keys import certificate_key_digest
from cloud.core.audit import AuditFilter
from cloud.core.certificate import NodeCertificate
from cloud.core.tokens import EVERYWHERE
from cloud.link.inbox import NodeInbox
from cloud.link.sync import BODY_LIMIT
from cloud.operations.nodes import delete_node
from cloud.store.transaction import Transaction
from tests.broker.authority import HubAuthority
from tests.link.conftest import NODE, NOW, FakeHub, ServerLink

REPORT = "/v1/sync/report"
DESIRE = "/v1/sync/desire"


def infos(*named: tuple[str, str]) -> dict[str, Any]:
    return {"infos": [{"kind": kind, "name": name, "version": "1"} for kind, name in named]}


async def test_a_report_is_kept_and_answered_with_the_bare_delta(link: ServerLink) -> None:
    content = {"core": {"goVersion": "go1.22"}, "apps": None, "time": "1999-01-01T00:00:00Z"}
    answer = await link.post(REPORT, content, kind="report", source="baetyl-core")
    app = await link.store.read(lambda tx: tx.app("default", "web"))
    assert app is not None
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"apps": [{"name": "web", "version": app.version}]}
    stored = await link.store.read(lambda tx: tx.report("default", "n1"))
    assert stored is not None
    assert json.loads(stored.report.document) == content
    assert stored.received == NOW
    assert (await link.post(REPORT, answer.json())).content == b"{}"


@pytest.mark.parametrize("path", [REPORT, DESIRE])
async def test_an_unknown_parameter_is_refused(link: ServerLink, path: str) -> None:
    answer = await link.post(f"{path}?a=1", {}, kind="report")
    assert answer.status_code == 400
    assert "unknown query parameter 'a'" in answer.json()["message"]


async def test_bodies_are_the_same_as_over_mqtt(link: ServerLink) -> None:
    wanted = infos(("application", "web"), ("configuration", "conf"), ("secret", "hub"))
    answer = await link.post(DESIRE, wanted, kind="desire", **{"x-baetyl-platform": "linux-amd64"})
    hub = FakeHub(connected={NODE})
    question = hub.inbound(Channel.DESIRE, Message("desire", wanted))
    await NodeInbox(hub, link.exchange).handle([question])
    [(_, _, over_mqtt, _)] = hub.pushed
    assert answer.json() == over_mqtt.content
    assert [value["name"] for value in answer.json()["values"]] == ["web", "conf", "hub"]
    assert b"{{" not in answer.content
    assert answer.json()["values"][1]["value"]["data"] == {"a.conf": "{{ .Hostname }}"}


async def test_an_agent_may_change_from_one_link_to_the_other(link: ServerLink) -> None:
    hub = FakeHub(connected={NODE})
    inbox = NodeInbox(hub, link.exchange)

    async def over_mqtt(content: Any) -> Any:
        await inbox.handle([hub.inbound(Channel.REPORT, Message("report", content))])
        return hub.pushed[-1][2].content

    first = await over_mqtt({"apps": []})
    assert first["apps"]
    assert (await link.post(REPORT, {"apps": []})).json() == first
    assert (await link.post(REPORT, first)).json() == {}
    assert await over_mqtt(first) == {}
    counted = Message("report", {"node": {"hostname": "counted"}}, {"seq": 9, "run": "r"})
    await inbox.handle([hub.inbound(Channel.REPORT, counted)])
    await link.post(REPORT, {"node": {"hostname": "not counted"}})
    stored = await link.store.read(lambda tx: tx.report("default", "n1"))
    assert stored is not None
    assert b"not counted" in stored.report.document


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (REPORT, b"", "body"),
        (REPORT, b"{", "body"),
        (REPORT, b"\xff", "body"),
        (REPORT, b"[]", "content"),
        (REPORT, b'{"apps":[{"name":1}]}', "apps[0].name"),
        (REPORT, b'{"a":1e999}', "body"),
        (REPORT, b'{"a":' + b"[" * 5000, "body"),
        (DESIRE, b"{}", "content.infos"),
        (DESIRE, b'{"infos":[{"kind":"node","name":"n1"}]}', "infos[0].kind"),
    ],
)
async def test_a_bad_body_is_refused_with_the_field(
    link: ServerLink, path: str, body: bytes, words: str
) -> None:
    async with link.client() as client:
        answer = await client.post(path, content=body)
    assert answer.status_code == 400
    assert answer.json()["code"] == "RequestParamInvalid"
    assert words in answer.json()["message"]
    assert await link.store.read(lambda tx: tx.report("default", "n1")) is None


async def test_what_is_not_a_report_is_not_kept_as_one(link: ServerLink) -> None:
    answer = await link.post(REPORT, {"devices": []}, kind="deviceReport")
    assert answer.status_code == 400
    assert "deviceReport" in answer.json()["message"]
    assert await link.store.read(lambda tx: tx.report("default", "n1")) is None


async def test_300_kilobytes_of_stats_are_taken_and_more_than_a_megabyte_is_not(
    link: ServerLink,
) -> None:
    stats = {"name": "web", "version": "1", "status": "Running", "cause": "x" * 300}
    report = {"apps": [], "appstats": [{**stats, "name": f"app-{i}"} for i in range(1000)]}
    assert len(json.dumps(report)) > 300_000
    assert (await link.post(REPORT, report)).status_code == 200
    async with link.client() as client:
        body = b'{"x":"' + b"y" * BODY_LIMIT + b'"}'
        assert (await client.post(REPORT, content=body)).status_code == 413

        async def chunks() -> AsyncIterator[bytes]:
            yield body

        assert (await client.post(REPORT, content=chunks())).status_code == 413


async def test_one_connection_serves_many_requests(link: ServerLink) -> None:
    async with link.client() as client:
        streams = set()
        for _ in range(3):
            answer = await client.post(REPORT, json={"apps": []})
            assert answer.status_code == 200
            streams.add(answer.extensions["network_stream"])
        assert len({id(stream.get_extra_info("ssl_object")) for stream in streams}) == 1


def deleted(tx: Transaction, _: HubAuthority) -> None:
    delete_node(tx, "default", "n1", now=NOW)


def revoked(tx: Transaction, _: HubAuthority) -> None:
    tx.revoke_certificates(NODE, NOW)


def unknown(tx: Transaction, authority: HubAuthority) -> None:
    serial = authority.serials[NODE]
    tx.put_certificate(NodeCertificate(serial, "default.n2", NOW, NOW + timedelta(days=1)))


def ended(tx: Transaction, authority: HubAuthority) -> None:
    tx.put_certificate(NodeCertificate(authority.serials[NODE], NODE, NOW, NOW))


def forged(tx: Transaction, authority: HubAuthority) -> None:
    """What is on record under this serial number is for another key."""
    ends, serial = NOW + timedelta(days=1), authority.serials[NODE]
    tx.put_certificate(NodeCertificate(serial, NODE, NOW, ends, key="0f" * 32))


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        (deleted, 404, "The (node) resource (n1) is not found."),
        (revoked, 401, "Access denied."),
        (unknown, 401, "Access denied."),
        (ended, 401, "Access denied."),
        (forged, 401, "Access denied."),
    ],
)
async def test_who_may_not_connect_is_refused_from_the_next_request_on(
    link: ServerLink, change: Callable[[Transaction, HubAuthority], None], status: int, words: str
) -> None:
    async with link.client() as client:
        assert (await client.post(REPORT, json={"apps": []})).status_code == 200
        before = await link.store.read(lambda tx: tx.report("default", "n1"))
        await link.store.write(lambda tx: change(tx, link.authority))
        link.now = NOW + timedelta(seconds=1)
        for path, body in ((REPORT, {"apps": []}), (DESIRE, infos(("application", "web")))):
            answer = await client.post(path, json=body)
            assert answer.status_code == status
            assert words in answer.json()["message"]
    after = await link.store.read(lambda tx: tx.report("default", "n1"))
    assert after == (None if change is deleted else before)


async def test_a_certificate_of_before_is_bound_to_the_key_that_reports_with_it(
    link: ServerLink,
) -> None:
    serial = link.authority.serials[NODE]
    for path, body in ((DESIRE, infos(("application", "web"))), (REPORT, {"apps": []})):
        known = await link.store.read(lambda tx: tx.certificate(serial))
        assert known is not None
        assert known.key == ""
        assert (await link.post(path, body)).status_code == 200
    bound = await link.store.read(lambda tx: tx.certificate(serial))
    assert bound is not None
    pem = (link.authority.directory / f"{NODE}.pem").read_bytes()
    assert bound.key == certificate_key_digest(x509.load_pem_x509_certificate(pem))
    assert (await link.post(REPORT, {"apps": []})).status_code == 200


async def test_a_node_gets_what_is_its_own_alone(link: ServerLink) -> None:
    async with link.client("default.n2") as client:
        answer = await client.post(DESIRE, json=infos(("secret", "password")))
    assert answer.status_code == 404
    assert "password" in answer.json()["message"]


async def test_who_has_no_certificate_or_a_strangers_gets_no_answer(
    link: ServerLink, tmp_path: Path
) -> None:
    stranger = link.authority.client_context(None)
    stranger.load_cert_chain(HubAuthority(tmp_path).issue(NODE, [NODE]))
    for context in (link.authority.client_context(None), stranger):
        async with httpx.AsyncClient(base_url=link.url, verify=context) as client:
            with pytest.raises(httpx.TransportError):
                await client.post(REPORT, json={})


async def test_a_certificate_that_is_no_nodes_is_refused(link: ServerLink) -> None:
    context = link.authority.client_context(None)
    context.load_cert_chain(link.authority.issue("two names", ["a.b", "c.d"]))
    async with httpx.AsyncClient(base_url=link.url, verify=context) as client:
        assert (await client.post(REPORT, json={})).status_code == 401


@pytest.mark.parametrize(("method", "path"), [("GET", REPORT), ("POST", "/v1/sync"), ("POST", "/")])
async def test_there_is_nothing_else_here(link: ServerLink, method: str, path: str) -> None:
    async with link.client() as client:
        assert (await client.request(method, path)).status_code == 404


async def refused(link: ServerLink) -> list[tuple[str, str, str, str]]:
    found = await link.store.read(
        lambda tx: tx.audit_links(AuditFilter(EVERYWHERE), below=2**63 - 1, limit=100)
    )
    return [
        (entry.attempt.action, entry.attempt.name, entry.outcome, entry.attempt.address)
        for entry in (one.entry for one in reversed(found))
    ]


async def test_who_is_refused_is_written_down_at_a_bounded_rate(link: ServerLink) -> None:
    assert (await link.post(DESIRE, infos(("secret", "gone")))).status_code == 404
    await link.store.write(lambda tx: revoked(tx, link.authority))
    assert (await link.post(REPORT, {"apps": []})).status_code == 401
    await link.store.write(lambda tx: deleted(tx, link.authority))
    for _ in range(3):
        assert (await link.post(REPORT, {"apps": []})).status_code == 404
    assert await refused(link) == [
        ("node.connect", "n1", "RequestAccessDenied", "127.0.0.1"),
        ("node.connect", "n1", "ResourceNotFound", "127.0.0.1"),
    ]


async def test_only_the_node_that_asks_too_often_gets_an_error(link: ServerLink) -> None:
    async with link.client() as client:
        answers = [await client.post(REPORT, json={"apps": []}) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert answers[-1].headers["retry-after"] == "1"
    assert await refused(link) == [("node.connect", "n1", "TooManyRequests", "127.0.0.1")]
    async with link.client("default.n2") as client:
        assert (await client.post(REPORT, json={"apps": []})).status_code == 200

"""Every route answers by the contract; the answers may only change on purpose.

To write the files anew: EDGESYNC_TEST_UPDATE_GOLDEN=1 pytest tests/rest/test_golden.py
"""

import json
import os
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from cloud.core.certificate import NodeCertificate
from cloud.core.commands import read_answer
from cloud.core.refused_device import RefusalReason
from cloud.core.report import Order, read_report
from cloud.core.tokens import Role
from cloud.core.user_sessions import SessionKind, User, UserSession
from cloud.operations.commands import receive_answer
from cloud.operations.refused_devices import record_refused_device
from cloud.operations.reports import receive_report
from cloud.operations.trends import record_trends
from cloud.rest.routes import ROUTES
from cloud.store.transaction import Transaction
from tests.repo.tracked import ROOT
from tests.rest.conftest import APP, CALLBACK, CONFIG, NODE, REGISTRY, SECRET, World, describe
from tests.rest.golden_rollouts import ROLLOUT_STEPS, step_rollouts

FOLDER = Path(__file__).parent.parent / "golden" / "rest"
EXAMPLES = ROOT / "cloud/rest/dashboard/static/examples.json"
"""What the reference of the API at /docs shows of each route."""

INSTANCE = {
    "name": "web-1",
    "serviceName": "web",
    "status": "Running",
    "cause": "",
    "createTime": "2026-01-02T03:00:00Z",
    "usage": {"cpu": "10m", "memory": "20Mi"},
}
REPORT = {
    "core": {"goVersion": "go1.20", "binVersion": "2.4.3", "gitRevision": "abc"},
    "node": {
        "n1": {
            "hostname": "n1",
            "address": "192.0.2.7",
            "arch": "arm64",
            "kernelVer": "6.1.0",
            "os": "linux",
            "containerRuntime": "containerd://1.7",
            "machineID": "m",
            "bootID": "b",
            "systemUUID": "s",
            "osImage": "Debian 12",
        }
    },
    "nodestats": {
        "n1": {
            "usage": {"cpu": "250m", "memory": "1Gi"},
            "capacity": {"cpu": "4", "memory": "4Gi"},
        }
    },
    "apps": [{"name": "web", "version": "3"}],
    "sysapps": [],
    "appstats": [
        {
            "name": "web",
            "version": "3",
            "status": "Running",
            "cause": "",
            "instances": {"web-1": INSTANCE},
        }
    ],
    "sysappstats": [],
}
BATCH = {
    "name": "line-7",
    "description": "made in spring",
    "labels": {"line": "7"},
    "securityKey": "a token of the batch",
}
OPEN_BATCH = {
    "name": "line-8",
    "securityType": "None",
    "enableWhitelist": 0,
    "fingerprint": {"type": 36, "snPath": "/etc/sn", "inputField": "number"},
}
CODE = {
    "name": "code",
    "data": [
        {
            "key": "func.zip",
            "value": {
                "type": "object",
                "source": "awss3",
                "endpoint": "http://s3.example.com",
                "bucket": "baetyl",
                "object": "func.zip",
                "unpack": "zip",
                "ak": "id",
                "sk": "open sesame",
                "md5": "xxxx",
            },
        },
        {
            "key": "process.zip",
            "value": {
                "type": "function",
                "function": "process",
                "version": "1",
                "runtime": "python36",
                "handler": "index.handler",
                "bucket": "baetyl-cloud-xx",
                "object": "process.zip",
                "source": "baidubos",
                "unpack": "zip",
            },
        },
    ],
}
FUNCTIONS = {
    "name": "fn",
    "type": "function",
    "services": [
        {
            "name": "greet",
            "functionConfig": {"name": "code", "runtime": "python36"},
            "functions": [{"name": "hello", "handler": "index.handler", "codedir": "greet"}],
        }
    ],
}

STEPS: list[tuple[str, str, str, Any]] = [
    ("nodes-create", "POST", "/v1/nodes", NODE),
    ("audit-list", "GET", "/v1/audit?kind=node&limit=2&since=2026-01-01T00:00:00Z", None),
    ("events-list", "GET", "/v1/events?kind=node&limit=2", None),
    ("configs-create", "POST", "/v1/configs", CONFIG),
    ("secrets-create", "POST", "/v1/secrets", SECRET),
    ("apps-create", "POST", "/v1/apps", APP),
    ("nodes-get", "GET", "/v1/nodes/n1", None),
    ("nodes-list", "GET", "/v1/nodes?selector=role%3Dgateway&limit=10", None),
    ("nodes-apps", "GET", "/v1/nodes/n1/apps", None),
    ("nodes-stats-before-a-report", "GET", "/v1/nodes/n1/stats", None),
    ("report", "", "", REPORT),
    ("nodes-stats", "GET", "/v1/nodes/n1/stats", None),
    ("usage", "GET", "/v1/nodes/n1/usage", None),
    ("trends", "GET", "/v1/trends?hours=1", None),
    ("overview", "GET", "/v1/overview", None),
    ("namespaces", "GET", "/v1/namespaces", None),
    ("kinds", "GET", "/v1/kinds", None),
    ("rollout", "GET", "/v1/apps/web/rollout", None),
    ("apps-nodes", "GET", "/v1/apps/web/nodes?status=running", None),
    ("nodes-label", "PATCH", "/v1/nodes", {"names": ["n1"], "labels": {"floor": "2"}}),
    ("nodes-update", "PUT", "/v1/nodes/n1", {"labels": {"role": "gateway", "floor": "2"}}),
    ("apps-get", "GET", "/v1/apps/web", None),
    ("apps-list", "GET", "/v1/apps", None),
    ("apps-update", "PUT", "/v1/apps/web", {"selector": "role=camera", "services": []}),
    ("apps-revisions", "GET", "/v1/apps/web/revisions", None),
    ("apps-revisions-get", "GET", "/v1/apps/web/revisions/1", None),
    ("apps-diff", "GET", "/v1/apps/web/diff", None),
    ("configs-get", "GET", "/v1/configs/site", None),
    ("configs-list", "GET", "/v1/configs?fieldSelector=metadata.name%3Dsite", None),
    ("configs-update", "PUT", "/v1/configs/site", {"labels": {"team": "b"}, "data": []}),
    ("configs-revisions", "GET", "/v1/configs/site/revisions", None),
    ("configs-revisions-get", "GET", "/v1/configs/site/revisions/1", None),
    ("configs-diff", "GET", "/v1/configs/site/diff", None),
    ("configs-apps", "GET", "/v1/configs/site/apps", None),
    ("secrets-get", "GET", "/v1/secrets/password", None),
    ("secrets-list", "GET", "/v1/secrets", None),
    ("secrets-update", "PUT", "/v1/secrets/password", {"data": {"password": "new"}}),
    ("secrets-revisions", "GET", "/v1/secrets/password/revisions", None),
    ("secrets-revisions-get", "GET", "/v1/secrets/password/revisions/1", None),
    ("secrets-diff", "GET", "/v1/secrets/password/diff?from=1&to=2", None),
    ("secrets-apps", "GET", "/v1/secrets/password/apps", None),
    ("registries-create", "POST", "/v1/registries", REGISTRY),
    (
        "apps-update-registries",
        "PUT",
        "/v1/apps/web",
        {"services": [], "registries": [{"name": "hub"}]},
    ),
    ("registries-get", "GET", "/v1/registries/hub", None),
    ("registries-list", "GET", "/v1/registries", None),
    ("registries-update", "PUT", "/v1/registries/hub", {"description": "images"}),
    ("registries-refresh", "POST", "/v1/registries/hub/refresh", {"password": "another"}),
    ("registries-revisions", "GET", "/v1/registries/hub/revisions", None),
    ("registries-revisions-get", "GET", "/v1/registries/hub/revisions/3", None),
    ("registries-diff", "GET", "/v1/registries/hub/diff?from=1", None),
    ("registries-apps", "GET", "/v1/registries/hub/apps", None),
    ("error-in-use", "DELETE", "/v1/registries/hub", None),
    ("configs-delete", "DELETE", "/v1/configs/site", None),
    ("secrets-delete", "DELETE", "/v1/secrets/password", None),
    ("registries-delete", "DELETE", "/v1/registries/hub", None),
    ("apps-delete", "DELETE", "/v1/apps/web", None),
    ("nodes-init", "GET", "/v1/nodes/n1/init", None),
    ("nodes-delete", "DELETE", "/v1/nodes/n1", None),
    ("register-create-with-defaults", "POST", "/v1/register", {}),
    ("register-create", "POST", "/v1/register", BATCH),
    ("register-get", "GET", "/v1/register/line-7", None),
    ("register-list", "GET", "/v1/register?pageNo=1&pageSize=10&name=line", None),
    ("register-refused", "GET", "/v1/register/line-7/refused", None),
    ("register-update", "PUT", "/v1/register/line-7", {"quotaNum": 5, "labels": {}}),
    ("record-create", "POST", "/v1/register/line-7/record", {"fingerprintValue": "SN-1"}),
    ("record-get", "GET", "/v1/register/line-7/record/sn-1", None),
    ("record-list", "GET", "/v1/register/line-7/record?pageNo=1&pageSize=10&name=", None),
    ("record-update", "PUT", "/v1/register/line-7/record/sn-1", {"nodeName": "n7"}),
    ("record-delete", "DELETE", "/v1/register/line-7/record/sn-1", None),
    ("register-delete", "DELETE", "/v1/register/line-7", None),
    ("register-create-open", "POST", "/v1/register", OPEN_BATCH),
    ("register-init", "GET", "/v1/register/line-8/init", None),
    ("register-generate", "POST", "/v1/register/line-8/generate", {"num": 2}),
    ("register-download", "GET", "/v1/register/line-8/download", None),
    ("configs-create-with-objects", "POST", "/v1/configs", CODE),
    ("apps-create-with-functions", "POST", "/v1/apps", FUNCTIONS),
    ("error-has-records", "DELETE", "/v1/register/line-8", None),
    ("error-not-found", "GET", "/v1/register/0513021", None),
    ("error-unknown-route", "GET", "/v1/nodes/n1/start", None),
    ("error-invalid", "POST", "/v1/nodes", {"name": "n1", "labels": {"a": 1}}),
    (
        "tokens-create",
        "POST",
        "/v1/tokens",
        {"name": "ci", "role": "operator", "expires": "2026-02-01T00:00:00Z"},
    ),
    ("tokens-list", "GET", "/v1/tokens", None),
    ("tokens-revoke", "DELETE", "/v1/tokens/ci", None),
    ("nodes-patch", "PATCH", "/v1/nodes/n1", {"labels": {"role": None, "hall": "3"}}),
    ("apps-patch", "PATCH", "/v1/apps/web", {"labels": {"team": "b"}}),
    ("configs-patch", "PATCH", "/v1/configs/site", {"description": "of the door"}),
    ("secrets-patch", "PATCH", "/v1/secrets/password", {"data": {"pin": "7"}}),
    ("registries-patch", "PATCH", "/v1/registries/hub", {"description": None}),
    ("register-patch", "PATCH", "/v1/register/line-8", {"quotaNum": 6, "description": None}),
    ("record-patch", "PATCH", "/v1/register/line-8/record/sn-1", {"nodeName": "n8"}),
    ("record-reset", "POST", "/v1/register/line-8/record/sn-1/reset", None),
    ("report", "", "", {"core": {"binVersion": "v2.4.2"}, "nodeprops": {"a": "0"}}),
    ("explain-get", "GET", "/v1/nodes/n1/explain", None),
    ("deploys-list", "GET", "/v1/nodes/n1/deploys", None),
    ("properties-put", "PUT", "/v1/nodes/n1/properties", {"state": {"desire": {"a": "1"}}}),
    (
        "properties-patch",
        "PATCH",
        "/v1/nodes/n1/properties",
        {"state": {"desire": {"a": None, "b": "2"}}},
    ),
    ("properties-get", "GET", "/v1/nodes/n1/properties", None),
    ("mode-put", "PUT", "/v1/nodes/n1/mode", {"mode": "local"}),
    ("mode-get", "GET", "/v1/nodes/n1/mode", None),
    ("core-put", "PUT", "/v1/nodes/n1/core/configs", {"version": "v2.4.3", "frequency": 60}),
    ("core-patch", "PATCH", "/v1/nodes/n1/core/configs", {"frequency": None, "apiport": 30060}),
    ("core-get", "GET", "/v1/nodes/n1/core/configs", None),
    ("core-versions", "GET", "/v1/nodes/n1/core/versions", None),
    (
        "sysapps-put",
        "PUT",
        "/v1/sysapps",
        {"modules": [{"name": "baetyl-broker", "image": "example.com/broker:v2"}]},
    ),
    ("sysapps-get", "GET", "/v1/sysapps", None),
    ("guard-put", "PUT", "/v1/guard", {"maxShare": 0.25, "minNodes": 50}),
    ("guard-get", "GET", "/v1/guard", None),
    ("nodes-revoke", "POST", "/v1/nodes/n1/revoke", None),
    ("callback-create", "POST", "/v1/callback", CALLBACK),
    ("callback-list", "GET", "/v1/callback?name=cr", None),
    ("callback-get", "GET", "/v1/callback/crm", None),
    ("callback-update", "PUT", "/v1/callback/crm", {"url": "https://crm.example.com/v2"}),
    ("callback-patch", "PATCH", "/v1/callback/crm", {"header": {"X-Site": None}}),
    ("callback-retry", "POST", "/v1/callback/crm/retry", None),
    ("callback-delete", "DELETE", "/v1/callback/crm", None),
    ("certificate", "", "", None),
    ("certificates-list", "GET", "/v1/certificates?endsBefore=2026-03-01T00:00:00Z&limit=9", None),
    ("commands-create", "POST", "/v1/nodes/n1/commands", {"command": "logs", "app": "web"}),
    ("commands-list", "GET", "/v1/nodes/n1/commands", None),
    ("answer", "", "", None),
    ("commands-get", "GET", "/v1/nodes/n1/commands/id5?wait=1", None),
    ("registries-undo", "POST", "/v1/registries/hub/undo", None),
    ("secrets-undo", "POST", "/v1/secrets/password/undo", {}),
    ("configs-undo", "POST", "/v1/configs/site/undo", {"revision": 1}),
    ("apps-undo", "POST", "/v1/apps/web/undo", {"revision": 1}),
    *ROLLOUT_STEPS,
]


TIMELESS = {"explain-get", "audit-list", "events-list", "usage", "overview", "rollout", "kinds"}
TIMELESS |= {"apps-nodes", "register-refused", "namespaces", "trends", "nodes-label"}
"""Looks that take no time, so that they can be put in between."""


async def steps(world: World) -> AsyncIterator[tuple[str, str, str, Any]]:
    """Requests to make, each in the state that the ones before led to."""
    for name, method, path, body in STEPS:
        works = {"report": _receive(body, world), "certificate": _certify, "answer": _answer(world)}
        looks = {"register-refused": _refuse(world), "trends": _record_trends(world)}
        works["session"] = _begin_session(world)
        now = world.clock.now
        works["rollout-step"] = lambda tx, now=now: step_rollouts(tx, now=now)
        if name in works:
            await world.store.write(works[name])
            continue
        if name == "events-list":
            await world.feed.round()
        if name in looks:
            await world.store.write(looks[name])
        if name == "configs-delete":
            await world.client.call("PUT", "/v1/apps/web", {"services": []})
        if name == "nodes-patch":
            await _describe_again(world)
        if name == "deploys-list":
            await world.client.call("PATCH", "/v1/nodes/n1", {"labels": {"role": "gateway"}})
            await world.store.write(_receive({"apps": []}, world))
        yield name, method, path, body
        if name not in TIMELESS and not re.search(r"/(diff|revisions|guard)\b", path):
            world.clock.advance(1)


async def test_every_route_answers_as_it_did(world: World) -> None:
    answers: dict[str, Any] = {}
    async for name, method, path, body in steps(world):
        response = await world.client.send(method, path, body)
        answers[name] = {
            "request": {"method": method, "path": path, "body": body},
            "status": response.status_code,
            "answer": _content(response),
        }
    if os.environ.get("EDGESYNC_TEST_UPDATE_GOLDEN"):
        _write(answers)
    kept = {file.stem: json.loads(file.read_text("utf-8")) for file in FOLDER.glob("*.json")}
    assert answers == kept


def test_the_reference_shows_the_golden_answers() -> None:
    golden = {file.stem: json.loads(file.read_text("utf-8")) for file in FOLDER.glob("*.json")}
    examples: dict[str, Any] = {}
    for name, method, path, _ in STEPS:
        route = _route_of(method, path) if method else ""
        if route and golden[name]["status"] == 200 and route not in examples:
            request, answer = golden[name]["request"], golden[name]["answer"]
            body = {"path": request["path"], "body": request["body"]}
            examples[route] = {**body, "status": 200, "answer": answer}
    text = json.dumps(examples, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    if os.environ.get("EDGESYNC_TEST_UPDATE_GOLDEN"):
        EXAMPLES.write_text(text + "\n", encoding="utf-8")
    assert EXAMPLES.read_text(encoding="utf-8") == text + "\n"
    assert set(examples) == {f"{route.method} {route.path}" for route in ROUTES}


def test_every_route_has_a_golden_answer() -> None:
    asked = {(method, _shape(path)) for name, method, path, _ in STEPS if method}
    routes = {(route.method, _shape(route.path)) for route in ROUTES}
    assert routes <= asked


async def _describe_again(world: World) -> None:
    await describe(world.client)
    await world.client.call("POST", "/v1/registries", REGISTRY)
    await world.client.call("POST", "/v1/register/line-8/record", {"fingerprintValue": "SN-1"})


def _answer(world: World) -> Any:
    def work(tx: Transaction) -> None:
        (command,) = tx.claim_commands("default", "n1", world.clock.now)
        content = {"id": command.id, "status": "done", "output": "listening on :80\n"}
        own_id, answer = read_answer(content)
        receive_answer(tx, "default.n1", own_id, answer, now=world.clock.now)

    return work


def _begin_session(world: World) -> Any:
    now = world.clock.now
    session = UserSession(
        "a-session",
        "digest",
        User("company", "1f3a", "company:ann@example.com"),
        SessionKind.BROWSER,
        {"default": Role.OPERATOR, "north": Role.VIEWER},
        now,
        now + timedelta(hours=12),
        now,
        "192.0.2.8",
    )
    return lambda tx: tx.put_user_session(session)


def _certify(tx: Transaction) -> None:
    ends = datetime(2026, 2, 1, tzinfo=UTC)
    tx.put_certificate(NodeCertificate(0xC0FFEE, "default.n1", ends, ends))


def _record_trends(world: World) -> Any:
    return lambda tx: record_trends(tx, {"default": 90}, now=world.clock.now)


def _refuse(world: World) -> Any:
    def work(tx: Transaction) -> None:
        record_refused_device(
            *(tx, "default", "line-7", "SN-9", RefusalReason.UNPROVEN),
            address="192.0.2.9",
            now=world.clock.now,
        )

    return work


def _receive(content: Any, world: World) -> Any:
    def receive(tx: Transaction) -> None:
        report = read_report(content, Order())
        receive_report(tx, "default.n1", report, "json", now=world.clock.now)

    return receive


def _content(response: httpx.Response) -> Any:
    is_file = response.headers["content-type"] == "application/octet-stream"
    return response.text if is_file else response.json()


def _shape(path: str) -> str:
    """The path with its parameters blotted out: every second part after `/v1/x`, but for words."""
    words = {"stats", "refresh", "apps", "record", "init", "generate", "download", "reset"}
    words |= {"properties", "mode", "core", "configs", "versions"}
    words |= {"revoke", "refused"}
    words |= {"deploys", "retry", "usage", "rollout", "commands", "nodes"}
    words |= {"revisions", "diff", "undo"}
    words |= {"pause", "resume", "approve", "promote", "abort", "rollback", "hurry", "start"}
    parts = path.partition("?")[0].split("/")[3:]
    return "/".join(
        [path.split("/")[2].partition("?")[0], *(p if p in words else "{}" for p in parts)]
    )


def _route_of(method: str, path: str) -> str:
    """The row of the route table that answers *path*; empty where none does."""
    found = (one for one in ROUTES if (one.method, _shape(one.path)) == (method, _shape(path)))
    return next((f"{one.method} {one.path}" for one in found), "")


def _write(answers: dict[str, Any]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for name, answer in answers.items():
        text = json.dumps(answer, indent=2, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")

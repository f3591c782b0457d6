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
from cloud.operations.rollout_drive import driven_rollouts, keep_step, plan_step
from cloud.operations.trends import record_trends
from cloud.rest.routes import ROUTES
from cloud.store.transaction import Transaction
from tests.repo.tracked import ROOT
from tests.rest.conftest import (
    REGISTRY,
    World,
    describe,
)
from tests.rest.golden_steps import STEPS, TIMELESS

FOLDER = Path(__file__).parent.parent / "golden" / "rest"
EXAMPLES = ROOT / "cloud/rest/dashboard/static/examples.json"
"""What the reference of the API at /docs shows of each route."""


async def steps(world: World) -> AsyncIterator[tuple[str, str, str, Any]]:
    """Requests to make, each in the state that the ones before led to."""
    for name, method, path, body in STEPS:
        works = {"report": _receive(body, world), "certificate": _certify, "answer": _answer(world)}
        looks = {"register-refused": _refuse(world), "trends": _record_trends(world)}
        works["session"] = _begin_session(world)
        now = world.clock.now
        works["rollout-step"] = lambda tx, now=now: _step_rollouts(tx, now=now)
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


def _step_rollouts(tx: Transaction, now: datetime) -> None:
    for rollout in driven_rollouts(tx):
        keep_step(tx, plan_step(tx, rollout, now=now), now=now)


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

"""What calls leave in the audit log: every change and every look at a secret, once, no secret."""

import asyncio
import contextlib
import json
import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cloud.core.app import App
from cloud.core.audit import (
    ADMINISTRATOR,
    SERVER,
    Action,
    Actor,
    ActorKind,
    Attempt,
    AuditFilter,
    ChainedEntry,
)
from cloud.core.tokens import EVERYWHERE
from cloud.errors import Forbidden, Unavailable
from cloud.http.refusals import RefusalLog
from cloud.jobs.retention import Retention, RetentionLimit
from cloud.operations.audit import PAGE_LIMIT, PRUNED_AT_A_TIME, record_audit
from cloud.rest.audited import AuditedStore
from cloud.rest.route import ApiRoute
from cloud.rest.routes import ROUTES
from cloud.store.transaction import Transaction
from edgesync.__main__ import main
from tests.rest.conftest import APP, NODE, REQUEST_ID, SECRET, TOKEN, ApiCaller, World, describe
from tests.rest.test_golden import _shape, steps
from tests.rest.test_tokens import DENIED, FORBIDDEN, INVALID, bearer, made

SECRET_VALUES = (
    "öpen",
    "password of the hub",
    "another",
    "open sesame",
    "a token of the batch",
    "of the crm",
)


async def entries(world: World, *, above: int = 0) -> list[ChainedEntry]:
    """The log, oldest first."""
    found = await world.store.read(
        lambda tx: tx.audit_links(AuditFilter(EVERYWHERE), below=2**63 - 1, limit=10_000)
    )
    return [link for link in reversed(found) if link.number > above]


async def last(world: World) -> ChainedEntry:
    return (await entries(world))[-1]


def route_of(method: str, path: str) -> ApiRoute | None:
    shape = _shape(path)
    return next((one for one in ROUTES if one.method == method and _shape(one.path) == shape), None)


async def test_every_route_that_changes_something_leaves_exactly_one_entry(world: World) -> None:
    acted: set[str | None] = set()
    async for name, method, path, body in steps(world):
        before = len(await entries(world))
        answer = await world.client.send(method, path, body)
        found = await entries(world, above=before)
        route = route_of(method, path)
        action = route.action if route and answer.status_code == 200 else None
        assert [link.entry.attempt.action for link in found] == ([action] if action else []), name
        for link in found:
            attempt = link.entry.attempt
            assert attempt.actor == ADMINISTRATOR
            assert attempt.request_id == REQUEST_ID
            assert attempt.address == "127.0.0.1"
            assert attempt.time == world.clock.now
            # Users are in no namespace.
            is_user = attempt.action.startswith("user.")
            assert attempt.namespace == ("*" if is_user else "default")
            assert attempt.name, name
            assert link.entry.outcome == "done"
        acted.add(action)
    assert acted - {None} == {route.action for route in ROUTES} - {None}
    audit_log = "\n".join(repr(link) for link in await entries(world))
    assert [value for value in (*SECRET_VALUES, "token1", "token2") if value in audit_log] == []


def test_every_change_and_every_look_at_a_secret_is_an_action() -> None:
    for route in ROUTES:
        if route.method != "GET":
            assert route.action is not None, route
    looks = {route.path: route.action for route in ROUTES if route.method == "GET" and route.action}
    assert looks == {
        "/v1/nodes/{name}/init": "node.init",
        "/v1/nodes/{name}/commands/{id}": Action.COMMAND_READ,
        "/v1/secrets/{name}": "secret.read",
        "/v1/sysapps": "sysapps.read",
        "/v1/register/{batch}": "batch.read",
        "/v1/register/{batch}/init": "batch.init",
        "/v1/callback/{name}": "callback.read",
    }
    with pytest.raises(ValueError, match=r"node\.explode"):
        _ = replace(ROUTES[1], path="/v1/nodes/{name}/explode").action


async def test_a_route_that_is_no_action_cannot_change_anything(world: World) -> None:
    with pytest.raises(RuntimeError, match="no action"):
        await AuditedStore(world.store, None).write(lambda tx: tx.next_version())


async def test_an_entry_shows_what_differs(world: World) -> None:
    await describe(world.client)
    await world.client.call("PUT", "/v1/apps/web", {**APP, "selector": "role=camera"})
    found = (await last(world)).entry
    assert json.loads(found.before) == {"selector": "role=gateway", "version": "3"}
    assert json.loads(found.after) == {"selector": "role=camera", "version": "4"}
    await world.client.call("PATCH", "/v1/secrets/password", {"data": {"pin": "4711"}})
    found = (await last(world)).entry
    assert json.loads(found.before) == {"data": {}, "version": "2"}
    assert json.loads(found.after) == {"data": {"pin": "********"}, "version": "5"}
    assert found.also == '{"app":1}'
    await world.client.call("DELETE", "/v1/nodes/n1")
    found = (await last(world)).entry
    assert json.loads(found.before)["labels"] == NODE["labels"]
    assert (found.attempt.name, found.after) == ("n1", "")


async def test_the_same_put_again_is_an_entry_without_a_difference(world: World) -> None:
    await describe(world.client)
    await world.client.call("PUT", "/v1/nodes/n1", {k: v for k, v in NODE.items() if k != "name"})
    found = (await last(world)).entry
    assert (found.attempt.action, found.attempt.name) == ("node.update", "n1")
    assert (found.before, found.after, found.also) == ("", "", "")


async def test_many_records_are_one_entry_with_a_count(world: World) -> None:
    await world.client.call("POST", "/v1/register", {"name": "line", "quotaNum": 50})
    await world.client.call("POST", "/v1/register/line/generate", {"num": 50})
    found = (await last(world)).entry
    assert (found.attempt.action, found.attempt.name) == (Action.BATCH_GENERATE, "line")
    assert found.also == '{"record":50}'
    assert len(await entries(world)) == 2


async def test_a_record_and_a_batch_of_no_name_are_named_as_they_were_made(world: World) -> None:
    batch = (await world.client.call("POST", "/v1/register", {}))["name"]
    assert (await last(world)).entry.attempt.name == batch
    await world.client.call("POST", f"/v1/register/{batch}/record", {"fingerprintValue": "SN-1"})
    assert (await last(world)).entry.attempt.name == f"{batch}/sn-1"


async def test_a_token_acts_under_its_name_with_its_reason(world: World) -> None:
    token = await made(world, "operator", "shop", "ci")
    assert (await last(world)).entry.attempt.namespace == "shop"
    async with bearer(world, token) as client:
        reason = {b"X-Edgesync-Reason": f"Störung 17\t{'x' * 500}".encode()}
        await client.http.post("/v1/secrets", json=SECRET, headers=reason)
    attempt = (await last(world)).entry.attempt
    assert attempt.actor == Actor(ActorKind.TOKEN, "ci", "shop")
    assert attempt.namespace == "shop"
    assert attempt.reason.startswith("Störung 17?xxx")
    assert len(attempt.reason) == 200


async def test_a_refused_change_leaves_no_entry_of_success(world: World) -> None:
    await describe(world.client)
    before = await entries(world)
    for method, path, body in (
        ("POST", "/v1/nodes", NODE),
        ("PUT", "/v1/nodes/n1", {"labels": {"a b": "c"}}),
        ("DELETE", "/v1/configs/site", None),
        ("DELETE", "/v1/nodes/gone", None),
    ):
        assert (await world.client.send(method, path, body)).status_code >= 400
    stale = world.client.saying(**{"If-Match": '"0"'})
    assert (await stale.send("DELETE", "/v1/apps/web")).status_code == 412
    done = [link for link in await entries(world) if link.entry.outcome == "done"]
    assert done == before


async def test_a_change_whose_entry_cannot_be_written_is_not_done(world: World) -> None:
    class FullLog:
        """A transaction on a disk that is full when the entry comes."""

        def __init__(self, tx: Transaction) -> None:
            self._tx = tx

        def __getattr__(self, name: str) -> Any:
            if name == "append_audit":
                raise Unavailable("the disk is full")
            return getattr(self._tx, name)

    class OnFullDisk:
        def __init__(self) -> None:
            self.read, self.read_short = world.store.read, world.store.read_short

        async def write(self, work: Any) -> Any:
            return await world.store.write(lambda tx: work(FullLog(tx)))

        write_concurrent = write

        async def wait_for_pending(self) -> None: ...

    attempt = Attempt(ADMINISTRATOR, "app.delete", world.clock.now)
    await describe(world.client)
    store = AuditedStore(OnFullDisk(), attempt)
    with pytest.raises(Unavailable):
        await store.write(lambda tx: tx.delete_resource(App.kind, "default", "web"))
    await world.client.call("GET", "/v1/apps/web")


async def listed(client: ApiCaller, query: str = "") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await client.call("GET", f"/v1/audit{query}"))["items"]
    return items


async def test_an_admin_of_one_namespace_sees_what_was_done_there(world: World) -> None:
    one = await made(world, "admin", "one")
    two = await made(world, "operator", "two")
    async with bearer(world, two) as client:
        await client.call("POST", "/v1/nodes", NODE)
        await client.refused("GET", "/v1/audit", status=403, code="RequestForbidden")
    async with bearer(world, one) as client:
        await client.call("POST", "/v1/nodes", NODE)
        found = await listed(client)
        assert (await client.call("GET", "/v1/audit"))["head"] is None
        assert [(entry["action"], entry["actor"]["name"]) for entry in found] == [
            ("node.create", "admin"),
            ("token.create", ""),
        ]
        for other in ("two", "*"):
            path = f"/v1/audit?namespace={other}"
            await client.refused("GET", path, status=403, code="RequestForbidden")
    assert len(await listed(world.client, "?namespace=two&kind=node")) == 1
    assert len(await listed(world.client, "?namespace=*&kind=node")) == 2
    assert await listed(world.client) == []


async def test_the_log_is_asked_for_what_is_wanted(world: World) -> None:
    await describe(world.client)
    world.clock.advance(60)
    await world.client.call("DELETE", "/v1/apps/web")
    actions = {
        "?kind=app": ["app.delete", "app.create"],
        "?action=node.create": ["node.create"],
        "?name=password": ["secret.create"],
        "?actor=administrator&kind=app&name=web": ["app.delete", "app.create"],
        "?actor=absent": [],
        f"?requestId={REQUEST_ID}&limit=1": ["app.delete"],
        "?requestId=other": [],
        "?since=2026-01-02T03:05:05Z": ["app.delete"],
        "?until=2026-01-02T04:05:05%2B01:00&kind=app": ["app.create"],
    }
    for query, wanted in actions.items():
        assert [entry["action"] for entry in await listed(world.client, query)] == wanted, query


async def test_the_log_is_read_page_by_page_while_it_grows(world: World) -> None:
    await describe(world.client)
    first = await world.client.call("GET", "/v1/audit?limit=3")
    assert [entry["number"] for entry in first["items"]] == [4, 3, 2]
    assert (first["total"], first["head"]["number"]) == (4, 4)
    await world.client.call("DELETE", "/v1/apps/web")
    token = first["listOptions"]["continue"]
    second = await world.client.call("GET", f"/v1/audit?limit=3&continue={token}")
    assert [entry["number"] for entry in second["items"]] == [1]
    assert second["listOptions"]["continue"] == ""
    for other in ("&kind=app", "&namespace=*"):
        path = f"/v1/audit?limit=3&continue={token}{other}"
        await world.client.refused("GET", path, **INVALID)
    world.clock.advance(3600)
    path = f"/v1/audit?limit=3&continue={token}"
    await world.client.refused("GET", path, status=410, code="ResourceExpired")


@pytest.mark.parametrize(
    "query", ["since=yesterday", "until=2026-01-02T03:04:05", "namespace=No%20One", "limit=x"]
)
async def test_what_cannot_be_asked_is_named(world: World, query: str) -> None:
    message = await world.client.refused("GET", f"/v1/audit?{query}", **INVALID)
    assert query.partition("=")[0] in message


async def run(world: World, *words: str) -> Result:
    env = {"EDGESYNC_URL": world.url, "EDGESYNC_TOKEN": TOKEN}
    return await asyncio.to_thread(CliRunner(env=env).invoke, main, ["audit", *words])


async def test_the_command_shows_the_log(world: World) -> None:
    await describe(world.client)
    await made(world, "viewer", "one")
    shown = await run(world, "list", "--namespace", "*", "--limit", "2")
    assert shown.exit_code == 0, shown.output
    time = "2026-01-02T03:04:05.678901Z"
    assert [line.split() for line in shown.output.splitlines()] == [
        ["NUMBER", "TIME", "ACTOR", "ACTION", "NAMESPACE", "NAME", "OUTCOME", "FROM"],
        ["5", time, "administrator", "token.create", "one", "viewer", "done", "127.0.0.1"],
        ["4", time, "administrator", "app.create", "default", "web", "done", "127.0.0.1"],
    ]
    asked = await run(world, "list", "--kind", "node", "--request-id", "other", "--json")
    assert asked.output == "[]\n"
    asked = await run(world, "list", "--kind", "node", "--since", "2026-01-01T00:00:00Z", "--json")
    assert [entry["after"]["labels"] for entry in json.loads(asked.output)] == [NODE["labels"]]


async def test_the_command_reads_on_where_a_page_ends(world: World) -> None:
    def fill(tx: Transaction) -> None:
        for number in range(PAGE_LIMIT + 5):
            record_audit(tx, Attempt(SERVER, "app.update", world.clock.now, "default", str(number)))

    await world.store.write(fill)
    shown = await run(world, "list", "--limit", str(PAGE_LIMIT + 2), "--json")
    assert [entry["name"] for entry in json.loads(shown.output)] == [
        str(number) for number in range(PAGE_LIMIT + 4, 2, -1)
    ]


async def test_the_command_verifies_the_log_of_a_running_server(
    world: World, tmp_path: Path
) -> None:
    await describe(world.client)
    head = (await world.client.call("GET", "/v1/audit"))["head"]
    shown = f"{head['number']}:{head['code']}"
    found = await run(world, "verify", "--data-dir", str(tmp_path), "--head", shown)
    assert (found.exit_code, shown in found.output) == (0, True), found.output
    assert found.output.startswith("4 entries verified.")
    for forged in (f"3:{head['code']}", f"9:{head['code']}"):
        found = await run(world, "verify", "--data-dir", str(tmp_path), "--head", forged)
        assert (found.exit_code, "entry " in found.output) == (1, True), found.output
    found = await run(world, "verify", "--data-dir", str(tmp_path), "--head", "3")
    assert (found.exit_code, "NUMBER:CODE" in found.output) == (2, True)
    found = await run(world, "verify", "--data-dir", str(tmp_path / "gone"))
    assert (found.exit_code, "edgesync.db" in found.output) == (1, True)


async def test_the_command_names_the_first_entry_that_was_changed(
    world: World, tmp_path: Path
) -> None:
    await describe(world.client)
    with contextlib.closing(sqlite3.connect(tmp_path / "edgesync.db")) as database, database:
        database.execute("DROP TRIGGER audit_entry_never_changes")
        database.execute("UPDATE audit_entry SET actor_name = 'another' WHERE number = 3")
    found = await run(world, "verify", "--data-dir", str(tmp_path))
    assert found.exit_code == 1
    assert "entry 3: it was changed, moved or put in; the 2 entries before" in found.output


async def refused_in(world: World) -> list[tuple[str, str, str, str, str]]:
    return [
        (one.action, link.entry.outcome, one.actor.kind, one.name, link.entry.also)
        for link in await entries(world)
        for one in [link.entry.attempt]
        if link.entry.outcome != "done"
    ]


async def test_who_may_not_is_written_down(world: World) -> None:
    async with bearer(world, await made(world, "viewer", "one")) as client:
        await client.refused("DELETE", "/v1/apps/web", **FORBIDDEN)
        await client.refused("GET", "/v1/audit", **FORBIDDEN)
        await client.within("two").refused("GET", "/v1/nodes", **FORBIDDEN)
        await client.refused("GET", "/v1/apps/gone", status=404, code="ResourceNotFound")
    async with bearer(world, "no token at all") as client:
        await client.refused("GET", "/v1/nodes?selector=x", **DENIED)
    assert await refused_in(world) == [
        ("app.delete", "RequestForbidden", "token", "web", ""),
        ("api.read", "RequestForbidden", "token", "GET /v1/audit", ""),
        ("api.read", "RequestForbidden", "token", "GET /v1/nodes", ""),
        ("api.authenticate", "RequestAccessDenied", "unknown", "GET /v1/nodes", ""),
    ]
    refused = await listed(world.client, "?namespace=one&kind=api")
    assert [entry["actor"]["namespace"] for entry in refused] == ["one", "one"]
    audit_log = "\n".join(repr(link) for link in await entries(world))
    assert "no token at all" not in audit_log


async def test_who_keeps_trying_cannot_fill_the_log(world: World) -> None:
    async with bearer(world, "wrong") as client:
        for _ in range(10):
            await client.refused("GET", "/v1/nodes", **DENIED)
        assert len(await refused_in(world)) == 3
        world.clock.advance(100)
        await client.refused("GET", "/v1/nodes", **DENIED)
    found = await refused_in(world)
    assert len(found) == 4
    assert found[-1][-1] == '{"leftOut":7}'


async def test_what_cannot_be_written_down_now_is_counted_later(world: World) -> None:
    def down(_work: Any) -> Any:
        raise Unavailable("the disk is full")

    class Failing:
        write = staticmethod(down)

    attempt = Attempt(ADMINISTRATOR, Action.API_READ, world.clock.now)
    store: Any = Failing()
    log = RefusalLog(store, lambda: 0.0)
    await log.record(attempt, Forbidden("no"))
    store.write = world.store.write
    await log.record(attempt, Forbidden("no"))
    assert [also for *_, also in await refused_in(world)] == ['{"leftOut":1}']


async def test_what_is_old_or_too_much_goes_at_once_and_the_rest_stays(world: World) -> None:
    def fill(tx: Transaction) -> None:
        for number in range(PRUNED_AT_A_TIME + 100):
            record_audit(tx, Attempt(SERVER, "app.update", world.clock(), name=str(number)))

    await world.store.write(fill)
    by_count = Retention(world.store, world.clock, *[RetentionLimit(timedelta(days=1), 50)] * 2)
    assert await by_count.prune() == PRUNED_AT_A_TIME + 52
    left = await entries(world)
    assert len(left) == 50
    assert {link.entry.attempt.action for link in left} == {"app.update", Action.LOG_PRUNE}
    assert await by_count.prune() == 0
    world.clock.advance(2 * 24 * 3600)
    assert await by_count.prune() == 50
    assert [link.entry.attempt.action for link in await entries(world)] == [Action.LOG_PRUNE]

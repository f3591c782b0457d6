"""Dry runs: the answer lists what a request would change, and nothing changes."""

import asyncio
import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cloud.core.certificate import NodeCertificate
from cloud.core.installation import TargetKind
from cloud.core.report import Order, read_report
from cloud.operations.reports import receive_report
from cloud.store.transaction import Transaction
from tests.rest.conftest import APP, CONFIG, NODE, REGISTRY, SECRET, ApiCaller, World, describe
from tests.rest.test_golden import steps


def tables(directory: Path) -> dict[str, list[Any]]:
    """All that is in the database."""
    with sqlite3.connect(f"file:{directory / 'edgesync.db'}?mode=ro", uri=True) as database:
        names = [
            n for (n,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        return {name: database.execute(f"SELECT * FROM {name}").fetchall() for name in names}  # noqa: S608


def tried(path: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}dryRun=true"


async def test_no_route_changes_anything_in_a_dry_run_and_each_is_refused_as_ever(
    world: World, tmp_path: Path
) -> None:
    kinds = set()
    async for name, method, path, body in steps(world):
        if method == "GET":
            await world.client.send(method, path, body)
            continue
        before, woken, cut = tables(tmp_path), list(world.woken), list(world.cut_off)
        found = await world.client.send(method, tried(path), body)
        assert tables(tmp_path) == before, name
        assert (world.woken, world.cut_off) == (woken, cut), name
        answer = await world.client.send(method, path, body)
        assert found.status_code == answer.status_code, name
        if answer.status_code == 200:
            assert found.json()["dryRun"] is True, name
            kinds.add(found.json()["kind"])
        else:
            assert found.json()["code"] == answer.json()["code"], name
    assert kinds >= {"node", "app", "config", "secret", "registry", "batch", "record", "token"}


async def plan(client: ApiCaller, method: str, path: str, body: object = None) -> Any:
    return await client.call(method, tried(path), body)


def reports(world: World, name: str, **content: Any) -> Any:
    def receive(tx: Transaction) -> None:
        report = read_report(content, Order())
        receive_report(tx, f"default.{name}", report, "json", now=world.clock.now)

    return world.store.write(receive)


async def gateways(world: World, *names: str) -> None:
    for name in names:
        await world.client.call("POST", "/v1/nodes", {"name": name, "labels": {"role": "gateway"}})


async def test_a_plan_has_the_nodes_an_app_reaches_and_which_are_offline(world: World) -> None:
    client = world.client
    await describe(client)
    await gateways(world, "n2", "n3")
    await client.call("POST", "/v1/nodes", {"name": "camera", "labels": {"role": "camera"}})
    await reports(world, "n2")
    services = [{**APP["services"][0], "image": "nginx:2"}]  # type: ignore[index]
    found = await plan(client, "PATCH", "/v1/apps/web", {"services": services})
    assert (found["kind"], found["name"], found["action"]) == ("app", "web", "update")
    assert found["changes"] == [
        {"path": "services[web].image", "before": "nginx:1", "after": "nginx:2"}
    ]
    assert found["nodes"] == {
        "total": 4, "touched": 3, "offline": 2, "share": 0.75, "names": ["n1", "n2", "n3"],
    }  # fmt: skip
    assert found["apps"] == [{"name": "web", "before": "3", "after": "", "nodes": 3}]
    assert "3 of 4 nodes" in found["message"]
    assert "2 of them are offline" in found["message"]


async def test_a_plan_is_what_then_happens(world: World) -> None:
    client = world.client
    await describe(client)
    await gateways(world, "n2")
    await client.call("POST", "/v1/nodes", {"name": "camera", "labels": {"role": "camera"}})
    for method, path, body in (
        ("PATCH", "/v1/configs/site", {"description": "new"}),
        ("PUT", "/v1/secrets/password", {"data": {"password": "other"}}),
        ("PATCH", "/v1/apps/web", {"selector": "role in (gateway, camera)"}),
        ("PATCH", "/v1/apps/web", {"selector": "role=camera"}),
        ("PATCH", "/v1/nodes/n1", {"labels": {"role": "camera"}}),
        ("PATCH", "/v1/nodes/n2", {"labels": {"other": "label"}}),
        ("DELETE", "/v1/apps/web", None),
    ):
        before = await desired(client)
        found = await plan(client, method, path, body)
        await client.call(method, path, body)
        after = await desired(client)
        differ = [name for name in before if before[name] != after[name]]
        assert found["nodes"]["names"] == differ, path
        assert found["nodes"]["touched"] == len(differ)


async def desired(client: ApiCaller) -> dict[str, Any]:
    names = [node["name"] for node in (await client.call("GET", "/v1/nodes"))["items"]]
    apps = {name: (await client.call("GET", f"/v1/nodes/{name}/apps"))["items"] for name in names}
    return {name: [(app["name"], app["version"]) for app in apps[name]] for name in sorted(apps)}


async def test_bytes_are_those_of_what_nodes_do_not_hold(world: World) -> None:
    client = world.client
    await client.call("POST", "/v1/secrets", SECRET)
    large = {**CONFIG, "data": [{"key": "a", "value": {"type": "kv", "value": "x" * 10_000}}]}
    await client.call("POST", "/v1/configs", large)
    await gateways(world, "n1", "n2")
    made = await plan(client, "POST", "/v1/apps", APP)
    await client.call("POST", "/v1/apps", APP)
    same_config = await plan(client, "PATCH", "/v1/apps/web", {"description": "another"})
    new_config = await plan(client, "PATCH", "/v1/configs/site", {"description": "another"})
    new_node = await plan(client, "POST", "/v1/nodes", {**NODE, "name": "n3"})
    assert 20_000 < made["bytes"] < 26_000
    assert same_config["bytes"] < 6_000
    assert 20_000 < new_config["bytes"] < 26_000
    assert 10_000 < new_node["bytes"] < 13_000
    assert new_node["apps"] == [{"name": "web", "before": None, "after": "3", "nodes": 1}]


async def test_a_plan_without_changes_is_unchanged(world: World) -> None:
    await describe(world.client)
    found = await plan(world.client, "PATCH", "/v1/apps/web", {"selector": "role=gateway"})
    assert (found["action"], found["changes"], found["nodes"]["touched"]) == ("none", [], 0)
    assert found["message"] == "app web is like that already: nothing would change."


async def test_a_plan_shows_no_secret(world: World) -> None:
    await describe(world.client)
    await world.client.call("POST", "/v1/registries", REGISTRY)
    for method, path, body in (
        ("PUT", "/v1/secrets/password", {"data": {"password": "open sesame"}}),
        ("POST", "/v1/registries/hub/refresh", {"password": "open sesame"}),
        ("POST", "/v1/secrets", {"name": "other", "data": {"password": "open sesame"}}),
    ):
        answer = await world.client.send(method, tried(path), body)
        assert answer.status_code == 200
        assert "changes" in answer.text
        assert "sesame" not in answer.text
        assert "öpen" not in answer.text


@pytest.mark.parametrize(
    "query", ["dryRun=maybe", "dryRun=true&dryRun=true", "confirm=1", "confirm=", "dryRun"]
)
async def test_what_is_neither_yes_nor_no_changes_nothing(client: ApiCaller, query: str) -> None:
    await client.refused("POST", f"/v1/nodes?{query}", NODE, status=400, code="RequestParamInvalid")
    assert (await client.call("GET", "/v1/nodes"))["total"] == 0


async def test_a_guard_has_large_changes_confirmed(world: World) -> None:
    client = world.client
    await describe(client)
    await gateways(world, "n2", "n3")
    assert await client.call("GET", "/v1/guard") == {"maxShare": 1.0, "minNodes": 0}
    await client.call("PUT", "/v1/guard", {"maxShare": 0.5, "minNodes": 2})
    change = {"selector": "role!=none"}
    message = await client.refused(
        "PATCH", "/v1/apps/web", change, status=409, code="ConfirmationRequired"
    )
    assert "3 of 3 nodes" in message
    assert (await client.call("GET", "/v1/apps/web"))["selector"] == "role=gateway"
    assert (await plan(client, "PATCH", "/v1/apps/web", change))["confirm"] is True
    await client.call("PATCH", "/v1/apps/web?confirm=true", change)
    entry = (await client.call("GET", "/v1/audit?limit=1"))["items"][0]
    assert (entry["action"], entry["also"]["confirmed"]) == ("app.update", 3)
    await client.call("PATCH", "/v1/apps/web", change)


async def test_a_guard_lets_small_changes_through_and_is_of_one_namespace(world: World) -> None:
    client = world.client
    await describe(client)
    await gateways(world, "n2", "n3")
    await client.call("PUT", "/v1/guard", {"maxShare": 0.5})
    await client.call("PATCH", "/v1/nodes/n2", {"labels": {"role": "camera"}})
    await client.call("DELETE", "/v1/nodes/n2")
    other = client.within("other")
    await describe(other)
    await other.call("PATCH", "/v1/configs/site", {"description": "new"})
    message = await client.refused(
        "PATCH",
        "/v1/configs/site",
        {"description": "new"},
        status=409,
        code="ConfirmationRequired",
    )
    assert "2 of 2 nodes" in message


async def test_of_a_rollout_the_guard_counts_the_first_stage(world: World) -> None:
    client = world.client
    await describe(client)
    await gateways(world, "n2", "n3", "n4")
    await client.call("PUT", "/v1/guard", {"maxShare": 0.5})
    policy = {"apps": {"names": ["web"]}, "stages": [{"name": "first", "limit": 2}]}
    await client.call("POST", "/v1/rolloutpolicies", {"name": "careful", **policy})
    change: dict[str, Any] = {"description": "one"}
    assert (await plan(client, "PATCH", "/v1/configs/site", change))["confirm"] is False
    await client.call("PATCH", "/v1/configs/site", change)
    # The stages before the one that has nodes do not count.
    stages = [{"name": "none", "selector": "ring=canary"}, {"name": "first", "limit": "75%"}]
    await client.call("PATCH", "/v1/rolloutpolicies/careful", {"stages": stages})
    change = {"description": "two"}
    assert (await plan(client, "PATCH", "/v1/configs/site", change))["confirm"] is True
    message = await client.refused(
        "PATCH", "/v1/configs/site", change, status=409, code="ConfirmationRequired"
    )
    assert "3 of 4 nodes" in message
    await client.call("PATCH", "/v1/configs/site?confirm=true", change)
    entry = (await client.call("GET", "/v1/audit?limit=1"))["items"][0]
    assert entry["also"]["confirmed"] == 3


async def test_pending_nodes_are_no_part_of_a_change_and_stay_pending(
    world: World,
) -> None:
    client = world.client
    await describe(client)
    await gateways(world, "n2")
    await client.call("PUT", "/v1/guard", {"maxShare": 0.9})
    before = await world.store.read(lambda tx: tx.count_waiting())
    assert before.nodes == 2
    await client.call("PATCH", "/v1/nodes/n2", {"labels": {"role": "camera"}})
    assert (await plan(client, "DELETE", "/v1/nodes/n2"))["nodes"]["touched"] == 1
    assert await world.store.read(lambda tx: tx.count_waiting()) == before


async def test_of_two_at_the_same_time_none_slips_by_the_guard(world: World) -> None:
    client = world.client
    await describe(client)
    await client.call("PUT", "/v1/guard", {"maxShare": 0.5})
    answers = await asyncio.gather(
        *(client.send("PATCH", "/v1/configs/site", {"description": str(i)}) for i in range(8))
    )
    assert {answer.status_code for answer in answers} == {409}


@pytest.mark.parametrize(
    "body", [{"maxShare": 1.5}, {"maxShare": -0.1}, {"minNodes": -1}, {"x": 1}]
)
async def test_a_guard_that_makes_no_sense_is_refused(client: ApiCaller, body: Any) -> None:
    await client.refused("PUT", "/v1/guard", body, status=400, code="RequestParamInvalid")


BROKER = {"modules": [{"name": "baetyl-broker", "image": "b:1"}], "selector": "role=gateway"}


async def test_system_apps_touch_only_who_is_given_any(world: World) -> None:
    client = world.client
    await gateways(world, "n1", "n2", "n3")
    await client.call("POST", "/v1/nodes", {"name": "camera", "labels": {"role": "camera"}})
    for name in ("n1", "n2", "camera"):
        await reports(world, name, apps=[], sysapps=[], node={"containerRuntime": "c"})
    await client.call("PUT", "/v1/guard", {"maxShare": 0.5})
    found = await plan(client, "PUT", "/v1/sysapps", BROKER)
    assert (found["nodes"]["touched"], found["nodes"]["names"]) == (2, ["n1", "n2"])
    assert found["apps"] == [{"name": "baetyl-broker", "before": None, "after": "", "nodes": 2}]
    assert found["bytes"] > 0
    await client.call("PUT", "/v1/sysapps", BROKER)
    moved = await plan(client, "PATCH", "/v1/nodes/n1", {"labels": {"role": "camera"}})
    assert moved["nodes"]["names"] == ["n1"]
    assert [(app["name"], app["after"]) for app in moved["apps"]] == [("baetyl-broker", None)]
    for name in ("n3", "camera"):
        await client.call("PATCH", f"/v1/nodes/{name}", {"labels": {"role": "gateway"}})
    more = {**BROKER, "modules": [{"name": "baetyl-broker", "image": "b:2"}]}
    refused = await client.refused(
        "PUT", "/v1/sysapps", more, status=409, code="ConfirmationRequired"
    )
    assert "3 of 4 nodes" in refused


async def test_a_node_that_is_shut_out_is_touched(world: World) -> None:
    client = world.client
    await gateways(world, "n1", "n2")
    await client.call("POST", "/v1/register", {"name": "b1"})
    draft = {"name": "r1", "fingerprintValue": "sn-1", "nodeName": "n2"}
    await client.call("POST", "/v1/register/b1/record", draft)

    def activated(tx: Transaction) -> None:
        for serial, name in enumerate(("n1", "n2"), start=1):
            ends = world.clock.now + timedelta(days=9)
            certificate = NodeCertificate(serial, f"default.{name}", world.clock.now, ends)
            tx.put_certificate(certificate)
        record = tx.record("default", "b1", "r1")
        assert record is not None
        tx.put_record(replace(record, active=True))

    await world.store.write(activated)
    await client.call("PUT", "/v1/guard", {"maxShare": 0.4})
    for path, name in (("nodes/n1/revoke", "n1"), ("register/b1/record/r1/reset", "n2")):
        found = await plan(client, "POST", f"/v1/{path}")
        assert (found["nodes"]["names"], found["confirm"]) == ([name], True), path
        await client.refused("POST", f"/v1/{path}", status=409, code="ConfirmationRequired")
        await client.call("POST", f"/v1/{path}?confirm=true")
        assert (await plan(client, "POST", f"/v1/{path}"))["nodes"]["touched"] == 0, path


async def test_what_is_only_looked_at_cannot_be_planned_and_gives_no_command_away(
    world: World,
) -> None:
    await gateways(world, "n1")
    for path in ("nodes", "nodes/n1/init"):
        path = f"/v1/{path}?dryRun=true"
        await world.client.refused("GET", path, status=400, code="RequestParamInvalid")
    tokens = await world.store.read(lambda tx: tx.install_tokens("default", TargetKind.NODE, "n1"))
    assert tokens == []

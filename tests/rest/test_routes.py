"""What the API does beyond single answers."""

from datetime import timedelta
from typing import Any

import pytest

from cloud.core.certificate import NodeCertificate
from cloud.core.report import Order, read_report, read_usage
from cloud.operations.reports import receive_report, receive_usage
from cloud.store.transaction import Transaction
from tests.rest.conftest import APP, CALLBACK, CONFIG, NODE, SECRET, ApiCaller, World, describe

BATCH = {"name": "b", "description": "x", "labels": {"line": "7"}}
RECORD = {"name": "r", "fingerprintValue": "F", "nodeName": "n7"}
COLLECTIONS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/nodes", NODE),
    ("/v1/configs", CONFIG),
    ("/v1/secrets", SECRET),
    ("/v1/apps", APP),
    ("/v1/register", BATCH),
    ("/v1/register/b/record", RECORD),
]


async def test_what_was_read_can_be_put_back_and_changes_nothing(world: World) -> None:
    await describe(world.client)
    for path, body in COLLECTIONS[4:]:
        await world.client.call("POST", path, body)
    await world.client.call("POST", "/v1/callback", CALLBACK)
    await world.store.write(lambda tx: tx.take_pending(100))
    world.clock.advance(10)
    for path, body in (*COLLECTIONS, ("/v1/callback", CALLBACK)):
        one = f"{path}/{body['name']}"
        before = await world.client.call("GET", one)
        assert await world.client.call("PUT", one, before) == before
        assert await world.client.call("GET", one) == before
    assert not await world.store.write(lambda tx: tx.take_pending(100))


async def test_what_is_created_is_answered_as_it_is_read(client: ApiCaller) -> None:
    for path, body in COLLECTIONS:
        created = await client.call("POST", path, body)
        assert await client.call("GET", f"{path}/{body['name']}") == created


async def test_the_name_in_the_path_counts(client: ApiCaller) -> None:
    await client.call("POST", "/v1/nodes", NODE)
    after = await client.call("PUT", "/v1/nodes/n1", {"name": "other", "description": "x"})
    assert after["name"] == "n1"


async def test_put_empties_what_is_left_out(client: ApiCaller) -> None:
    await describe(client)
    node = await client.call("PUT", "/v1/nodes/n1", {})
    assert node["labels"] == {"baetyl-node-name": "n1"}
    assert (node["annotations"], node["description"]) == ({}, "")
    app = await client.call("PUT", "/v1/apps/web", {"services": []})
    assert (app["services"], app["volumes"], app["selector"]) == ([], [], "")
    assert app["type"] == "container"


async def test_the_misspelt_field_of_the_page_is_understood(client: ApiCaller) -> None:
    await client.call("POST", "/v1/nodes", NODE)
    for field in ("annotatins", "annotations"):
        after = await client.call("PUT", "/v1/nodes/n1", {field: {"brand": field}})
        assert after["annotations"] == {"brand": field}


@pytest.mark.parametrize(("path", "body"), COLLECTIONS)
async def test_an_unknown_field_is_refused_by_name(
    client: ApiCaller, path: str, body: dict[str, Any]
) -> None:
    for earlier, content in COLLECTIONS:
        await client.call("POST", earlier, content)
    extra = {**body, "sizzle": 1}
    for method, target in (("POST", path), ("PUT", f"{path}/{body['name']}")):
        message = await client.refused(
            method, target, extra, status=400, code="RequestParamInvalid"
        )
        assert "sizzle" in message


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/nodes", {"name": 1}, "name"),
        ("/v1/nodes", {}, "name"),
        ("/v1/nodes", {"name": "n", "labels": []}, "labels"),
        ("/v1/nodes", {"name": "n", "labels": {"a": 1}}, "labels.a"),
        ("/v1/nodes", {"name": "n", "labels": {"a b": "1"}}, "labels"),
        ("/v1/nodes", {"name": "n/m"}, "name"),
        ("/v1/apps", {**APP, "selector": "a in b"}, "selector"),
        ("/v1/apps", {**APP, "type": "function"}, "services[0].functionConfig"),
        ("/v1/apps", {**APP, "type": "helm"}, "type"),
        ("/v1/apps", {**APP, "services": [{"image": "x"}]}, "services[0].name"),
        ("/v1/apps", {**APP, "volumes": []}, "services[0].volumeMounts[0].name"),
        ("/v1/apps", {**APP, "name": "baetyl-core"}, "name"),
        ("/v1/configs", {"name": "c", "data": [{"key": "a"}]}, "data[0].value"),
        ("/v1/configs", {"name": "c", "data": [{"key": "a", "value": {}}]}, "data[0].value.type"),
        ("/v1/secrets", {"name": "s", "data": {"a": 1}}, "data.a"),
        ("/v1/register", {"quotaNum": 1.5}, "quotaNum"),
        ("/v1/register", {"enableWhitelist": True}, "enableWhitelist"),
        ("/v1/register", {"securityType": "Cert"}, "securityType"),
    ],
)
async def test_a_wrong_value_is_refused_by_name_and_nothing_is_kept(
    client: ApiCaller, path: str, body: dict[str, Any], field: str
) -> None:
    await client.call("POST", "/v1/configs", CONFIG)
    await client.call("POST", "/v1/secrets", SECRET)
    before = await client.call("GET", path)
    message = await client.refused("POST", path, body, status=400, code="RequestParamInvalid")
    assert f"({field}: " in message
    assert await client.call("GET", path) == before


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("selector=a+in+b", "selector"),
        ("fieldSelector=spec.x%3D1", "fieldSelector"),
        ("limit=ten", "limit"),
        ("limit=-1", "limit"),
        ("limit=" + "9" * 30, "limit"),
        ("limit=%C2%B2", "limit"),
        ("continue=%FF%00", "continue"),
    ],
)
async def test_a_list_that_cannot_be_understood_is_refused_by_name(
    client: ApiCaller, query: str, field: str
) -> None:
    for path in ("/v1/nodes", "/v1/apps", "/v1/configs", "/v1/secrets"):
        message = await client.refused(
            "GET", f"{path}?{query}", status=400, code="RequestParamInvalid"
        )
        assert field in message


async def test_a_list_goes_on_where_it_stopped(client: ApiCaller) -> None:
    for number in range(5):
        await client.call("POST", "/v1/nodes", {"name": f"n{number}"})
    shown, token = [], ""
    while True:
        page = await client.call("GET", f"/v1/nodes?limit=2&continue={token}")
        assert page["total"] == 5
        assert page["listOptions"]["limit"] == 2
        shown += [node["name"] for node in page["items"]]
        token = page["listOptions"]["continue"]
        if not token:
            break
    assert shown == ["n0", "n1", "n2", "n3", "n4"]


async def test_register_lists_have_numbered_pages(client: ApiCaller) -> None:
    for number in range(3):
        await client.call("POST", "/v1/register", {"name": f"b{number}"})
    page = await client.call("GET", "/v1/register")
    assert (page["total"], page["pageNo"], page["pageSize"]) == (3, 1, 20)
    page = await client.call("GET", "/v1/register?pageNo=0&pageSize=2&name=B")
    assert [batch["name"] for batch in page["items"]] == ["b2", "b1"]
    assert (page["pageNo"], page["pageSize"]) == (1, 2)
    await client.refused("GET", "/v1/register?pageNo=x", status=400, code="RequestParamInvalid")


async def test_lists_never_hold_values(client: ApiCaller) -> None:
    await describe(client)
    await client.call("POST", "/v1/register", {"name": "b", "securityKey": "hidden"})
    secrets = await client.send("GET", "/v1/secrets")
    assert "öpen" not in secrets.text
    assert "data" not in secrets.json()["items"][0]
    assert "hidden" not in (await client.send("GET", "/v1/register")).text
    assert "data" not in (await client.call("GET", "/v1/configs"))["items"][0]
    assert "services" not in (await client.call("GET", "/v1/apps"))["items"][0]


async def test_namespaces_do_not_see_each_other(client: ApiCaller) -> None:
    await describe(client)
    other = client.within("other")
    assert (await other.call("GET", "/v1/nodes"))["total"] == 0
    assert (await other.call("POST", "/v1/nodes", NODE))["namespace"] == "other"
    await other.refused("GET", "/v1/apps/web", status=404, code="ResourceNotFound")
    bad = client.within("a.b")
    message = await bad.refused("GET", "/v1/nodes", status=400, code="RequestParamInvalid")
    assert "X-Edgesync-Namespace" in message


async def test_a_node_is_ready_while_it_reports(world: World) -> None:
    await describe(world.client)

    def receive(tx: Transaction) -> None:
        content = {"appstats": [{"name": "web", "version": "1", "status": "Running"}]}
        report = read_report(content, Order())
        tx.put_report("default", "n1", report, "json", world.clock.now)

    async def seen() -> tuple[bool, bool, str]:
        one = await world.client.call("GET", "/v1/nodes/n1")
        stats = await world.client.call("GET", "/v1/nodes/n1/stats")
        (listed,) = (await world.client.call("GET", "/v1/nodes"))["items"]
        assert one["ready"] is listed["ready"] is stats["ready"]
        return one["ready"], listed["ready"], stats["report"]["appstats"][0]["status"]

    await world.store.write(receive)
    assert await seen() == (True, True, "Running")
    world.clock.advance(59)
    assert await seen() == (True, True, "Running")
    world.clock.advance(2)
    assert await seen() == (False, False, "Unknown")


async def test_a_node_has_a_state_and_its_begin(world: World) -> None:
    await describe(world.client)

    async def state() -> dict[str, Any]:
        one = await world.client.call("GET", "/v1/nodes/n1")
        stats = await world.client.call("GET", "/v1/nodes/n1/stats")
        (listed,) = (await world.client.call("GET", "/v1/nodes"))["items"]
        assert one["state"] == listed["state"] == stats["state"]
        return dict(one["state"])

    assert await state() == {
        "name": "never",
        "reason": "never reported",
        "since": "2026-01-02T03:04:05Z",
        "lastReport": None,
        "lastStats": None,
        "interval": None,
        "connected": False,
        "revoked": False,
        "secrets": "plain",
    }
    world.connected.add("default.n1")
    report = read_report({}, Order())
    hourly, received_at = timedelta(hours=1), world.clock.now
    await world.store.write(
        lambda tx: receive_report(
            tx, "default.n1", report, "json", now=received_at, interval=hourly
        )
    )
    world.clock.advance(60)
    usage = read_usage({"nodestats": {}})
    now = world.clock.now
    await world.store.write(lambda tx: receive_usage(tx, "default.n1", usage, now=now))
    online = {
        "name": "online",
        "reason": "heard within 3 intervals",
        "since": "2026-01-02T03:04:05Z",
        "lastReport": "2026-01-02T03:04:05Z",
        "lastStats": "2026-01-02T03:05:05Z",
        "interval": 3600.0,
        "connected": True,
        "revoked": False,
        "secrets": "plain",
    }
    assert await state() == online
    world.clock.advance(3 * 3600)
    stale = {"name": "stale", "reason": "silent for 3 intervals", "since": "2026-01-02T06:05:05Z"}
    assert await state() == {**online, **stale}
    world.clock.advance(3 * 3600)
    gone = {"name": "offline", "reason": "silent for 6 intervals", "since": "2026-01-02T09:05:05Z"}
    assert await state() == {**online, **gone}


async def test_a_deleted_node_is_cut_off(world: World) -> None:
    await world.client.call("POST", "/v1/nodes", NODE)
    await world.client.refused("DELETE", "/v1/nodes/n2", status=404, code="ResourceNotFound")
    assert world.cut_off == []
    await world.client.call("DELETE", "/v1/nodes/n1")
    assert world.cut_off == ["default.n1"]


async def test_a_revoked_node_is_cut_off_and_stays(world: World) -> None:
    await world.client.call("POST", "/v1/nodes", NODE)
    await world.client.refused("POST", "/v1/nodes/n2/revoke", status=404, code="ResourceNotFound")
    assert world.cut_off == []
    await world.client.call("POST", "/v1/nodes/n1/revoke")
    assert world.cut_off == ["default.n1"]
    await world.client.call("GET", "/v1/nodes/n1")


async def test_what_is_in_use_stays(client: ApiCaller) -> None:
    await describe(client)
    for path in ("/v1/configs/site", "/v1/secrets/password"):
        message = await client.refused("DELETE", path, status=403, code="ResourceHasBeenUsed")
        assert "web" in message
    await client.refused("POST", "/v1/apps", APP, status=403, code="ResourceHasBeenUsed")
    for path, body in COLLECTIONS[:3]:
        message = await client.refused("POST", path, body, status=400, code="RequestParamInvalid")
        assert "already in use" in message


async def test_a_changed_config_is_a_new_version_of_its_app(client: ApiCaller) -> None:
    await describe(client)
    before = await client.call("GET", "/v1/apps/web")
    await client.call("PUT", "/v1/configs/site", {**CONFIG, "description": "new"})
    after = await client.call("GET", "/v1/apps/web")
    assert int(after["version"]) > int(before["version"])


async def test_the_rules_of_a_batch_have_codes_of_their_own(world: World) -> None:
    client = world.client
    await client.call("POST", "/v1/register", {"name": "b", "quotaNum": 1})
    await client.call("POST", "/v1/register/b/record", RECORD)
    await client.refused(
        "POST", "/v1/register/b/record", {}, status=400, code="RegisterQuotaNumOut"
    )
    await client.refused("DELETE", "/v1/register/b", status=400, code="RegisterDeleteRecord")

    await world.store.write(_activate)
    one = "/v1/register/b/record/r"
    assert (await client.call("GET", one))["active"] == 1
    await client.refused("DELETE", one, status=400, code="RegisterRecordActivated")
    await client.refused("PUT", one, {"nodeName": "x"}, status=400, code="RegisterRecordActivated")


async def test_a_reset_record_is_free_and_its_node_is_cut_off(world: World) -> None:
    client = world.client
    await client.call("POST", "/v1/register", {"name": "b"})
    await client.call("POST", "/v1/register/b/record", {"name": "r", "nodeName": "n1"})
    await world.store.write(_activate)
    one = "/v1/register/b/record/r"
    seen = (await client.send("GET", one)).headers["etag"]
    stale = client.saying(**{"If-Match": '"other"'})
    await stale.refused("POST", f"{one}/reset", status=412, code="PreconditionFailed")
    assert world.cut_off == []
    answer = await client.saying(**{"If-Match": seen}).call("POST", f"{one}/reset")
    assert (answer["active"], answer["nodeName"]) == (0, "n1")
    assert world.cut_off == ["default.n1"]
    assert await world.store.read(lambda tx: tx.live_keys("default.n1")) == frozenset()
    await client.refused("POST", f"{one}s/reset", status=404, code="ResourceNotFound")


def _activate(tx: Transaction) -> None:
    record = tx.record("default", "b", "r")
    assert record is not None
    tx.put_record(type(record)(**{**_fields(record), "active": True}))
    expires = record.created + timedelta(days=90)
    tx.put_certificate(NodeCertificate(1, "default.n1", record.created, expires, key="k"))


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}


@pytest.mark.parametrize(("path", "body"), COLLECTIONS)
async def test_what_is_not_there_is_not_found(
    client: ApiCaller, path: str, body: dict[str, Any]
) -> None:
    if path.endswith("/record"):
        await client.call("POST", "/v1/register", BATCH)
    update = {"nodeName": "x"} if path.endswith("/record") else body
    for method, content in (("GET", None), ("PUT", update), ("DELETE", None)):
        message = await client.refused(
            method, f"{path}/missing", content, status=404, code="ResourceNotFound"
        )
        assert "missing" in message


@pytest.mark.parametrize(
    "path",
    [
        "/v1/nodes/x/stats",
        "/v1/nodes/x/apps",
        "/v1/configs/x/apps",
        "/v1/secrets/x/apps",
        "/v1/registries/x/apps",
    ],
)
async def test_nothing_belongs_to_what_is_not_there(client: ApiCaller, path: str) -> None:
    await client.refused("GET", path, status=404, code="ResourceNotFound")

"""What a body may leave out, may not repeat, and what a query may hold."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from cloud.core.decoding import VALUES_LIMIT
from cloud.http.answers import YAML
from cloud.http.yaml_text import EVENTS_LIMIT
from cloud.rest.routes import ROUTES
from tests.rest.conftest import APP, CONFIG, NODE, ApiCaller, World, describe

INVALID: dict[str, Any] = {"status": 400, "code": "RequestParamInvalid"}


def in_place(path: str) -> str:
    """A path of the route table with names in it."""
    for parameter in ("name", "batch", "record", "revision", "id"):
        path = path.replace(f"{{{parameter}}}", "1")
    return path


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_no_route_ignores_an_unknown_parameter(client: ApiCaller, route: Any) -> None:
    body: object = {} if route.described.body else None
    path = f"{in_place(route.path)}?selecter=a"
    message = await client.refused(route.method, path, body, **INVALID)
    assert "unknown query parameter 'selecter'" in message


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("/health", "/livez", "/readyz", "/version", "/metrics")),
        *(("GET", path) for path in ("/openapi.json", "/docs")),
        *((method, "/session") for method in ("GET", "POST", "DELETE")),
    ],
)
async def test_nor_does_one_outside_the_table(client: ApiCaller, method: str, path: str) -> None:
    message = await client.refused(method, f"{path}?verbos=1", **INVALID)
    assert "unknown query parameter 'verbos'" in message
    assert ("did you mean 'verbose'?" in message) == (path == "/readyz")


async def test_the_nearest_parameter_is_named_and_nothing_is_done(client: ApiCaller) -> None:
    await client.call("POST", "/v1/nodes", NODE)
    message = await client.refused("DELETE", "/v1/nodes/n1?dryrun=true", **INVALID)
    assert "unknown query parameter 'dryrun'; did you mean 'dryRun'?" in message
    await client.call("GET", "/v1/nodes/n1")
    message = await client.refused("GET", f"/v1/nodes?{'x' * 2000}=1", **INVALID)
    assert "did you mean" not in message
    assert len(message) < 200
    await client.call("DELETE", "/v1/nodes/n1?dryRun=true")
    await client.call("GET", "/v1/nodes?limit=1&continue=&selector=&fieldSelector=")


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PUT", "/v1/secrets/password", {"description": "x"}, "data"),
        ("PUT", "/v1/secrets/password", {"data": None}, "data"),
        ("POST", "/v1/secrets", {"name": "other"}, "data"),
        ("PUT", "/v1/configs/site", {"description": "x"}, "data"),
        ("PUT", "/v1/apps/web", {"selector": "a=b"}, "services"),
    ],
)
async def test_nothing_is_emptied_by_leaving_it_out(
    client: ApiCaller, method: str, path: str, body: dict[str, Any], field: str
) -> None:
    await describe(client)
    own = path if method == "PUT" else f"{path}/password"
    before = await client.call("GET", own)
    assert f"({field}: missing)" in await client.refused(method, path, body, **INVALID)
    assert await client.call("GET", own) == before
    await client.call("PATCH", own, {"description": "x"})
    assert await client.call("GET", own) == {
        **before,
        "description": "x",
        "version": (await client.call("GET", own))["version"],
        "updateTime": before["updateTime"],
    }


def with_nulls(given: Any, *names: str) -> Any:
    return {**given, **dict.fromkeys(names)}


async def test_null_stands_for_what_is_left_out_at_any_depth(client: ApiCaller) -> None:
    await describe(client)
    service = with_nulls(
        {"name": "web", "image": "nginx:1", "ports": [{"containerPort": 80, "hostPort": None}]},
        *("labels", "replica", "resources", "restart", "security", "functions", "env"),
    )
    volume = with_nulls({"name": "v", "emptyDir": {}}, "config", "secret", "hostPath")
    plain = {"name": "web", "services": [{"name": "web", "image": "nginx:1"}]}
    plain["services"][0]["ports"] = [{"containerPort": 80}]  # type: ignore[index]
    plain["volumes"] = [{"name": "v", "emptyDir": {}}]
    wanted = await client.call("PUT", "/v1/apps/web", plain)
    body = with_nulls({"services": [service], "volumes": [volume]}, "name", "labels", "type")
    assert await client.call("PUT", "/v1/apps/web", with_nulls(body, "selector")) == wanted
    assert await client.call("PATCH", "/v1/apps/web", {"services": [service]}) == wanted
    node = await client.call("PUT", "/v1/nodes/n1", with_nulls({}, "annotatins", "labels"))
    assert (node["annotations"], list(node["labels"])) == ({}, ["baetyl-node-name"])
    value = with_nulls({"type": "object", "source": "http", "url": "http://a/b"}, "md5", "ak")
    data = [{"key": "a", "value": value}]
    await client.call("POST", "/v1/configs", with_nulls({"name": "o", "data": data}, "labels"))
    batch = await client.call("POST", "/v1/register", with_nulls({"name": None}, "fingerprint"))
    kept = {"description": "x", "quotaNum": None, "fingerprint": {"type": None}}
    assert (await client.call("PUT", f"/v1/register/{batch['name']}", kept))["quotaNum"] == 200


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/nodes", with_nulls({}, "name"), "name"),
        ("/v1/nodes", {"name": "n2", "labels": {"a": None}}, "labels.a"),
        ("/v1/secrets", {"name": "s", "data": {"password": None}}, "data.password"),
        ("/v1/apps", {"name": "a", "services": [None]}, "services[0]"),
        ("/v1/nodes", {"name": "n2", "sizzle": None}, "sizzle"),
    ],
)
async def test_null_for_what_has_to_be_there_or_is_not_known_is_refused(
    client: ApiCaller, path: str, body: Any, field: str
) -> None:
    assert f"({field}: " in await client.refused("POST", path, body, **INVALID)


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("/v1/secrets", '{"name":"s","data":{"a":"1","b":"2","a":"3"}}', "data.a"),
        ("/v1/secrets", r'{"name":"s","data":{"a":"1","\u0061":"3"}}', "data.a"),
        ("/v1/nodes", '{"name":"n2","labels":{"a":"1"},"name":"n3"}', "name"),
        ("/v1/apps", '{"name":"a","services":[{"name":"s","image":"x","image":"y"}]}', "image"),
        ("/v1/apps", '{"name":"a","services":[],"services":[]}', "services"),
        ("/session", '{"token":"a","token":"b"}', "token"),
    ],
)
async def test_two_members_of_one_name_are_refused_by_their_path(
    world: World, path: str, body: str, place: str
) -> None:
    message = await world.client.refused("POST", path, body.encode(), **INVALID)
    assert f"{place}: is there more than once" in message


async def test_where_the_second_member_is_deep_its_whole_path_is_named(client: ApiCaller) -> None:
    body = b'{"name":"a","services":[{"name":"s"},{"env":[{"name":"A","name":"B"}]}]}'
    message = await client.refused("POST", "/v1/apps", body, **INVALID)
    assert "(services[1].env[0].name: is there more than once)" in message
    body = b'{"name":"n2","labels":{"a b":"1","a b":"1"}}'
    assert "labels.'a b'" in await client.refused("POST", "/v1/nodes", body, **INVALID)


async def test_the_same_names_in_different_objects_are_no_repetition(client: ApiCaller) -> None:
    data = [{"key": f"k{n}", "value": {"type": "kv", "value": '{"a":1,"a":2}'}} for n in range(9)]
    await client.call("POST", "/v1/configs", {**CONFIG, "data": data})


async def test_a_body_of_very_many_values_is_refused_before_it_is_read(client: ApiCaller) -> None:
    many = json.dumps({"name": "n", "labels": [{}] * VALUES_LIMIT}).encode()
    message = await client.refused("POST", "/v1/nodes", many, **INVALID)
    assert f"more than {VALUES_LIMIT} values" in message
    # Text is one value, whatever it is made of.
    text = '[{",' * (VALUES_LIMIT // 3 * 2)
    data = [{"key": "k", "value": {"type": "kv", "value": text}}]
    await client.call("POST", "/v1/configs", {"name": "c", "data": data})


@pytest.mark.parametrize(
    "made",
    [
        lambda: b"- a\n" * 2_000_000,
        lambda: b"k: [" + b"1," * 4_000_000 + b"1]",
        lambda: b"k: [" + b"{}," * 2_500_000 + b"1]",
        lambda: b"".join(b"k%d: 1\n" % number for number in range(600_000)),
        lambda: b"k: " + b"[" * 30 + b"a," * 4_000_000 + b"]" * 30,
    ],
    ids=["list", "flow list", "empty objects", "keys", "deep list"],
)
async def test_yaml_of_very_many_values_is_refused_with_the_place(
    client: ApiCaller, made: Callable[[], bytes]
) -> None:
    answer = client.saying(**{"Content-Type": YAML})
    message = await answer.refused("POST", "/v1/nodes", made(), **INVALID)
    assert f"more than {EVENTS_LIMIT} values: line " in message
    metrics = await client.http.get("/metrics")
    assert 'edgesync_limits_refusals_total{bound="yaml_values"} 1.0' in metrics.text


async def test_an_app_shows_its_selector_under_both_names_of_the_page(client: ApiCaller) -> None:
    await describe(client)
    shown = await client.call("GET", "/v1/apps/web")
    assert shown["select"] == shown["selector"] == APP["selector"]
    changed = await client.call("PUT", "/v1/apps/web", {**shown, "selector": "a=b"})
    assert changed["select"] == changed["selector"] == "a=b"

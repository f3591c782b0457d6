"""Properties, mode and core configuration of a node, as people see them."""

from typing import Any

import pytest

from cloud.core.report import Order, read_report
from cloud.operations.reports import receive_report
from tests.rest.conftest import NODE, ApiCaller, World

PATH = "/v1/nodes/n1/properties"
CORE = "/v1/nodes/n1/core/configs"
INVALID: dict[str, Any] = {"status": 400, "code": "RequestParamInvalid"}


@pytest.fixture(autouse=True)
async def _node(client: ApiCaller) -> None:
    await client.call("POST", "/v1/nodes", NODE)


async def receive(world: World, content: dict[str, Any]) -> None:
    report = read_report(content, Order())
    await world.store.write(
        lambda tx: receive_report(tx, "default.n1", report, "json", now=world.clock.now)
    )


def wanting(**desire: object) -> dict[str, Any]:
    return {"state": {"desire": desire}}


async def test_reported_properties_are_shown_with_their_time(world: World) -> None:
    nothing: dict[str, Any] = {"report": {}, "desire": {}}
    before = await world.client.call("GET", PATH)
    assert before == {"state": nothing, "metadata": nothing}
    await receive(world, {"nodeprops": {"door": "open"}})
    world.clock.advance(10)
    await receive(world, {"nodeprops": {"door": "open", "lamp": "on"}})
    after = await world.client.call("GET", PATH)
    assert after["state"]["report"] == {"door": "open", "lamp": "on"}
    assert after["metadata"]["report"] == {
        "door": "2026-01-02T03:04:05Z",
        "lamp": "2026-01-02T03:04:15Z",
    }


async def test_all_that_is_wanted_is_put_at_once(world: World) -> None:
    await receive(world, {"nodeprops": {"door": "open"}})
    await world.client.call("PUT", PATH, wanting(door="shut", lamp="on"))
    world.clock.advance(10)
    read = await world.client.call("PUT", PATH, wanting(door="shut"))
    assert read["state"] == {"report": {"door": "open"}, "desire": {"door": "shut"}}
    assert read["metadata"]["desire"] == {"door": "2026-01-02T03:04:05Z"}
    assert await world.client.call("PUT", PATH, read) == read
    assert "state.desire" in await world.client.refused("PUT", PATH, wanting(n=1), **INVALID)
    assert "wanted" in await world.client.refused("PUT", PATH, {"wanted": {}}, **INVALID)


async def test_one_property_is_wanted_or_no_longer(client: ApiCaller) -> None:
    await client.call("PUT", PATH, wanting(door="shut", lamp="on"))
    read = await client.call("PATCH", PATH, wanting(door=None, bell="off"))
    assert read["state"]["desire"] == {"lamp": "on", "bell": "off"}
    await client.refused("PATCH", PATH, wanting(bell=1), **INVALID)


@pytest.mark.parametrize("path", [PATH, "/v1/nodes/n1/mode", CORE, "/v1/nodes/n1/core/versions"])
async def test_a_node_that_is_not_there_has_none_of_it(client: ApiCaller, path: str) -> None:
    path = path.replace("n1", "n2")
    await client.refused("GET", path, status=404, code="ResourceNotFound")
    if not path.endswith("versions"):
        body = {"mode": "cloud"} if path.endswith("mode") else {}
        await client.refused("PUT", path, body, status=404, code="ResourceNotFound")


async def test_a_mode_is_one_of_two(client: ApiCaller) -> None:
    assert await client.call("GET", "/v1/nodes/n1/mode") == {"mode": "cloud"}
    assert await client.call("PUT", "/v1/nodes/n1/mode", {"mode": "local"}) == {"mode": "local"}
    assert await client.call("GET", "/v1/nodes/n1/mode") == {"mode": "local"}
    for wrong in ({"mode": "edge"}, {}):
        assert "mode" in await client.refused("PUT", "/v1/nodes/n1/mode", wrong, **INVALID)


async def test_a_core_configuration_is_checked_and_kept(client: ApiCaller) -> None:
    default = await client.call("GET", CORE)
    assert await client.call("PUT", CORE, default) == default
    put = await client.call("PUT", CORE, {"frequency": 60, "logLevel": "warn"})
    assert put == {**default, "frequency": 60, "logLevel": "warn"}
    assert await client.call("PATCH", CORE, {"frequency": None}) == {**default, "logLevel": "warn"}
    assert "(frequency: " in await client.refused("PATCH", CORE, {"frequency": 301}, **INVALID)
    assert await client.call("PUT", CORE, {}) == default


async def test_who_saw_another_state_changes_no_core_configuration(client: ApiCaller) -> None:
    tag = (await client.send("GET", CORE)).headers["etag"]
    await client.call("PUT", CORE, {"frequency": 60})
    late = client.saying(**{"If-Match": tag})
    for path, body in ((CORE, {}), ("/v1/nodes/n1/mode", {"mode": "local"})):
        await late.refused("PUT", path, body, status=412, code="PreconditionFailed")


async def test_who_saw_something_else_wanted_changes_nothing(world: World) -> None:
    tag = (await world.client.send("GET", PATH)).headers["etag"]
    seen = world.client.saying(**{"If-Match": tag})
    await receive(world, {"nodeprops": {"door": "open"}})
    await seen.call("PUT", PATH, wanting(door="shut"))
    for method in ("PUT", "PATCH"):
        await seen.refused(method, PATH, wanting(), status=412, code="PreconditionFailed")
    assert (await world.client.call("GET", PATH))["state"]["desire"] == {"door": "shut"}


async def test_a_node_that_reports_seldom_is_ready_in_between(world: World) -> None:
    await receive(world, {})
    world.clock.advance(60)
    assert not (await world.client.call("GET", "/v1/nodes/n1"))["ready"]
    await world.client.call("PUT", CORE, {"frequency": 60})
    await receive(world, {})
    world.clock.advance(179)
    assert (await world.client.call("GET", "/v1/nodes/n1"))["ready"]
    assert (await world.client.call("GET", "/v1/nodes"))["items"][0]["ready"]


async def test_the_versions_of_a_core_are_those_that_are_known(world: World) -> None:
    path = "/v1/nodes/n1/core/versions"
    assert await world.client.call("GET", path) == {"versions": []}
    await receive(world, {"core": {"binVersion": "v2.4.2"}})
    await world.client.call("PUT", CORE, {"version": "v2.4.3"})
    assert await world.client.call("GET", path) == {"versions": ["v2.4.2", "v2.4.3"]}
    await receive(world, {"core": {"binVersion": 2}})
    assert await world.client.call("GET", path) == {"versions": ["v2.4.3"]}

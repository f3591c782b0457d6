"""The list of nodes with a line about each, in the order that is asked for."""

from typing import Any

from cloud.core.report import Order, read_report
from cloud.operations.reports import receive_report
from tests.rest.conftest import ApiCaller, World
from tests.rest.test_overview import CONTAINER

INVALID: dict[str, Any] = {"status": 400, "code": "RequestParamInvalid"}
NOTHING = {
    "deploy": "pending",
    "apps": {"wanted": 0, "running": 0, "failed": 0},
    "agent": "",
    "address": "",
    "os": "",
    "arch": "",
    "usage": {"cpu": None, "memory": None, "cpuPercent": None, "memoryPercent": None},
}


async def items(client: ApiCaller, query: str = "") -> list[Any]:
    found: list[Any] = (await client.call("GET", f"/v1/nodes?{query}"))["items"]
    return found


async def report(world: World, name: str, cpu: str, **content: Any) -> None:
    used = {"usage": {"cpu": cpu, "memory": "1Gi"}, "capacity": {"cpu": "2", "memory": "4Gi"}}
    read = read_report({"nodestats": used, **content}, Order())
    await world.store.write(
        lambda tx: receive_report(tx, f"default.{name}", read, "json", now=world.clock.now)
    )


async def test_a_line_has_apps_agent_machine_and_usage(world: World) -> None:
    apps = []
    for name in ("web", "db", "log"):
        services = [{"name": "main", "image": "i"}]
        body = {**CONTAINER, "name": name, "services": services}
        apps.append((await world.client.call("POST", "/v1/apps", body))["version"])
    web, db, _ = apps
    for name, labels in (("n1", {"role": "gateway"}), ("n2", {})):
        await world.client.call("POST", "/v1/nodes", {"name": name, "labels": labels})
    host = {"hostname": "n1", "address": "192.0.2.7", "os": "linux", "arch": "arm64"}
    named = [{"name": "web", "version": web}, {"name": "db", "version": db}]
    stats = [{**named[0], "status": "Running"}, {**named[1], "status": "Failed", "cause": "x"}]
    core = {"binVersion": "1.4.0"}
    await report(world, "n1", "500m", node=host, core=core, apps=named, appstats=stats)
    first, second = await items(world.client, "include=status")
    assert first["status"] == {
        "deploy": "failed",
        "apps": {"wanted": 3, "running": 1, "failed": 1},
        "agent": "1.4.0",
        "address": "192.0.2.7",
        "os": "linux",
        "arch": "arm64",
        "usage": {"cpu": 0.5, "memory": 2**30, "cpuPercent": 0.25, "memoryPercent": 0.25},
    }
    assert second["status"] == NOTHING
    assert all("status" not in item for item in await items(world.client))
    # What a list shows may be sent back.
    await world.client.call("PUT", "/v1/nodes/n2", second)


async def test_the_busiest_nodes_come_first_page_by_page(world: World) -> None:
    for number, cpu in enumerate(("100m", "1500m", "700m", "1")):
        await world.client.call("POST", "/v1/nodes", {"name": f"n{number}"})
        await report(world, f"n{number}", cpu)
    names, token = [], ""
    for _ in range(2):
        query = f"sort=-cpu&limit=2&continue={token}"
        page = await world.client.call("GET", f"/v1/nodes?{query}")
        names += [item["name"] for item in page["items"]]
        token = page["listOptions"]["continue"] or token
    assert names == ["n1", "n3", "n2", "n0"]
    # A token leads on in the list that it is of.
    await world.client.refused("GET", f"/v1/nodes?sort=cpu&limit=2&continue={token}", **INVALID)


async def test_an_unknown_order_or_inclusion_is_refused(client: ApiCaller) -> None:
    message = await client.refused("GET", "/v1/nodes?sort=names", **INVALID)
    assert "did you mean name?" in message
    await client.refused("GET", "/v1/nodes?include=stats", **INVALID)

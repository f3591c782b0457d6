"""A fleet in figures, as people ask for it."""

from typing import Any

from cloud.core.report import Order, read_report, read_usage
from cloud.operations.reports import receive_report, receive_usage
from tests.rest.conftest import APP, World

NODES = ("n1", "n2", "n3")
CONTAINER = {key: APP[key] for key in ("type", "selector", "labels", "description")}
USED = {"usage": {"cpu": "500m", "memory": "1Gi"}, "capacity": {"cpu": "2", "memory": "4Gi"}}


async def deploy(world: World, name: str, image: str = "nginx:1") -> str:
    services = [{"name": "main", "image": image}]
    body = {**CONTAINER, "name": name, "services": services}
    path, method = "/v1/apps", "POST"
    if (await world.client.send("GET", f"/v1/apps/{name}")).status_code == 200:
        path, method = f"/v1/apps/{name}", "PUT"
    version: str = (await world.client.call(method, path, body))["version"]
    return version


async def add_nodes(world: World) -> None:
    for name in NODES:
        await world.client.call("POST", "/v1/nodes", {"name": name, "labels": {"role": "gateway"}})


async def receive(world: World, node: str, status: str = "", **apps: str) -> None:
    named = [{"name": name, "version": version} for name, version in apps.items()]
    content: dict[str, Any] = {"apps": named}
    if status:
        content["appstats"] = [{**app, "status": status} for app in named]
    report = read_report(content, Order())
    await world.store.write(
        lambda tx: receive_report(tx, f"default.{node}", report, "json", now=world.clock.now)
    )


async def rollout(world: World, app: str = "web") -> Any:
    return await world.client.call("GET", f"/v1/apps/{app}/rollout")


async def test_a_rollout_is_followed_from_report_to_report(world: World) -> None:
    await add_nodes(world)
    old = await deploy(world, "web")
    for name in NODES:
        await receive(world, name, "Running", web=old)
    assert (await rollout(world))["running"] == 3
    new = await deploy(world, "web", "nginx:2")
    before = await rollout(world)
    assert before == {
        "name": "web",
        "version": new,
        "selected": 3,
        "running": 0,
        "failed": 0,
        "pending": 3,
        "offline": 0,
        "versions": [{"version": old, "nodes": 3}],
        "failures": [],
        "causes": [],
    }
    await receive(world, "n1", "Running", web=new)
    await receive(world, "n2", "Failed", web=new)
    world.clock.advance(3600)
    await receive(world, "n1", "Running", web=new)
    assert await rollout(world) == {
        **before,
        "running": 1,
        "failed": 1,
        "pending": 1,
        "offline": 2,
        "versions": [{"version": new, "nodes": 2}, {"version": old, "nodes": 1}],
        "failures": [{"node": "n2", "cause": "no cause was given"}],
        "causes": [{"cause": "no cause was given", "nodes": 1}],
    }


async def test_who_is_no_longer_selected_is_not_counted_though_not_heard_since(
    world: World,
) -> None:
    await add_nodes(world)
    version = await deploy(world, "web")
    await receive(world, "n1", web=version)
    await world.client.call("PUT", "/v1/nodes/n1", {"labels": {"role": "camera"}})
    assert [(await rollout(world))[key] for key in ("selected", "running", "pending")] == [2, 0, 2]
    await world.client.call("PUT", "/v1/nodes/n1", {"labels": {"role": "gateway"}})
    assert [(await rollout(world))[key] for key in ("selected", "running", "pending")] == [3, 1, 2]


async def test_an_overview_is_of_one_namespace(world: World) -> None:
    assert (await world.client.call("GET", "/v1/overview"))["lastChange"] is None
    await add_nodes(world)
    versions = [await deploy(world, f"a{number}") for number in range(21)]
    await deploy(world, "a0", "nginx:2")
    await receive(world, "n1", a20=versions[20])
    seen = await world.client.call("GET", "/v1/overview")
    assert seen["nodes"] == {"total": 3, "online": 1, "stale": 0, "offline": 0, "never": 2}
    assert [app["name"] for app in seen["apps"]][:2] == ["a0", "a20"]
    assert len(seen["apps"]) == 20
    assert seen["lastChange"]["app"] == "a0"
    assert (seen["apps"][1]["selected"], seen["apps"][1]["running"]) == (3, 1)
    assert seen["waiting"] == 3
    other = await world.client.within("other").call("GET", "/v1/overview")
    assert (other["nodes"]["total"], other["apps"], other["waiting"]) == (0, [], 0)
    await world.client.within("other").refused(
        "GET", "/v1/apps/a0/rollout", status=404, code="ResourceNotFound"
    )
    await world.client.within("other").refused(
        "GET", "/v1/nodes/n1/usage", status=404, code="ResourceNotFound"
    )


async def test_usage_is_kept_once_in_a_step_for_a_day(world: World) -> None:
    await add_nodes(world)
    step = 300

    async def usage() -> Any:
        return (await world.client.call("GET", "/v1/nodes/n1/usage"))["items"]

    def report(used: Any) -> Any:
        stats = read_report({"nodestats": used} if used else {}, Order())
        return lambda tx: receive_report(tx, "default.n1", stats, "json", now=world.clock.now)

    assert await usage() == []
    await world.store.write(report(USED))
    await world.store.write(report({**USED, "usage": {"cpu": "1"}}))
    (first,) = await usage()
    assert [first[key] for key in ("cpu", "memory")] == [0.5, 2**30]
    assert [first[key] for key in ("cpuPercent", "memoryPercent")] == [0.25, 0.25]
    world.clock.advance(step)
    # Stats are enough; capacities come from the last report.
    later = read_usage({"nodestats": {"usage": {"cpu": "2"}}})
    await world.store.write(lambda tx: receive_usage(tx, "default.n1", later, now=world.clock.now))
    world.clock.advance(step)
    await world.store.write(report(None))
    await world.store.write(report({"usage": {"cpu": "much", "memory": "2Gi"}}))
    assert [
        [point["cpu"], point["cpuPercent"], point["memoryPercent"]] for point in await usage()
    ] == [
        [0.5, 0.25, 0.25],
        [2.0, 1.0, None],
        [None, None, None],
    ]
    for _ in range(24 * 3600 // step):
        world.clock.advance(step)
        await world.store.write(report(USED))
    assert len(await usage()) == 24 * 3600 // step
    world.clock.advance(24 * 3600 - 2 * step)
    assert len(await usage()) == 2

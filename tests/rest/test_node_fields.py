"""Questions about a fleet, asked by fields: which nodes, how many, and why they failed."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from cloud.core.certificate import NodeCertificate
from cloud.core.report import Order, read_report
from cloud.operations.reports import receive_report
from tests.rest.conftest import World
from tests.rest.test_overview import deploy

IMAGE = "image registry.example/web:2 not found"


async def report(world: World, node: str, **own: Any) -> None:
    content = {"core": {"binVersion": own.pop("agent", "1.4.0")}, **own}
    read = read_report(content, Order())
    await world.store.write(
        lambda tx: receive_report(tx, f"default.{node}", read, "json", now=world.clock.now)
    )


def app(version: str, status: str, **more: str) -> dict[str, Any]:
    entry = {"name": "web", "version": version}
    return {"apps": [entry], "appstats": [{**entry, "status": status, **more}]}


async def names(world: World, fields: str, selector: str = "") -> list[str]:
    query = urlencode({"fieldSelector": fields, "selector": selector})
    found = await world.client.call("GET", f"/v1/nodes?{query}")
    assert found["listOptions"]["fieldSelector"] == fields
    assert found["total"] == len(found["items"])
    return sorted(item["name"] for item in found["items"])


async def certify(world: World, name: str, left: timedelta = timedelta(days=90)) -> None:
    ends = world.clock.now + left
    serial = int(name[1:]) + 1
    certificate = NodeCertificate(serial, f"default.{name}", world.clock.now, ends)
    await world.store.write(lambda tx: tx.put_certificate(certificate))


async def fleet(world: World) -> str:
    """Nodes n0 to n5: two run the app, two lack an image, one rolled back, one never reported."""
    for number in range(6):
        labels = {"role": "gateway", "site": f"s{number % 2}"}
        await world.client.call("POST", "/v1/nodes", {"name": f"n{number}", "labels": labels})
    old = await deploy(world, "web")
    for number in range(5):
        await report(world, f"n{number}", **app(old, "Running"))
    version = await deploy(world, "web", "nginx:2")
    await report(world, "n0", **app(version, "Running"))
    for name in ("n1", "n2"):
        cause = f"{IMAGE}, after {name[1:]} s"
        await report(world, name, **app(version, "Failed", cause=cause))
    back = app(version, "Failed", cause="exited with code 1", running=old)
    await report(world, "n3", agent="1.3.9", **back)
    # As the pusher does, for a node that is not connected.
    await world.store.write(lambda tx: tx.set_pending_statuses([("default", "n4")]))
    return version


async def test_nodes_are_found_by_how_they_stand(world: World) -> None:
    await fleet(world)
    for fields, found in {
        "status.deploy=converged": ["n0"],
        "status.deploy=failed": ["n1", "n2", "n3"],
        "status.deploy=rolledBack": ["n3"],
        "status.deploy=pending": ["n4", "n5"],
        "status.apps.web=running": ["n0"],
        "status.apps.web=failed": ["n1", "n2", "n3"],
        "status.apps.web=pending": ["n4", "n5"],
        "status.agent!=1.4.0": ["n3", "n5"],
        "status.state=never": ["n5"],
        "metadata.name=n*": [f"n{number}" for number in range(6)],
    }.items():
        assert await names(world, fields) == found, fields
    assert await names(world, "status.apps.web=failed", "site=s1") == ["n1", "n3"]
    world.clock.advance(3600)
    await report(world, "n1", agent="1.5.0")
    assert await names(world, "status.state=offline", "site=s0") == ["n0", "n2", "n4"]
    assert await names(world, "status.state=online,status.agent=1.5*") == ["n1"]


async def test_what_failed_is_listed_with_its_cause_and_counted_by_it(world: World) -> None:
    version = await fleet(world)
    path = "/v1/apps/web/nodes"
    seen = await world.client.call("GET", f"{path}?status=failed&limit=2")
    assert seen["total"] == 3
    assert seen["causes"] == [
        {"cause": f"{IMAGE}, after # s", "nodes": 2},
        {"cause": "exited with code 1", "nodes": 1},
    ]
    first, second = seen["items"]
    assert first == {
        "name": "n1",
        "namespace": "default",
        "status": "failed",
        "version": version,
        "cause": f"{IMAGE}, after 1 s",
        "state": "online",
        "lastReport": first["lastReport"],
    }
    assert second["name"] == "n2"
    following = seen["listOptions"]["continue"]
    more = f"{path}?status=failed&limit=2&continue={following}"
    assert [one["status"] for one in (await world.client.call("GET", more))["items"]] == [
        "rolledBack"
    ]
    everything = await world.client.call("GET", path)
    assert [one["status"] for one in everything["items"]] == [
        *("running", "failed", "failed", "rolledBack", "pending", "pending")
    ]
    among = f"{path}?selector=site%3Ds0&fieldSelector=status.state%3Dnever"
    assert (await world.client.call("GET", among))["total"] == 0
    rollout = await world.client.call("GET", "/v1/apps/web/rollout")
    assert rollout["causes"] == seen["causes"]
    assert (rollout["failed"], rollout["pending"]) == (3, 2)


async def test_a_field_or_value_that_is_not_there_is_refused_with_the_nearest(
    world: World,
) -> None:
    await fleet(world)
    for path, field, hint in [
        ("/v1/nodes?fieldSelector=status.sate%3Donline", "fieldSelector", "status.state?"),
        ("/v1/nodes?fieldSelector=status.state%3Dofline", "fieldSelector", "offline?"),
        ("/v1/nodes?fieldSelector=status.apps.wbe%3Dfailed", "fieldSelector", "web?"),
        ("/v1/apps?fieldSelector=metadata.nam%3Dx", "fieldSelector", "metadata.name?"),
        ("/v1/apps?fieldSelector=status.state%3Donline", "fieldSelector", "unknown field"),
        ("/v1/apps/web/nodes?status=faled", "status", "failed?"),
    ]:
        message = await world.client.refused("GET", path, status=400, code="RequestParamInvalid")
        assert f"({field}: " in message
        assert hint in message
    await world.client.refused("GET", "/v1/apps/none/nodes", status=404, code="ResourceNotFound")


async def test_an_app_that_is_deleted_is_found_as_long_as_nodes_report_it(world: World) -> None:
    await fleet(world)
    await world.client.call("DELETE", "/v1/apps/web")
    # n3 runs the version before the one that failed.
    assert await names(world, "status.apps.web=running") == ["n0", "n3", "n4"]
    assert await names(world, "status.apps.web=pending") == []


async def test_revoked_nodes_are_offline_in_lists_and_counts(world: World) -> None:
    await fleet(world)
    await certify(world, "n0")
    await world.client.call("POST", "/v1/nodes/n0/revoke")
    assert await names(world, "status.state=offline") == ["n0"]
    overview = await world.client.call("GET", "/v1/overview")
    assert overview["nodes"]["offline"] == 1
    assert (await world.client.call("GET", "/v1/nodes/n0"))["state"]["name"] == "offline"


async def test_certificates_are_found_by_their_end(world: World) -> None:
    await fleet(world)
    await certify(world, "n1", timedelta(days=5))
    await certify(world, "n2", timedelta(days=50))
    assert await names(world, "status.certificate.expires<30d") == ["n1"]
    assert await names(world, "status.certificate.expires>30d") == ["n2"]

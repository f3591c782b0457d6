"""`GET /v1/nodes/{name}/explain`: one node after the other, through the whole server."""

from datetime import timedelta
from typing import Any

from cloud.core.certificate import NodeCertificate
from cloud.core.report import Order, read_report
from cloud.operations.reports import deltas_for, receive_report, record_sent
from cloud.store.transaction import Transaction
from tests.rest.conftest import World

APP = {"name": "web", "selector": "role=gateway", "services": [{"name": "w", "image": "nginx:1"}]}


class ExplainedFleet:
    """Nodes of the default namespace that report what a test wants."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def node(self, name: str, role: str = "gateway") -> None:
        await self.world.client.call("POST", "/v1/nodes", {"name": name, "labels": {"role": role}})

    async def report(self, name: str, version: str = "", **stats: str) -> Any:
        apps = [{"name": "web", "version": version}] if version else []
        content = {"apps": apps, "appstats": [{**app, **stats} for app in apps]}

        def receive(tx: Transaction) -> Any:
            report, now = read_report(content, Order()), self.world.clock.now
            return receive_report(tx, f"default.{name}", report, "json", now=now).delta

        return await self.world.store.write(receive)

    async def push(self) -> None:
        def push(tx: Transaction) -> None:
            now = self.world.clock.now
            pushes = deltas_for(tx, list(tx.take_pending(100)), now=now)
            record_sent(tx, pushes, now=now)

        await self.world.store.write(push)

    async def explain(self, name: str, query: str = "") -> Any:
        return await self.world.client.call("GET", f"/v1/nodes/{name}/explain{query}")


async def test_each_node_has_the_reason_that_it_lags(world: World) -> None:
    fleet = ExplainedFleet(world)
    for name in ("away", "bad", "good", "new"):
        await fleet.node(name)
    await fleet.node("shop", "shop")
    for name in ("away", "bad", "good", "shop"):
        await fleet.report(name)
    world.clock.advance(600)
    for name in ("bad", "good", "shop"):
        await fleet.report(name)
    version = (await world.client.call("POST", "/v1/apps", APP))["version"]
    world.clock.advance(1)
    assert await reason(fleet, "good") == ("pending", "NotTold")
    assert await reason(fleet, "away") == ("pending", "OfflineSince")
    await fleet.push()
    assert await reason(fleet, "good") == ("pending", "ReportOlderThanPush")
    world.clock.advance(1)
    await fleet.report("good")
    assert await reason(fleet, "good") == ("pending", "Fetching")
    await fleet.report("good", version, status="Running")
    await fleet.report("bad", version, status="Failed", cause="no such image")

    good = await fleet.explain("good")
    assert (good["converged"], good["message"]) == (True, "runs all that is wanted")
    assert good["state"] == (await world.client.call("GET", "/v1/nodes/good"))["state"]
    (app,) = good["apps"]
    assert (app["wanted"], app["reported"], app["status"]) == (version, version, "Running")
    assert app["wantedTime"] < app["toldTime"] < app["acknowledgedTime"] == app["reportedTime"]
    bad = await fleet.explain("bad")
    assert (bad["converged"], bad["apps"][0]["cause"]) == (False, "no such image")
    failure = "0 of 1 apps are as wanted; web: the node reports that it failed"
    assert bad["message"].startswith(failure)
    assert await reason(fleet, "new") == ("pending", "NeverActivated")
    shop = await fleet.explain("shop")
    assert (shop["converged"], shop["apps"]) == (True, [])
    (app,) = (await fleet.explain("shop", "?app=web"))["apps"]
    assert (app["outcome"], app["reason"]) == ("unselected", "SelectorMismatch")
    assert "asks for role=gateway, and the node's is 'shop'" in app["message"]

    await world.client.call("PATCH", "/v1/nodes/good", {"labels": {"role": "shop"}})
    (app,) = (await fleet.explain("good", "?app=web"))["apps"]
    assert (app["outcome"], app["reason"], app["wanted"]) == ("removing", "Removing", None)
    assert "asks for role=gateway" in app["message"]


async def test_what_is_not_there_cannot_be_explained(world: World) -> None:
    fleet = ExplainedFleet(world)
    await fleet.node("n1")
    for path in ("n2/explain", "n1/explain?app=web"):
        await world.client.refused("GET", f"/v1/nodes/{path}", status=404, code="ResourceNotFound")


async def test_nodes_of_others_are_not_explained(world: World) -> None:
    await ExplainedFleet(world).node("n1")
    other = world.client.within("other")
    await other.refused("GET", "/v1/nodes/n1/explain", status=404, code="ResourceNotFound")


async def reason(fleet: ExplainedFleet, name: str) -> tuple[str, str]:
    (app,) = (await fleet.explain(name))["apps"]
    return app["outcome"], app["reason"]


async def test_a_node_of_which_only_init_reports_has_that_reason(world: World) -> None:
    fleet = ExplainedFleet(world)
    await fleet.node("edge")
    await world.client.call("POST", "/v1/apps", APP)

    async def of_init() -> None:
        content = {"sysapps": [{"name": "baetyl-init-x1", "version": "1"}]}
        report, now = read_report(content, Order()), world.clock.now
        await world.store.write(
            lambda tx: receive_report(
                tx, "default.edge", report, "json", now=now, source="baetyl-init"
            )
        )

    assert await reason(fleet, "edge") == ("pending", "NeverActivated")
    await of_init()
    assert await reason(fleet, "edge") == ("pending", "OnlyInitReports")
    assert "baetyl-core" in (await fleet.explain("edge"))["message"]
    world.clock.advance(1)
    await fleet.report("edge")
    assert await reason(fleet, "edge") == ("pending", "ReportOlderThanPush")
    world.clock.advance(600)
    await of_init()
    assert await reason(fleet, "edge") == ("pending", "OnlyInitReports")
    assert (await world.client.call("GET", "/v1/nodes/edge"))["ready"] is False


async def test_a_revoked_node_has_that_reason_and_is_not_ready(world: World) -> None:
    fleet = ExplainedFleet(world)
    await fleet.node("edge")
    version = (await world.client.call("POST", "/v1/apps", APP))["version"]
    ends = world.clock.now + timedelta(days=90)
    certificate = NodeCertificate(7, "default.edge", world.clock.now, ends)
    await world.store.write(lambda tx: tx.put_certificate(certificate))
    await fleet.report("edge", version, status="Running")
    assert (await fleet.explain("edge"))["converged"] is True
    assert (await world.client.call("GET", "/v1/nodes/edge"))["ready"] is True
    await world.client.call("POST", "/v1/nodes/edge/revoke")
    explained = await fleet.explain("edge")
    assert explained["converged"] is False
    assert "certificates were revoked" in explained["message"]
    assert await reason(fleet, "edge") == ("pending", "Revoked")
    listed = (await world.client.call("GET", "/v1/nodes"))["items"]
    shown = await world.client.call("GET", "/v1/nodes/edge")
    assert [one["ready"] for one in (shown, *listed)] == [False, False]
    assert (shown["state"]["name"], shown["state"]["revoked"]) == ("offline", True)
    assert shown["state"]["reason"] == "its certificates were revoked"
    stats = await world.client.call("GET", "/v1/nodes/edge/stats")
    assert stats["report"]["appstats"][0]["status"] == "Unknown"

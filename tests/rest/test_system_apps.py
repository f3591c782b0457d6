"""System apps: what is listed for a namespace reaches its nodes, and no others."""

from typing import Any

from cloud.core.objects import cannot_sign
from cloud.core.report import Order, read_report
from cloud.operations.desires import deliver, read_infos
from cloud.operations.reports import receive_report
from cloud.store.transaction import Transaction
from tests.rest.conftest import NODE, ApiCaller, World

PATH = "/v1/sysapps"
LIST = {
    "modules": [
        {"name": "baetyl-core", "image": "example.com/baetyl:v2.4.3"},
        {"name": "baetyl-broker", "image": "example.com/broker:v2", "config": "listeners: []"},
    ],
    "address": "https://sync.example.com:9005",
}


NATIVE = {"hostname": "edge-1", "os": "linux", "containerRuntime": "", "machineID": ""}
KUBE = {**NATIVE, "containerRuntime": "containerd://1.7", "machineID": "ec2d"}


async def sync(world: World, *held: str, node: Any = KUBE) -> Any:
    """The delta for a node with system apps of these names; *node* is what it reports of itself."""
    sysapps = [{"name": name, "version": "1"} for name in held]
    report = read_report({"apps": [], "sysapps": sysapps, "node": node}, Order())
    answer = await world.store.write(
        lambda tx: receive_report(tx, "default.n1", report, "json", now=world.clock.now)
    )
    return answer.delta


async def body(world: World, kind: str, name: str) -> Any:
    infos = read_infos({"infos": [{"kind": kind, "name": name, "version": ""}]})

    def work(tx: Transaction) -> Any:
        return deliver(tx, "default.n1", infos, presign=cannot_sign).content["values"][0]["value"]

    return await world.store.read(work)


async def test_nodes_are_given_none_until_some_are_listed(world: World) -> None:
    await world.client.call("POST", "/v1/nodes", NODE)
    before = await world.client.call("GET", PATH)
    assert before["modules"] == []
    assert await sync(world, "baetyl-core-x1") == {}
    await world.store.write(lambda tx: tx.take_pending(10))
    listed = await world.client.call("PUT", PATH, LIST)
    assert listed == await world.client.call("GET", PATH)
    assert await world.store.write(lambda tx: tx.take_pending(10)) == [("default", "n1")]
    desired = (await sync(world, "baetyl-core-x1"))["sysapps"]
    assert desired[0]["name"] == "baetyl-core-x1"
    assert len(desired) == 2
    core = await body(world, "application", "baetyl-core-x1")
    assert core["system"] is True
    assert core["version"] == desired[0]["version"]
    (config,) = [volume["config"] for volume in core["volumes"] if "config" in volume]
    assert config == {"name": "baetyl-core-conf-x1", "version": core["version"]}
    found = await body(world, "configuration", config["name"])
    assert LIST["address"] in found["data"]["conf.yml"]
    shown = (await world.client.call("GET", "/v1/nodes/n1/apps"))["items"]
    assert [item["name"] for item in shown] == [app["name"] for app in desired]
    assert (await world.client.call("GET", "/v1/apps"))["items"] == []
    assert (await world.client.call("GET", "/v1/configs"))["items"] == []


async def test_the_same_list_again_updates_no_node(world: World) -> None:
    await world.client.call("POST", "/v1/nodes", NODE)
    await world.client.call("PUT", PATH, LIST)
    desired = await sync(world)
    await world.store.write(lambda tx: tx.take_pending(10))
    await world.client.call("PUT", PATH, LIST)
    assert await world.store.write(lambda tx: tx.take_pending(10)) == []
    assert await sync(world) == desired
    await world.client.call("PUT", "/v1/nodes/n1/core/configs", {"frequency": 60})
    assert await sync(world) != desired


async def test_a_node_that_has_another_is_left_alone(world: World) -> None:
    await world.client.call("POST", "/v1/nodes", NODE)
    await world.client.call("PUT", PATH, LIST)
    assert await sync(world, "baetyl-core-x1", "baetyl-rule-x1") == {}
    assert await sync(world, "baetyl-core-x1", "baetyl-core-x2") == {}
    await world.client.call("PUT", PATH, {})
    assert await sync(world, "baetyl-core-x1", "baetyl-broker-x1") == {}


async def test_an_agent_in_native_mode_is_left_alone_unless_it_is_asked_for(world: World) -> None:
    await world.client.call("POST", "/v1/nodes", NODE)
    await world.client.call("PUT", PATH, LIST)
    held = "baetyl-core-x1"
    for node in ({"edge-1": NATIVE}, NATIVE, {"edge-1": {"hostname": "edge-1"}}, {}, None):
        assert await sync(world, held, node=node) == {}
        items = (await world.client.call("GET", "/v1/nodes/n1/apps"))["items"]
        assert items == []
        explained = await world.client.call("GET", "/v1/nodes/n1/explain")
        assert explained["converged"] is True
    assert await body(world, "application", held)
    for node in ({"edge-1": KUBE}, KUBE):
        assert len((await sync(world, held, node=node))["sysapps"]) == 2
    # What it was sent before is taken back; system apps are not named.
    assert await sync(world, held, node={"edge-1": KUBE, "edge-2": NATIVE}) == {"apps": []}
    listed = await world.client.call("PUT", PATH, {**LIST, "includeNative": True})
    assert listed["includeNative"] is True
    assert len((await sync(world, held, node={"edge-1": NATIVE}))["sysapps"]) == 2


async def test_each_namespace_has_its_own_list(client: ApiCaller) -> None:
    await client.call("PUT", PATH, LIST)
    assert (await client.within("other").call("GET", PATH))["modules"] == []


async def test_who_saw_another_list_changes_nothing(client: ApiCaller) -> None:
    seen = client.saying(**{"If-Match": (await client.send("GET", PATH)).headers["etag"]})
    await seen.call("PUT", PATH, LIST)
    await seen.refused("PUT", PATH, {}, status=412, code="PreconditionFailed")
    assert (await client.call("GET", PATH))["modules"] != []


async def test_what_cannot_be_listed_is_named(client: ApiCaller) -> None:
    for wrong, field in (
        ({"modules": [{"name": "web", "image": "w"}]}, "modules"),
        ({"modules": [{"name": "baetyl-core", "image": "c"}]}, "address"),
        ({"module": []}, "module"),
    ):
        message = await client.refused("PUT", PATH, wrong, status=400, code="RequestParamInvalid")
        assert f"({field}" in message

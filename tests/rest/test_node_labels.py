"""Labels of many nodes, changed at once."""

from typing import Any

from cloud.core.node_labels import LABELLED_LIMIT
from tests.rest.conftest import ApiCaller, World
from tests.rest.test_overview import CONTAINER, receive

INVALID: dict[str, Any] = {"status": 400, "code": "RequestParamInvalid"}
NAMES = ("n1", "n2", "n3")


async def fleet(world: World) -> str:
    """Three nodes; n1 is a gateway, which runs the app web. Its version."""
    for name in NAMES:
        labels = {"role": "gateway"} if name == "n1" else {}
        await world.client.call("POST", "/v1/nodes", {"name": name, "labels": labels})
    body = {**CONTAINER, "name": "web", "services": [{"name": "main", "image": "i"}]}
    version: str = (await world.client.call("POST", "/v1/apps", body))["version"]
    await receive(world, "n1", "Running", web=version)
    await world.store.write(lambda tx: tx.take_pending(100))
    return version


async def labelled(client: ApiCaller, query: str = "", **body: Any) -> Any:
    return await client.call("PATCH", f"/v1/nodes{query}", body)


async def with_label(client: ApiCaller, selector: str) -> list[str]:
    found = await client.call("GET", f"/v1/nodes?selector={selector}")
    return [item["name"] for item in found["items"]]


async def test_labels_of_named_and_of_selected_nodes_are_changed(world: World) -> None:
    await fleet(world)
    done = await labelled(world.client, names=["n1", "n2", "n1"], labels={"site": "north"})
    assert done == {"selected": 2, "changed": 2}
    assert await with_label(world.client, "site=north") == ["n1", "n2"]
    chosen = {"selector": "site=north", "fieldSelector": "metadata.name!=n1"}
    done = await labelled(world.client, **chosen, labels={"role": "gateway", "site": None})
    assert done == {"selected": 1, "changed": 1}
    assert await with_label(world.client, "role=gateway") == ["n1", "n2"]
    assert await with_label(world.client, "site=north") == ["n1"]
    # Who runs other apps is sent them, and counts with what it reported.
    assert len(await world.store.write(lambda tx: tx.take_pending(100))) == 2
    assert (await world.client.call("GET", "/v1/apps/web/rollout"))["selected"] == 2
    again = await labelled(world.client, selector="role=gateway", labels={"role": "gateway"})
    assert again == {"selected": 2, "changed": 0}


async def test_a_dry_run_shows_what_each_node_gains_and_loses(world: World) -> None:
    version = await fleet(world)
    plan = await labelled(
        world.client, "?dryRun=true", fieldSelector="metadata.name=*", labels={"role": "gateway"}
    )
    assert (plan["action"], plan["count"]) == ("update", 2)
    assert plan["nodes"] == {
        "total": 3,
        "touched": 2,
        "offline": 2,
        "share": 0.6667,
        "names": ["n2", "n3"],
    }
    assert plan["apps"] == [{"name": "web", "before": None, "after": version, "nodes": 2}]
    assert plan["gains"] == [{"name": name, "gained": ["web"], "lost": []} for name in ("n2", "n3")]
    assert plan["message"].startswith("Would update 2 nodes and touch 2 of 3 nodes; 2 of them")
    lost = await labelled(world.client, "?dryRun=true", names=NAMES, labels={"role": None})
    assert (lost["count"], lost["nodes"]["touched"], lost["nodes"]["offline"]) == (1, 1, 0)
    assert lost["gains"] == [{"name": "n1", "gained": [], "lost": ["web"]}]
    none = await labelled(world.client, "?dryRun=true", names=NAMES, labels={"spare": "1"})
    assert (none["count"], none["nodes"]["touched"], none["apps"]) == (3, 0, [])
    assert await with_label(world.client, "role=gateway") == ["n1"]


async def test_the_guard_counts_the_nodes_that_run_other_apps(world: World) -> None:
    await fleet(world)
    await world.client.call("PUT", "/v1/guard", {"maxShare": 0.5, "minNodes": 0})
    everyone = {"names": NAMES, "labels": {"role": "gateway"}}
    await world.client.refused(
        "PATCH", "/v1/nodes", everyone, status=409, code="ConfirmationRequired"
    )
    assert (await labelled(world.client, names=NAMES, labels={"spare": "1"}))["changed"] == 3
    assert (await labelled(world.client, "?confirm=true", **everyone))["changed"] == 2


async def test_what_cannot_be_done_is_refused_as_a_whole(world: World) -> None:
    await fleet(world)
    for body in (
        {"names": ["n1"]},
        {"names": ["n1"], "labels": {}},
        {"labels": {"a": "b"}},
        {"names": ["n1"], "selector": "role", "labels": {"a": "b"}},
        {"names": ["n1"], "labels": {"a": "not a value"}},
        {"names": ["n1"], "labels": {"baetyl-node-name": "n2"}},
        {"selector": "(", "labels": {"a": "b"}},
        {"names": ["n1"], "labels": {"a": "b"}, "more": 1},
    ):
        await world.client.refused("PATCH", "/v1/nodes", body, **INVALID)
    body = {"names": ["n1", "n9"], "labels": {"a": "b"}}
    await world.client.refused("PATCH", "/v1/nodes", body, status=404, code="ResourceNotFound")
    assert await with_label(world.client, "a=b") == []


async def test_nodes_of_one_request_are_bounded_and_refusals_counted(world: World) -> None:
    names = [f"n{number}" for number in range(LABELLED_LIMIT + 1)]
    body = {"names": names, "labels": {"a": "b"}}
    message = await world.client.refused("PATCH", "/v1/nodes", body, **INVALID)
    assert f"{LABELLED_LIMIT + 1} nodes" in message
    metrics = (await world.client.send("GET", "/metrics")).text
    assert 'edgesync_limits_refusals_total{bound="labelled_nodes"} 1' in metrics

"""What ends, as a list and as numbers."""

from datetime import datetime, timedelta
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from cloud.core.certificate import NodeCertificate
from cloud.core.node import NodeSpec
from cloud.operations.nodes import create_node, revoke_node
from cloud.store.transaction import Transaction
from tests.rest.conftest import World

DAY = timedelta(days=1)


async def add(world: World, *nodes: tuple[str, float], namespace: str = "default") -> None:
    """Nodes with a certificate that ends so many days from now, and one that ended long ago."""
    now = world.clock.now

    def work(tx: Transaction) -> None:
        for serial, (name, days) in enumerate(nodes):
            create_node(tx, namespace, name, NodeSpec(), now=now)
            for number, end in ((serial, now + days * DAY), (serial + 1000, now - 500 * DAY)):
                certificate = NodeCertificate(number, f"{namespace}.{name}", now, end)
                tx.put_certificate(certificate)

    await world.store.write(work)


async def listed(world: World, query: str = "") -> Any:
    return await world.client.call("GET", f"/v1/certificates{query}")


def days_from(moment: datetime, days: float) -> str:
    return (moment + days * DAY).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_what_ends_is_listed_first_things_first_and_in_pages(world: World) -> None:
    await add(world, ("n3", 9), ("n1", 29), ("n2", 29), ("n4", -3), ("late", 31))
    await add(world, ("n9", 1), namespace="other")
    assert [one["node"] for one in (await listed(world))["items"]] == ["n4", "n3", "n1", "n2"]
    names, query = [], "?limit=3"
    while query:
        page = await listed(world, query)
        assert page["total"] == 4
        names += [one["node"] for one in page["items"]]
        token = page["listOptions"]["continue"]
        query = f"?limit=3&continue={token}" if token else ""
    assert names == ["n4", "n3", "n1", "n2"]
    soon = await listed(world, f"?endsBefore={days_from(world.clock.now, 10)}")
    assert [one["node"] for one in soon["items"]] == ["n4", "n3"]
    assert soon["items"][0]["notAfter"] == days_from(world.clock.now, -3)
    assert soon["items"][0]["lastSeen"] is None
    assert soon["items"][0]["ready"] is False


async def test_the_certificate_of_one_node_is_found_by_its_name(world: World) -> None:
    await add(world, ("n1", 85), ("n2", 3))
    await world.client.call("POST", "/v1/nodes", {"name": "bare"})
    (one,) = (await listed(world, "?node=n1"))["items"]
    assert (one["node"], one["notAfter"]) == ("n1", days_from(world.clock.now, 85))
    assert (await listed(world, "?node=bare"))["items"] == []
    path = "/v1/certificates?node=absent"
    await world.client.refused("GET", path, status=404, code="ResourceNotFound")


async def test_a_node_goes_from_the_list_when_it_renews_is_revoked_or_deleted(
    world: World,
) -> None:
    await add(world, ("renews", 9), ("revoked", 9), ("deleted", 9), ("stays", 9))
    now = world.clock.now

    def work(tx: Transaction) -> None:
        tx.put_certificate(NodeCertificate(77, "default.renews", now, now + 90 * DAY))
        revoke_node(tx, "default", "revoked", now=now)

    await world.store.write(work)
    await world.client.call("DELETE", "/v1/nodes/deleted")
    found = await listed(world)
    assert ([one["node"] for one in found["items"]], found["total"]) == (["stays"], 1)


async def test_a_time_that_cannot_be_read_is_named(world: World) -> None:
    for asked in ("tomorrow", "2026-01-01T00:00:00", "7"):
        message = await world.client.refused(
            "GET",
            f"/v1/certificates?endsBefore={asked}",
            status=400,
            code="RequestParamInvalid",
        )
        assert "endsBefore" in message


async def metrics(world: World) -> dict[tuple[str, str], float]:
    response = await world.client.send("GET", "/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


async def test_metrics_count_each_node_once_and_name_none(world: World) -> None:
    await add(world, ("gone", -1), ("today", 0.5), ("week", 3), ("month", 20), ("fresh", 89))
    await add(world, ("n9", 400), ("n8", 20), namespace="other")
    found = await metrics(world)
    name = "edgesync_node_certificates"
    expected = {"expired": 1, "1d": 1, "7d": 1, "30d": 2, "90d": 1, "more": 1}
    assert {left: found[name, left] for left in expected} == expected
    ends = found["edgesync_certificate_not_after_timestamp_seconds", "root"]
    assert ends == (world.clock.now + 1000 * DAY).timestamp()
    world.clock.advance(86400)
    assert (await metrics(world))[name, "expired"] == 2
    assert not {"n9", "gone"} & {label for _, label in found}


async def test_metrics_are_for_tokens_of_all_namespaces(world: World) -> None:
    for namespace, status in (("*", 200), ("default", 403)):
        body = {"name": "watcher", "role": "viewer", "namespace": namespace}
        token = (await world.client.call("POST", "/v1/tokens", body))["token"]
        caller = world.client.saying(Authorization=f"Bearer {token}")
        assert (await caller.send("GET", "/metrics")).status_code == status
    anonymous = world.client.saying(Authorization="Bearer wrong")
    assert (await anonymous.send("GET", "/metrics")).status_code == 401

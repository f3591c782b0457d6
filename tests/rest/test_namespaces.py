"""The list of namespaces: what a token may see of them, and how much each has."""

from datetime import timedelta
from typing import Any

from cloud.core.installation import digest_of
from cloud.core.user_sessions import SessionKind, User, UserSession
from tests.rest.conftest import APP, CONFIG, ApiCaller, World
from tests.rest.test_overview import receive
from tests.rest.test_tokens import bearer, made

NO_NODES = {"total": 0, "online": 0, "stale": 0, "offline": 0, "never": 0}


async def listed(client: ApiCaller, query: str = "") -> Any:
    return await client.call("GET", f"/v1/namespaces{query}")


async def fill(world: World) -> None:
    """Something of each sort in each namespace."""
    shop, lab = world.client.within("shop"), world.client.within("lab")
    for name in ("n1", "n2"):
        await world.client.call("POST", "/v1/nodes", {"name": name})
    await receive(world, "n1")
    await shop.call("POST", "/v1/nodes", {"name": "n1"})
    await shop.call("POST", "/v1/register", {"name": "b"})
    await lab.call("POST", "/v1/configs", CONFIG)
    app = {key: APP[key] for key in ("name", "type", "selector")}
    await shop.call("POST", "/v1/apps", {**app, "services": [{"name": "s", "image": "i"}]})


async def test_namespaces_are_listed_with_what_is_in_them(world: World) -> None:
    await fill(world)
    await made(world, "viewer", "spare")
    found = await listed(world.client)
    assert found["total"] == 4
    assert found["items"] == [
        {
            "name": "default",
            "nodes": {**NO_NODES, "total": 2, "online": 1, "never": 1},
            "apps": 0,
            "batches": 0,
        },
        {"name": "lab", "nodes": NO_NODES, "apps": 0, "batches": 0},
        {
            "name": "shop",
            "nodes": {**NO_NODES, "total": 1, "never": 1},
            "apps": 1,
            "batches": 1,
        },
        {"name": "spare", "nodes": NO_NODES, "apps": 0, "batches": 0},
    ]


async def test_a_token_of_one_namespace_sees_that_one(world: World) -> None:
    await fill(world)
    for namespace, nodes in (("shop", 1), ("empty", 0)):
        async with bearer(world, await made(world, "viewer", namespace)) as client:
            [item] = (await listed(client))["items"]
            assert (item["name"], item["nodes"]["total"]) == (namespace, nodes)


async def test_a_namespace_whose_role_has_no_lists_of_namespaces_is_not_counted(
    world: World,
) -> None:
    await fill(world)
    await world.client.within("lab").call(
        "POST", "/v1/roles", {"name": "reader", "permissions": ["read apps"]}
    )
    secret, now = "eus_secret", world.clock()
    grants = {"default": "viewer", "lab": "reader", "shop": "viewer on shop=7"}
    session = UserSession(
        "id",
        digest_of(secret),
        User("company", "s1", "company:ann"),
        SessionKind.EXCHANGE,
        grants,
        now,
        now + timedelta(hours=1),
        now,
    )
    await world.store.write(lambda tx: tx.put_user_session(session))
    async with bearer(world, secret) as client:
        [item] = (await listed(client))["items"]
        assert item["name"] == "default"


async def test_namespaces_are_listed_page_by_page(world: World) -> None:
    for name in ("c", "a", "b"):
        await world.client.within(name).call("POST", "/v1/nodes", {"name": "n"})
    names, token = [], ""
    for _ in range(2):
        page = await listed(world.client, f"?limit=2&continue={token}")
        assert page["total"] == 4
        names += [item["name"] for item in page["items"]]
        token = page["listOptions"]["continue"]
    assert (names, token) == (["a", "b", "c", "default"], "")
    await world.client.refused(
        "GET", "/v1/namespaces?continue=x", status=400, code="RequestParamInvalid"
    )


async def test_a_server_without_anything_has_its_default_namespace(client: ApiCaller) -> None:
    [item] = (await listed(client))["items"]
    assert item == {"name": "default", "nodes": NO_NODES, "apps": 0, "batches": 0}

"""Roles that are limited to some nodes: what they see, and that there is no way to the others."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cloud.core.installation import digest_of
from cloud.core.report import Order, read_report
from cloud.core.user_sessions import SessionKind, User, UserSession
from cloud.operations.reports import receive_report
from cloud.rest.event_stream import StreamLimits
from cloud.rest.node_limit import NodeLimit
from cloud.rest.route import ApiRoute
from cloud.rest.routes import ROUTES
from cloud.store.transaction import Transaction
from tests.rest.conftest import ApiCaller, World, caller, open_world
from tests.rest.test_events import Following
from tests.rest.test_tokens import FORBIDDEN, INVALID, bearer

MISSING: dict[str, Any] = {"status": 404, "code": "ResourceNotFound"}
OWN, OTHER = "till-7", "till-8"
MARK = "mark-of-eight"
BODIES: dict[tuple[str, str], Any] = {
    ("PUT", "/v1/nodes/{name}"): {"labels": {"shop": "7"}},
    ("PATCH", "/v1/nodes/{name}"): {"description": "moved"},
    ("PUT", "/v1/nodes/{name}/mode"): {"mode": "local"},
    ("PUT", "/v1/nodes/{name}/properties"): {"state": {"desire": {"a": "1"}}},
    ("PATCH", "/v1/nodes/{name}/properties"): {"state": {"desire": {"a": "1"}}},
    ("PUT", "/v1/nodes/{name}/core/configs"): {"frequency": 60},
    ("PATCH", "/v1/nodes/{name}/core/configs"): {"frequency": 60},
    ("POST", "/v1/nodes/{name}/commands"): {"command": "report"},
}


async def two_shops(world: World) -> None:
    """A node of each shop, with an app, a report and a command."""
    client = world.client
    app = {"name": "web", "selector": "till", "services": [{"name": "web", "image": "nginx:1"}]}
    await client.call("POST", "/v1/apps", app)
    for name, shop in ((OWN, "7"), (OTHER, "8")):
        labels = {"shop": shop, "till": "yes", "mark": MARK if name == OTHER else "own"}
        body = {"name": name, "labels": labels, "description": labels["mark"]}
        await client.call("POST", "/v1/nodes", body)
        await client.call("POST", f"/v1/nodes/{name}/commands", {"command": "report"})
        await world.store.write(reported(world, name, labels["mark"]))


def reported(world: World, name: str, mark: str) -> Callable[[Transaction], object]:
    report = read_report({"apps": [], "node": {"hostname": mark}}, Order("run", 1))
    now = world.clock()
    return lambda tx: receive_report(tx, f"default.{name}", report, "json", now=now)


async def limited(world: World, role: str = "admin", nodes: str = "shop=7", **more: Any) -> str:
    body = {"name": "manager", "role": role, "nodes": nodes, **more}
    answer = await world.client.call("POST", "/v1/tokens", body)
    assert answer["nodes"] == nodes
    return str(answer["token"])


async def command_of(world: World, node: str) -> str:
    listed = await world.client.call("GET", f"/v1/nodes/{node}/commands")
    return str(listed["items"][0]["id"])


def path_of(route: ApiRoute, name: str, command: str) -> str:
    names = {"name": name, "id": command, "batch": "b", "record": "r", "revision": "1"}
    return re.sub(r"{(\w+)}", lambda found: names[found[1]], route.path)


async def test_no_route_shows_a_node_that_the_role_is_not_for(world: World) -> None:
    await two_shops(world)
    command = await command_of(world, OTHER)
    async with bearer(world, await limited(world)) as client:
        for route in ROUTES:
            body = BODIES.get((route.method, route.path), {})
            answer = await client.send(route.method, path_of(route, OTHER, command), body)
            assert MARK not in answer.text, (route.method, route.path)
            if route.node_limit is NodeLimit.ONE:
                missing = await client.send(route.method, path_of(route, "till-9", command), body)
                assert answer.status_code == 404, (route.method, route.path, answer.text)
                assert (
                    answer.json()["message"].replace(OTHER, "till-9") == (missing.json()["message"])
                )
            elif route.node_limit is NodeLimit.NONE and route.permissions:
                assert answer.status_code == 403, (route.method, route.path, answer.text)
                assert OTHER not in answer.text
    shown = await world.client.call("GET", f"/v1/nodes/{OTHER}")
    assert (shown["description"], shown["labels"]["shop"]) == (MARK, "8")


async def test_every_route_about_a_node_serves_the_own_ones(world: World) -> None:
    await two_shops(world)
    command = await command_of(world, OWN)
    async with bearer(world, await limited(world)) as client:
        order = sorted(ROUTES, key=lambda route: (route.method == "DELETE", "revoke" in route.path))
        for route in order:
            if route.node_limit is NodeLimit.ONE:
                body = BODIES.get((route.method, route.path))
                answer = await client.send(route.method, path_of(route, OWN, command), body)
                assert answer.status_code == 200, (route.method, route.path, answer.text)
        await client.refused("GET", f"/v1/nodes/{OWN}", **MISSING)


async def test_lists_and_their_totals_are_of_the_own_nodes(world: World) -> None:
    await two_shops(world)
    queries = ("", "?selector=till", "?sort=-name", "?fieldSelector=metadata.name%3D*", "?limit=1")
    async with bearer(world, await limited(world, "viewer")) as client:
        for query in (*queries, "?include=status", "?sort=state&include=status"):
            found = await client.call("GET", f"/v1/nodes{query}")
            assert [node["name"] for node in found["items"]] == [OWN], query
            assert (found["total"], found["listOptions"]["continue"]) == (1, ""), query
        for query in ("selector=shop%3D8", f"fieldSelector=metadata.name%3D{OTHER}"):
            assert (await client.call("GET", f"/v1/nodes?{query}"))["total"] == 0
        # A selector that would end that of the role is none.
        for trick in ("shop in (7", "7),(", "),shop=8", "shop=8),("):
            query = trick.replace("=", "%3D").replace(" ", "+")
            await client.refused("GET", f"/v1/nodes?selector={query}", **INVALID)


async def test_figures_are_of_the_own_nodes(world: World) -> None:
    await two_shops(world)
    await world.client.call("POST", "/v1/nodes", {"name": "till-71", "labels": {"shop": "7"}})
    other = {"name": "other", "selector": "shop=8", "services": [{"name": "o", "image": "o:1"}]}
    await world.client.call("POST", "/v1/apps", other)
    await world.store.write(lambda tx: tx.take_pending(100))
    newer = {"services": [{"name": "web", "image": "nginx:2"}]}
    await world.client.call("PATCH", "/v1/apps/web", newer)
    async with bearer(world, await limited(world)) as client:
        seen = await client.call("GET", "/v1/overview")
        assert seen["nodes"] == {"total": 2, "online": 1, "stale": 0, "offline": 0, "never": 1}
        assert [(app["name"], app["selected"], app["pending"]) for app in seen["apps"]] == [
            ("web", 1, 1)
        ]
        assert seen["waiting"] == 1
        progress = await client.call("GET", "/v1/apps/web/rollout")
        assert (progress["selected"], progress["pending"], progress["offline"]) == (1, 1, 0)
        found = await client.call("GET", "/v1/apps/web/nodes")
        assert ([node["name"] for node in found["items"]], found["total"]) == ([OWN], 1)
        assert (await client.call("GET", f"/v1/certificates?node={OWN}"))["total"] == 0
        await client.refused("GET", f"/v1/certificates?node={OTHER}", **MISSING)
        await client.refused("GET", "/v1/certificates", **FORBIDDEN)
    everything = await world.client.call("GET", "/v1/overview")
    assert (everything["nodes"]["total"], everything["waiting"]) == (3, 2)


async def test_the_number_of_all_nodes_is_in_no_plan_and_no_refusal(world: World) -> None:
    await two_shops(world)
    await world.client.call("PUT", "/v1/guard", {"maxShare": 0.1, "minNodes": 1})
    body = {"labels": {"till": None}, "names": [OWN]}
    async with bearer(world, await limited(world)) as client:
        message = await client.refused("PATCH", "/v1/nodes?dryRun=true", body, **FORBIDDEN)
        assert "no dry runs" in message
        answer = await client.send("PATCH", "/v1/nodes", body)
        assert (answer.status_code, answer.json()["code"]) == (409, "ConfirmationRequired")
        assert answer.json()["message"].startswith("This touches 1 nodes, and")
        await client.call("PATCH", "/v1/nodes?confirm=true", body)


async def test_labels_of_own_nodes_change_and_those_of_the_role_do_not(world: World) -> None:
    await two_shops(world)
    async with bearer(world, await limited(world, "operator")) as client:
        every = {"fieldSelector": "metadata.name=*"}
        done = await client.call("PATCH", "/v1/nodes", {"labels": {"floor": "2"}, **every})
        assert done == {"selected": 1, "changed": 1}
        await client.call("PATCH", "/v1/nodes", {"labels": {"floor": None}, "names": [OWN]})
        both = {"labels": {"floor": "3"}, "names": [OWN, OTHER]}
        await client.refused("PATCH", "/v1/nodes", both, **MISSING)
        await client.call("PATCH", f"/v1/nodes/{OWN}", {"labels": {"floor": "4"}})
        own = f"/v1/nodes/{OWN}"
        for method, path, body in (
            ("PATCH", "/v1/nodes", {"labels": {"shop": "8"}, "names": [OWN]}),
            ("PATCH", "/v1/nodes", {"labels": {"shop": "7"}, "names": [OTHER]}),
            ("PATCH", "/v1/nodes", {"labels": {"shop": None}, **every}),
            ("PATCH", own, {"labels": {"shop": "8"}}),
            ("PATCH", own, {"labels": {"shop": None}}),
            ("PUT", own, {"labels": {"shop": "8"}}),
            ("PUT", own, {}),
        ):
            message = await client.refused(method, path, body, **FORBIDDEN)
            assert "the label shop decides which nodes your role is for" in message
    for name, shop in ((OWN, "7"), (OTHER, "8")):
        shown = await world.client.call("GET", f"/v1/nodes/{name}")
        assert (shown["labels"]["shop"], "floor" in shown["labels"]) == (shop, name == OWN)


ASSIGNS = "a role for some nodes assigns no apps"


async def test_labels_by_a_role_for_some_nodes_give_them_no_app(world: World) -> None:
    await two_shops(world)
    service = {"name": "s", "image": "nginx:1"}
    for name, selector in (("prices", "env=prod"), ("plain", "env!=prod,floor!=9")):
        body = {"name": name, "selector": selector, "services": [service]}
        await world.client.call("POST", "/v1/apps", body)
    own, every = f"/v1/nodes/{OWN}", {"selector": "till"}
    kept = {"shop": "7", "till": "yes", "mark": "own"}
    async with bearer(world, await limited(world, "operator")) as client:
        gains: list[tuple[str, str, dict[str, Any]]] = [
            ("PATCH", own, {"labels": {"env": "prod"}}),
            ("PUT", own, {"labels": {**kept, "env": "prod"}}),
            ("PATCH", "/v1/nodes", {"labels": {"env": "prod"}, "names": [OWN]}),
            ("PATCH", "/v1/nodes", {"labels": {"env": "prod"}, **every}),
        ]
        for method, path, body in gains:
            message = await client.refused(method, path, body, **FORBIDDEN)
            assert ASSIGNS in message
            assert (OWN in message, "prices" in message) == (True, False)
        await client.call("PATCH", own, {"labels": {"env": "test"}})
        await client.call("PATCH", "/v1/nodes", {"labels": {"floor": "9"}, **every})
        for path, chosen in ((own, {}), ("/v1/nodes", every)):
            without = {"labels": {"floor": None}, **chosen}
            assert ASSIGNS in await client.refused("PATCH", path, without, **FORBIDDEN)
        assert [app["name"] for app in (await client.call("GET", f"{own}/apps"))["items"]] == [
            "web"
        ]
    await world.client.call("PATCH", own, {"labels": {"env": "prod", "floor": None}})
    shown = await world.client.call("GET", f"{own}/apps")
    assert {app["name"] for app in shown["items"]} == {"web", "prices"}


async def test_a_limited_role_does_not_widen_another_of_the_user(world: World) -> None:
    await two_shops(world)
    for name, rights in (
        ("labeler", ["read nodes", "update nodes", "label nodes"]),
        ("restarter", ["restart nodes"]),
    ):
        await world.client.call("POST", "/v1/roles", {"name": name, "permissions": rights})
    grants = {"default": "labeler on shop=7; restarter on tier=edge"}
    secret = await session_with(world, grants)
    own = f"/v1/nodes/{OWN}"
    restart = {"command": "restart", "app": "web"}
    async with bearer(world, secret) as client:
        for method, path, body in (
            ("PATCH", own, {"labels": {"tier": "edge"}}),
            ("PATCH", "/v1/nodes", {"labels": {"tier": "edge"}, "names": [OWN]}),
        ):
            message = await client.refused(method, path, body, **FORBIDDEN)
            assert "the label tier decides which nodes your role is for" in message
        await client.refused("POST", f"{own}/commands", restart, **MISSING)
        await client.call("PATCH", own, {"labels": {"floor": "2"}})


async def session_with(world: World, grants: dict[str, str]) -> str:
    """The secret of the session of a user with *grants*."""
    secret, now = "eus_secret", world.clock()
    user, ends = User("company", "s1", "company:ann"), now + timedelta(days=1)
    session = UserSession(
        "id", digest_of(secret), user, SessionKind.EXCHANGE, grants, now, ends, now
    )
    await world.store.write(lambda tx: tx.put_user_session(session))
    return secret


async def test_a_custom_role_of_a_shop_restarts_its_nodes_alone(world: World) -> None:
    await two_shops(world)
    rights = ["list nodes", "read nodes", "restart nodes", "label nodes"]
    await world.client.call("POST", "/v1/roles", {"name": "till-keeper", "permissions": rights})
    async with bearer(world, await limited(world, "till-keeper")) as client:
        restart = {"command": "restart", "app": "web"}
        await client.call("POST", f"/v1/nodes/{OWN}/commands", restart)
        await client.refused("POST", f"/v1/nodes/{OTHER}/commands", restart, **MISSING)
        logs = {"command": "logs", "app": "web"}
        await client.refused("POST", f"/v1/nodes/{OWN}/commands", logs, **FORBIDDEN)
        await client.refused("PATCH", f"/v1/nodes/{OWN}", {"description": "x"}, **FORBIDDEN)
        await client.refused("POST", "/v1/nodes", {"name": "till-9"}, **FORBIDDEN)
        message = await client.refused("GET", "/v1/apps", **FORBIDDEN)
        assert "has the role till-keeper on shop=7" in message


async def test_a_browser_is_shown_the_role_and_sees_the_own_nodes(world: World) -> None:
    await two_shops(world)
    token = await limited(world, "operator")
    headers = {"Origin": world.url, "X-Edgesync-CSRF": "1"}
    async with caller(world.url, headers) as browser:
        await browser.post("/session", json={"token": token})
        assert (await browser.get("/session")).json()["role"] == "operator on shop=7"
        assert (await browser.get("/v1/nodes")).json()["total"] == 1
        assert (await browser.get(f"/v1/nodes/{OTHER}")).status_code == 404


async def test_a_limited_administrator_makes_no_one_an_administrator(world: World) -> None:
    async with bearer(world, await limited(world)) as client:
        for path, body in (
            ("/v1/tokens", {"name": "t", "role": "viewer", "nodes": "shop=7"}),
            ("/v1/roles", {"name": "r", "permissions": ["read nodes"]}),
        ):
            await client.refused("POST", path, body, **FORBIDDEN)
        await client.refused("GET", "/v1/audit?namespace=*", **FORBIDDEN)
        assert (await client.send("GET", "/metrics")).status_code == 403


@pytest.mark.parametrize("nodes", ["shop in (", ",", "shop=" + "7" * 1000, " "])
async def test_a_wrong_selector_of_a_role_is_refused(client: ApiCaller, nodes: str) -> None:
    body = {"name": "t", "role": "viewer", "nodes": nodes}
    message = await client.refused("POST", "/v1/tokens", body, **INVALID)
    assert "(nodes: " in message


async def test_a_caller_learns_what_it_may_do(world: World) -> None:
    await two_shops(world)
    rights = ["create nodes", "restart nodes", "read apps/web"]
    await world.client.call("POST", "/v1/roles", {"name": "keeper", "permissions": rights})
    async with bearer(world, await limited(world, "keeper")) as client:

        async def ask(verb: str, kind: str, name: str = "") -> tuple[bool, str]:
            query = f"verb={verb}&kind={kind}" + (f"&name={name}" if name else "")
            answer = await client.call("GET", f"/v1/can-i?{query}")
            assert bool(answer["reason"]) is not answer["allowed"]
            return answer["allowed"], answer["nodes"]

        assert await ask("restart", "nodes") == (True, "shop=7")
        assert await ask("restart", "no", OWN) == (True, "shop=7")
        assert await ask("restart", "node", OTHER) == (False, "")
        assert await ask("restart", "node", "till-9") == (False, "")
        assert await ask("logs", "node", OWN) == (False, "")
        assert await ask("create", "nodes") == await ask("create", "node", OWN) == (False, "")
        assert await ask("read", "app", "web") == (False, "")
        assert await ask("read", "app", "other") == (False, "")
        for query in ("", "?verb=restart", "?verb=explode&kind=nodes", "?verb=*&kind=*"):
            await client.refused("GET", f"/v1/can-i{query}", **INVALID)
    assert (await world.client.call("GET", "/v1/can-i?verb=create&kind=tokens"))["allowed"]


async def test_events_are_those_of_the_own_nodes(world: World) -> None:
    await two_shops(world)
    await world.feed.round()
    async with bearer(world, await limited(world)) as client:
        for query in ("", "?kind=node", "?type=node.*", "?namespace=default", "?limit=2"):
            found = await client.call("GET", f"/v1/events{query}")
            subjects = {event["subject"]["name"] for event in found["items"]}
            assert (subjects, found["total"]) == ({OWN}, 2), query
        found = await client.call("GET", f"/v1/events?name={OTHER}")
        assert (found["items"], found["total"]) == ([], 0)
        for query in ("?kind=app", "?namespace=*"):
            await client.refused("GET", f"/v1/events{query}", **FORBIDDEN)


async def test_a_stream_has_the_events_of_the_own_nodes_and_ends_with_the_role(
    tmp_path: Path,
) -> None:
    limits = StreamLimits(heartbeat=timedelta(seconds=0.2))
    async with open_world(tmp_path, stream_limits=limits) as world:
        await two_shops(world)
        await world.feed.round()
        await world.client.call("POST", "/v1/roles", {"name": "w", "permissions": ["list events"]})
        token = await limited(world, "w")
        async with bearer(world, token) as client:
            headers = {"Accept": "text/event-stream"}
            async with client.http.stream("GET", "/v1/events", headers=headers) as response:
                stream = Following(response)
                await stream.next()
                for name in (OTHER, OWN):
                    await world.client.call(
                        "PATCH", f"/v1/nodes/{name}", {"description": f"new {name}"}
                    )
                await world.feed.round()
                event = await stream.event()
                assert (event["type"], event["subject"]["name"]) == ("node.updated", OWN)
                await world.client.call("PUT", "/v1/roles/w", {"permissions": ["list apps"]})
                while message := await stream.next():
                    assert "data" not in message


async def test_a_local_user_can_have_a_role_for_some_nodes(world: World) -> None:
    user = {"name": "ann", "password": "a long enough phrase"}
    grants = {"default": "operator on shop=7", "north": "viewer; admin on shop in (7, 8)"}
    made = await world.client.call("POST", "/v1/users", {**user, "grants": grants})
    assert made["grants"] == grants

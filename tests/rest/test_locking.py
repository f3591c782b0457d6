"""Entity tags and preconditions: no change is lost to a concurrent one."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from cloud.core.report import Order, read_report
from cloud.store.transaction import Transaction
from tests.rest.conftest import (
    APP,
    CALLBACK,
    CHANNEL,
    CONFIG,
    NODE,
    NOTIFICATION_RULE,
    REGISTRY,
    ROLE,
    SECRET,
    ApiCaller,
    World,
    describe,
)


@dataclass(frozen=True)
class LockedKind:
    """A thing at *path*, and two bodies that are each a change to it."""

    path: str
    change: Mapping[str, Any]
    other: Mapping[str, Any]


KINDS = [
    LockedKind("/v1/nodes/n1", {"description": "1"}, {"description": "2"}),
    LockedKind("/v1/apps/web", {**APP, "description": "1"}, {**APP, "description": "2"}),
    LockedKind("/v1/configs/site", {**CONFIG, "description": "1"}, {**CONFIG, "description": "2"}),
    LockedKind(
        "/v1/secrets/password", {**SECRET, "description": "1"}, {**SECRET, "description": "2"}
    ),
    LockedKind("/v1/registries/hub", {"description": "1"}, {"description": "2"}),
    LockedKind("/v1/register/b", {"description": "1"}, {"description": "2"}),
    LockedKind("/v1/callback/crm", {"description": "1"}, {"description": "2"}),
    LockedKind(
        "/v1/channels/mail", {**CHANNEL, "description": "1"}, {**CHANNEL, "description": "2"}
    ),
    LockedKind(
        "/v1/notificationrules/fails",
        {**NOTIFICATION_RULE, "description": "1"},
        {**NOTIFICATION_RULE, "description": "2"},
    ),
    LockedKind("/v1/roles/deployer", {**ROLE, "description": "1"}, {**ROLE, "description": "2"}),
    LockedKind("/v1/register/b/record/r", {"nodeName": "n2"}, {"nodeName": "n3"}),
]
CREATED: list[tuple[str, dict[str, Any]]] = [
    ("/v1/nodes", NODE),
    ("/v1/configs", CONFIG),
    ("/v1/secrets", SECRET),
    ("/v1/apps", APP),
    ("/v1/registries", REGISTRY),
    ("/v1/register", {"name": "b"}),
    ("/v1/callback", CALLBACK),
    ("/v1/channels", CHANNEL),
    ("/v1/notificationrules", NOTIFICATION_RULE),
    ("/v1/roles", ROLE),
    ("/v1/register/b/record", {"name": "r", "fingerprintValue": "F", "nodeName": "n7"}),
]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.path.split("/")[-2])


async def create_all(client: ApiCaller) -> dict[str, str]:
    """One of each; the tags that were answered, by path."""
    found = {}
    for path, body in CREATED:
        response = await client.send("POST", path, body)
        assert response.status_code == 200, response.text
        found[f"{path}/{body['name']}"] = response.headers["etag"]
    return found


async def tag_of(client: ApiCaller, path: str) -> str:
    response = await client.send("GET", path)
    assert response.status_code == 200, response.text
    return response.headers["etag"]


async def test_every_answer_with_one_thing_bears_the_tag_of_its_state(client: ApiCaller) -> None:
    created = await create_all(client)
    for kind in KINDS:
        before = await tag_of(client, kind.path)
        assert created[kind.path] == before
        for method, body in (("PUT", kind.change), ("PATCH", kind.other)):
            changed = await client.send(method, kind.path, body)
            after = changed.headers["etag"]
            assert after == await tag_of(client, kind.path) != before
            again = await client.send(method, kind.path, body)
            assert again.headers["etag"] == after
            before = after
        assert "etag" not in (await client.send("GET", kind.path.rpartition("/")[0])).headers


@each_kind
async def test_a_change_is_made_to_the_state_that_was_seen(
    client: ApiCaller, kind: LockedKind
) -> None:
    await create_all(client)
    seen = await tag_of(client, kind.path)
    await client.saying(**{"If-Match": seen}).call("PUT", kind.path, kind.change)
    shown = await client.call("GET", kind.path)
    late = client.saying(**{"If-Match": seen})
    for method, body in (
        ("PUT", kind.other),
        ("PATCH", kind.other),
        ("DELETE", None),
        ("GET", None),
    ):
        message = await late.refused(method, kind.path, body, status=412, code="PreconditionFailed")
        assert kind.path.split("/")[-1] in message
    assert await client.call("GET", kind.path) == shown
    for tags in (f'"no", {await tag_of(client, kind.path)}', "*"):
        await client.saying(**{"If-Match": tags}).call("PATCH", kind.path, kind.other)
    absent = client.saying(**{"If-None-Match": "*"})
    await absent.refused("PUT", kind.path, kind.change, status=412, code="PreconditionFailed")


@each_kind
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_of_two_who_saw_the_same_one_wins(
    client: ApiCaller, kind: LockedKind, method: str
) -> None:
    await create_all(client)
    writer = client.saying(**{"If-Match": await tag_of(client, kind.path)})
    answers = await asyncio.gather(
        *(writer.send(method, kind.path, body) for body in (kind.change, kind.other))
    )
    won, lost = sorted(answers, key=lambda answer: answer.status_code)
    assert (won.status_code, lost.status_code) == (200, 412)
    assert await client.call("GET", kind.path) == won.json()


async def test_what_is_seen_can_be_removed(client: ApiCaller) -> None:
    await create_all(client)
    await client.call("DELETE", "/v1/apps/web")
    await client.call("POST", "/v1/apps", APP)
    for path in [kind.path for kind in KINDS[1:5]] + ["/v1/register/b/record/r", "/v1/register/b"]:
        tag = await tag_of(client, path)
        await client.saying(**{"If-Match": '"other"'}).refused(
            "DELETE", path, status=412, code="PreconditionFailed"
        )
        await client.saying(**{"If-Match": tag}).call("DELETE", path)
        await client.saying(**{"If-Match": tag}).refused(
            "DELETE", path, status=404, code="ResourceNotFound"
        )


async def test_a_name_given_anew_is_another_state(world: World) -> None:
    for path, body in (CREATED[0], CREATED[5], *CREATED[1:3]):
        seen = (await world.client.send("POST", path, body)).headers["etag"]
        await world.client.call("DELETE", f"{path}/{body['name']}")
        world.clock.advance(1)
        assert (await world.client.send("POST", path, body)).headers["etag"] != seen


async def test_a_password_is_changed_where_it_was_seen(client: ApiCaller) -> None:
    seen = (await create_all(client))["/v1/registries/hub"]
    path, body = "/v1/registries/hub/refresh", {"password": "new"}
    changed = await client.saying(**{"If-Match": seen}).send("POST", path, body)
    assert changed.headers["etag"] == await tag_of(client, "/v1/registries/hub") != seen
    await client.saying(**{"If-Match": seen}).refused(
        "POST", path, body, status=412, code="PreconditionFailed"
    )


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
async def test_tags_that_cannot_be_read_are_refused_by_name(client: ApiCaller, header: str) -> None:
    await create_all(client)
    for method, body in (("GET", None), ("PUT", SECRET), ("PATCH", {}), ("DELETE", None)):
        message = await client.saying(**{header: "7"}).refused(
            method, "/v1/secrets/password", body, status=400, code="RequestParamInvalid"
        )
        assert f"({header}: " in message


@each_kind
async def test_what_is_known_is_not_sent_again(client: ApiCaller, kind: LockedKind) -> None:
    await create_all(client)
    tag = await tag_of(client, kind.path)
    is_whole = not kind.path.startswith(("/v1/nodes", "/v1/callback", "/v1/channels"))
    is_whole = is_whole and kind.path != "/v1/register/b"
    for tags in (tag, f'"x", W/{tag}', "*"):
        for method in ("GET", "HEAD"):
            answer = await client.saying(**{"If-None-Match": tags}).send(method, kind.path)
            assert answer.status_code == (304 if is_whole else 200)
            assert answer.headers["etag"] == tag
            assert not (is_whole and answer.content)
    await client.call("PUT", kind.path, kind.change)
    assert (await client.saying(**{"If-None-Match": tag}).send("GET", kind.path)).status_code == 200


async def test_an_app_that_names_registries_is_sent_with_their_versions(client: ApiCaller) -> None:
    await create_all(client)
    await client.call("PATCH", "/v1/apps/web", {"registries": [{"name": "hub"}]})
    reader = client.saying(**{"If-None-Match": await tag_of(client, "/v1/apps/web")})
    registry = await client.call("PUT", "/v1/registries/hub", {"description": "new"})
    app = await reader.call("GET", "/v1/apps/web")
    assert app["registries"] == [{"name": "hub", "version": registry["version"]}]


async def test_a_report_is_no_change_of_its_node(world: World) -> None:
    await describe(world.client)
    before = await tag_of(world.client, "/v1/nodes/n1")

    def receive(tx: Transaction) -> None:
        tx.put_report("default", "n1", read_report({}, Order()), "json", world.clock.now)

    await world.store.write(receive)
    assert (await world.client.call("GET", "/v1/nodes/n1"))["ready"] is True
    assert await tag_of(world.client, "/v1/nodes/n1") == before

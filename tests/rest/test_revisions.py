"""Every state a thing had can be looked at, compared and brought back; nothing secret shows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.core.audit import UNKNOWN
from cloud.core.config import Config, ConfigSpec
from cloud.core.decoding import convert
from cloud.core.mask import MASK
from cloud.core.revisions import DELETED_KEPT, Revision, RevisionAction, Thing
from cloud.store.transaction import Transaction
from tests.rest.conftest import (
    APP,
    CONFIG,
    NODE,
    REGISTRY,
    SECRET,
    ApiCaller,
    World,
    caller,
    describe,
    open_world,
)

HIDDEN = ("öpen", "sesame", "password of the hub", "another password")
STORED = {
    "type": "object",
    "source": "awss3",
    "bucket": "baetyl",
    "object": "o",
    "ak": "known",
    "sk": "sesame",
}


@dataclass(frozen=True)
class RevisedKind:
    """A thing of one kind: where it is made, what of, and how it is changed."""

    path: str
    body: dict[str, Any]
    change: tuple[str, str, dict[str, Any]]
    path_changed: str
    values: tuple[Any, Any]

    @property
    def own(self) -> str:
        return f"{self.path}/{self.body['name']}"


FILE = {"key": "nginx.conf", "value": {"type": "kv", "value": "listen 80;\n"}}
OBJECTS = {**CONFIG, "data": [FILE, {"key": "code.zip", "value": STORED}]}
NEW_KEY = {"data": [FILE, {"key": "code.zip", "value": {**STORED, "sk": "öpen"}}]}
KINDS = [
    RevisedKind(
        "/v1/apps", APP, ("PATCH", "", {"selector": "a=b"}), "selector", ("role=gateway", "a=b")
    ),
    RevisedKind(
        "/v1/configs", OBJECTS, ("PUT", "", NEW_KEY), "data[code.zip].value.sk", (MASK, MASK)
    ),
    RevisedKind(
        "/v1/secrets",
        SECRET,
        ("PUT", "", {"data": {"password": "sesame"}}),
        "data.password",
        (MASK, MASK),
    ),
    RevisedKind(
        "/v1/registries",
        REGISTRY,
        ("POST", "/refresh", {"password": "another password"}),
        "password",
        (MASK, MASK),
    ),
]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.path.split("/")[-1])


async def create(client: ApiCaller, kind: RevisedKind) -> Any:
    """The thing, and all that it names."""
    if kind.path == "/v1/apps":
        await client.call("POST", "/v1/configs", CONFIG)
        await client.call("POST", "/v1/secrets", SECRET)
    return await client.call("POST", kind.path, kind.body)


async def change(client: ApiCaller, kind: RevisedKind) -> Any:
    method, below, body = kind.change
    return await client.call(method, kind.own + below, body)


async def history(client: ApiCaller, own: str) -> list[tuple[int, str, bool]]:
    listed = await client.call("GET", f"{own}/revisions")
    assert listed["total"] == len(listed["items"])
    return [(one["revision"], one["action"], one["current"]) for one in listed["items"]]


@each_kind
async def test_each_change_is_a_revision_that_can_be_read_compared_and_taken_back(
    world: World, kind: RevisedKind
) -> None:
    client = world.client
    made = await create(client, kind)
    assert await history(client, kind.own) == [(1, "create", True)]
    world.clock.advance(60)
    changed = await change(client.saying(**{"X-Edgesync-Reason": "because"}), kind)
    assert changed["version"] != made["version"]
    answers = [
        await client.call("GET", f"{kind.own}{below}")
        for below in ("/revisions", "/revisions/1", "/revisions/2", "/diff", "/diff?to=1")
    ]
    listed, first, second, differs, begins = answers
    newest = listed["items"][0]
    assert second == {**newest, "content": second["content"]}
    assert newest["actor"] == {"kind": "administrator", "name": "", "namespace": ""}
    assert (newest["reason"], newest["time"]) == ("because", "2026-01-02T03:05:05Z")
    assert (first["version"], newest["version"]) == (made["version"], changed["version"])
    assert [(one["revision"], one["current"]) for one in listed["items"]] == [(2, True), (1, False)]
    assert kind.path_changed in [one["path"] for one in differs["changes"]]
    for one in differs["changes"]:
        if one["path"] == kind.path_changed:
            assert (one["before"], one["after"]) == kind.values
    assert differs["text"].startswith(f"--- {kind.body['name']} revision 1\n+++ ")
    assert (begins["from"], begins["to"]) == (0, 1)
    if kind.path != "/v1/apps":
        assert not [text for text in HIDDEN if text in str(answers)]

    back = await client.send("POST", f"{kind.own}/undo", None)
    assert back.status_code == 200, back.text
    now = await client.send("GET", kind.own)
    assert back.json() == now.json()
    assert back.headers["etag"] == now.headers["etag"]
    same = {"version", "updateTime"}
    assert {k: v for k, v in now.json().items() if k not in same} == {
        k: v for k, v in made.items() if k not in same
    }
    assert await history(client, kind.own) == [
        (3, "undo", True),
        (2, "update", False),
        (1, "create", False),
    ]
    assert (await client.call("GET", f"{kind.own}/diff?from=1&to=3"))["changes"] == []


@each_kind
async def test_what_was_deleted_comes_back_and_its_numbers_go_on(
    client: ApiCaller, kind: RevisedKind
) -> None:
    made = await create(client, kind)
    await client.call("DELETE", kind.own)
    assert await history(client, kind.own) == [(2, "delete", False), (1, "create", False)]
    gone = await client.call("GET", f"{kind.own}/revisions/2")
    assert (gone["version"], gone["content"]) == ("", None)
    back = await client.call("POST", f"{kind.own}/undo", {})
    assert {**back, "version": "", "createTime": "", "updateTime": ""} == {
        **made,
        "version": "",
        "createTime": "",
        "updateTime": "",
    }
    await client.call("DELETE", kind.own)
    await client.call("POST", kind.path, kind.body)
    assert await history(client, kind.own) == [
        (5, "create", True),
        (4, "delete", False),
        (3, "undo", False),
        (2, "delete", False),
        (1, "create", False),
    ]
    for body in ({}, {"revision": 2}):
        message = await client.refused(
            "POST", f"{kind.own}/undo", body, status=400, code="RequestParamInvalid"
        )
        assert "by which it was deleted" in message


@each_kind
async def test_what_is_so_already_is_not_undone_again(world: World, kind: RevisedKind) -> None:
    client = world.client
    await create(client, kind)
    now = await change(client, kind)
    await world.store.write(lambda tx: tx.take_pending(100))
    assert await client.call("POST", f"{kind.own}/undo", {"revision": 2}) == now
    assert await history(client, kind.own) == [(2, "update", True), (1, "create", False)]
    assert not await world.store.write(lambda tx: tx.take_pending(100))


@each_kind
async def test_there_is_no_way_to_what_is_not_there(client: ApiCaller, kind: RevisedKind) -> None:
    await create(client, kind)
    missing: dict[str, Any] = {"status": 404, "code": "ResourceNotFound"}
    other = client.within("other")
    for caller_, own in ((other, kind.own), (client, f"{kind.path}/none")):
        for below in ("/revisions", "/revisions/1", "/diff", "/diff?from=1&to=1"):
            await caller_.refused("GET", own + below, **missing)
        await caller_.refused("POST", f"{own}/undo", {}, **missing)
    for below in ("/revisions/2", "/revisions/0", "/revisions/x", "/revisions/²", "/diff?to=7"):
        await client.refused("GET", kind.own + below, **missing)
    await client.refused("POST", f"{kind.own}/undo", {"revision": 9}, **missing)
    invalid: dict[str, Any] = {"status": 400, "code": "RequestParamInvalid"}
    await client.refused("GET", f"{kind.own}/diff?from=x", **invalid)
    for body in ({"revision": -1}, {"revision": "1"}, {"number": 1}, {}):
        await client.refused("POST", f"{kind.own}/undo", body, **invalid)


@each_kind
async def test_an_undo_is_made_to_the_state_that_was_seen(
    client: ApiCaller, kind: RevisedKind
) -> None:
    await create(client, kind)
    seen = (await client.send("GET", kind.own)).headers["etag"]
    await change(client, kind)
    late: dict[str, Any] = {"status": 412, "code": "PreconditionFailed"}
    knowing = client.saying(**{"If-Match": seen})
    await knowing.refused("POST", f"{kind.own}/undo", {}, **late)
    await client.call("DELETE", kind.own)
    await client.saying(**{"If-Match": "*"}).refused("POST", f"{kind.own}/undo", {}, **late)
    await client.saying(**{"If-None-Match": "*"}).call("POST", f"{kind.own}/undo", {})


@each_kind
async def test_an_undo_is_in_the_audit_log(world: World, kind: RevisedKind) -> None:
    await create(world.client, kind)
    await change(world.client, kind)
    await world.client.saying(**{"X-Edgesync-Reason": "took it back"}).call(
        "POST", f"{kind.own}/undo", {}
    )
    newest = (await world.client.call("GET", "/v1/audit?limit=1"))["items"][0]
    assert newest["action"] == f"{newest['kind']}.undo"
    assert (newest["name"], newest["reason"]) == (kind.body["name"], "took it back")
    assert newest["after"]["version"] != newest["before"]["version"]
    assert not [text for text in HIDDEN if text in str(newest)]


async def test_an_undone_app_is_checked_and_its_nodes_are_updated(world: World) -> None:
    client = world.client
    await describe(client)
    await client.call("PUT", "/v1/apps/web", {"selector": "role=camera", "services": []})
    await world.store.write(lambda tx: tx.take_pending(100))
    await client.call("DELETE", "/v1/configs/site")
    message = await client.refused(
        "POST", "/v1/apps/web/undo", {}, status=404, code="ResourceNotFound"
    )
    assert "(config) resource (site)" in message
    assert [one[0] for one in await history(client, "/v1/apps/web")] == [2, 1]
    await client.call("POST", "/v1/configs/site/undo", {"revision": 1})
    await client.call("POST", "/v1/apps/web/undo", {})
    assert await world.store.write(lambda tx: tx.take_pending(100)) == [("default", NODE["name"])]


async def test_an_undone_config_rolls_its_apps_and_that_is_no_revision_of_theirs(
    world: World,
) -> None:
    client = world.client
    await describe(client)
    before = await client.call("GET", "/v1/apps/web")
    await client.call("PUT", "/v1/configs/site", {"data": []})
    await world.store.write(lambda tx: tx.take_pending(100))
    await client.call("POST", "/v1/configs/site/undo", {})
    assert (await client.call("GET", "/v1/apps/web"))["version"] != before["version"]
    assert await world.store.write(lambda tx: tx.take_pending(100))
    assert await history(client, "/v1/apps/web") == [(1, "create", True)]


async def test_what_cannot_change_cannot_be_undone_either(client: ApiCaller) -> None:
    await client.call("POST", "/v1/registries", REGISTRY)
    await client.call("DELETE", "/v1/registries/hub")
    await client.call("POST", "/v1/registries", {**REGISTRY, "address": "elsewhere"})
    message = await client.refused(
        "POST",
        "/v1/registries/hub/undo",
        {"revision": 1},
        status=400,
        code="RequestParamInvalid",
    )
    assert "(address: cannot change)" in message


@pytest.mark.parametrize("world", [False], indirect=True)
async def test_a_config_is_not_brought_back_that_this_server_could_not_give(world: World) -> None:
    spec = convert({key: OBJECTS[key] for key in ("labels", "data")}, ConfigSpec)
    thing = Thing("config", "default", "site")
    made = Revision(1, "1", world.clock.now, UNKNOWN, "", RevisionAction.CREATE)
    await world.store.write(lambda tx: tx.put_revision(thing, made, spec))
    message = await world.client.refused(
        "POST",
        "/v1/configs/site/undo",
        {"revision": 1},
        status=400,
        code="RequestParamInvalid",
    )
    assert "(data[1].value.ak: " in message


async def test_a_viewer_may_see_what_was_and_nothing_secret_of_it(world: World) -> None:
    made = await world.client.call("POST", "/v1/tokens", {"name": "v", "role": "viewer"})
    async with caller(world.url, {"Authorization": f"Bearer {made['token']}"}) as http:
        viewer = ApiCaller(http)
        for kind in KINDS[1:]:
            await create(world.client, kind)
            await change(world.client, kind)
            for below in ("/revisions", "/revisions/1", "/diff"):
                shown = await viewer.call("GET", kind.own + below)
                assert not [text for text in HIDDEN if text in str(shown)]
            assert (await viewer.send("POST", f"{kind.own}/undo", {})).status_code == 403
    assert (await world.client.call("GET", "/v1/audit?action=secret.read"))["total"] == 0


async def test_the_oldest_go_and_the_newest_stay(tmp_path: Path) -> None:
    async with open_world(tmp_path, revisions_kept=3) as world:
        client, own = world.client, "/v1/configs/site"
        await client.call("POST", "/v1/configs", CONFIG)
        for number in range(2, 7):
            await client.call("PUT", own, {"data": [], "description": f"{number}"})
        assert [one[0] for one in await history(client, own)] == [6, 5, 4]
        await client.refused("GET", f"{own}/revisions/3", status=404, code="ResourceNotFound")
        assert (await client.call("GET", f"{own}/diff?to=4"))["from"] == 0
        await client.call("DELETE", own)
        assert await history(client, own) == [
            (7, "delete", False),
            (6, "update", False),
            (5, "update", False),
        ]


async def test_a_list_goes_on_where_the_page_before_ended(client: ApiCaller) -> None:
    await client.call("POST", "/v1/configs", CONFIG)
    for number in range(2, 6):
        await client.call("PUT", "/v1/configs/site", {"data": [], "description": f"{number}"})
    found, token = [], ""
    while True:
        page = await client.call("GET", f"/v1/configs/site/revisions?limit=2&continue={token}")
        assert page["total"] == 5
        found.append([one["revision"] for one in page["items"]])
        token = page["listOptions"]["continue"]
        if not token:
            break
    assert found == [[5, 4], [3, 2], [1]]


async def test_what_another_server_made_meanwhile_begins_with_what_it_was(world: World) -> None:
    """One of the version before, on the same database, keeps no revisions."""
    now = world.clock.now
    older = Config("default", "site", ConfigSpec(description="older"), "7", now, now)
    await world.store.write(lambda tx: tx.put_resource(older))
    assert await history(world.client, "/v1/configs/site") == []
    await world.client.call("PUT", "/v1/configs/site", {"data": [], "description": "newer"})
    listed = await world.client.call("GET", "/v1/configs/site/revisions")
    assert [(one["version"], one["actor"]["kind"]) for one in listed["items"]] == [
        ("1", "administrator"),
        ("7", "unknown"),
    ]
    undone = await world.client.call("POST", "/v1/configs/site/undo")
    assert undone["description"] == "older"


steps = st.lists(
    st.sampled_from(["a", "b", "c"]) | st.just(None) | st.integers(1, 8), min_size=2, max_size=8
)
"""Each puts a description, deletes (None) or undoes to a revision, which need not be there."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.path.split("/")[-1])
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=steps)
async def test_the_newest_revision_is_what_there_is_whatever_was_done(
    world: World, kind: RevisedKind, steps: list[str | int | None]
) -> None:
    numbers = await world.store.write(lambda tx: tx.next_version())
    client = world.client.within(f"ns{numbers}")
    await create(client, kind)
    for step in steps:
        there = (await client.send("GET", kind.own)).status_code == 200
        if step is None:
            await client.send("DELETE", kind.own)
        elif isinstance(step, str) and there:
            await client.call("PATCH", kind.own, {"description": step})
        elif isinstance(step, str):
            await client.call("POST", kind.path, {**kind.body, "description": step})
        else:
            kept = await client.send("GET", f"{kind.own}/revisions/{step}")
            wanted = kept.json().get("content")
            answer = await client.send("POST", f"{kind.own}/undo", {"revision": step})
            assert (answer.status_code == 200) is (wanted is not None)
            if wanted is not None:
                assert await content(client, kind) == wanted
        assert await content(client, kind) == await newest_content(client, kind)


async def newest_content(client: ApiCaller, kind: RevisedKind) -> Any:
    number, action, current = (await history(client, kind.own))[0]
    assert current is (action != "delete")
    return (await client.call("GET", f"{kind.own}/revisions/{number}"))["content"]


async def content(client: ApiCaller, kind: RevisedKind) -> Any:
    """What GET shows of what a revision holds, masked as that is; None if it is not there."""
    answer = await client.send("GET", kind.own)
    if answer.status_code == 404:
        return None
    set_by_server = {"name", "namespace", "select", "version", "createTime", "updateTime"}
    shown = {key: value for key, value in answer.json().items() if key not in set_by_server}
    if kind.path == "/v1/secrets":
        shown["data"] = dict.fromkeys(shown["data"], MASK)
    if kind.path == "/v1/registries":
        shown["password"] = MASK
    return shown


async def test_what_was_deleted_long_ago_is_forgotten(world: World) -> None:
    made = Revision(1, "", world.clock.now, UNKNOWN, "", RevisionAction.DELETE)

    def fill(tx: Transaction) -> None:
        for number in range(DELETED_KEPT):
            thing = Thing("config", "default", f"old{number:04}")
            tx.put_revision(thing, made, None)

    await world.store.write(fill)
    await world.client.call("POST", "/v1/configs", CONFIG)
    world.clock.advance(1)
    await world.client.call("DELETE", "/v1/configs/site")
    await world.client.refused(
        "GET", "/v1/configs/old0000/revisions", status=404, code="ResourceNotFound"
    )
    assert await history(world.client, "/v1/configs/old0001") == [(1, "delete", False)]
    assert len(await history(world.client, "/v1/configs/site")) == 2

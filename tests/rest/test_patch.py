"""Merge patches: the same rules as for PUT, for a part."""

from typing import Any

import pytest

from cloud.core.decoding import DEPTH_LIMIT
from cloud.store.transaction import Transaction
from tests.core.strategies import nested
from tests.rest.conftest import SECRET, ApiCaller, World, describe
from tests.rest.test_locking import CREATED, KINDS, LockedKind, create_all, each_kind
from tests.rest.test_objects import CONFIG as OBJECTS

NULLED = {"description": None}


@each_kind
async def test_what_was_read_is_a_patch_that_changes_nothing(
    world: World, kind: LockedKind
) -> None:
    await create_all(world.client)
    world.clock.advance(10)
    await world.store.write(lambda tx: tx.take_pending(100))
    before = await world.client.call("GET", kind.path)
    nothing: dict[str, Any] = {}
    for patch in (before, nothing):
        assert await world.client.call("PATCH", kind.path, patch) == before
    assert not await world.store.write(lambda tx: tx.take_pending(100))


@each_kind
async def test_a_patch_changes_what_it_names(client: ApiCaller, kind: LockedKind) -> None:
    await create_all(client)
    before = await client.call("GET", kind.path)
    patch = {field: to for field, to in kind.change.items() if to != kind.other[field]}
    after = await client.call("PATCH", kind.path, patch)
    changed = {field for field in before if before[field] != after[field]}
    assert changed - {"version", "updateTime"} == set(patch)
    assert await client.call("GET", kind.path) == after


@each_kind
async def test_null_takes_away(client: ApiCaller, kind: LockedKind) -> None:
    await create_all(client)
    if kind.path.endswith("/record/r"):
        message = await client.refused(
            "PATCH", kind.path, {"nodeName": None}, status=400, code="RequestParamInvalid"
        )
        assert "(nodeName: " in message
        return
    assert (await client.call("PATCH", kind.path, kind.change))["description"] == "1"
    assert (await client.call("PATCH", kind.path, NULLED))["description"] == ""


async def test_labels_and_values_are_changed_one_by_one(client: ApiCaller) -> None:
    await create_all(client)
    node = await client.call("PATCH", "/v1/nodes/n1", {"labels": {"floor": "2"}})
    assert node["labels"] == {"baetyl-node-name": "n1", "role": "gateway", "floor": "2"}
    node = await client.call("PATCH", "/v1/nodes/n1", {"annotatins": {"brand": None, "b": "y"}})
    assert node["annotations"] == {"b": "y"}
    secret = await client.call("PATCH", "/v1/secrets/password", {"data": {"pin": "7"}})
    assert secret["data"] == {**SECRET["data"], "pin": "7"}  # type: ignore[dict-item]
    secret = await client.call("PATCH", "/v1/secrets/password", {"data": {"password": None}})
    assert secret["data"] == {"pin": "7"}
    batch = await client.call("PATCH", "/v1/register/b", {"fingerprint": {"type": 2}})
    assert batch["fingerprint"]["type"] == 2
    assert batch["fingerprint"]["inputField"] == "sn"
    batch = await client.call("PATCH", "/v1/register/b", {"fingerprint": None, "labels": None})
    assert batch["fingerprint"]["type"] == 1
    assert batch["labels"] == {"baetyl-batch": "b"}


async def test_a_patched_label_reaches_the_nodes_it_is_about(world: World) -> None:
    await describe(world.client)
    await world.store.write(lambda tx: tx.take_pending(100))
    await world.client.call("PATCH", "/v1/nodes/n1", {"labels": {"role": "camera"}})
    assert await world.store.write(lambda tx: list(tx.take_pending(100))) == [("default", "n1")]
    assert (await world.client.call("GET", "/v1/nodes/n1/apps"))["items"] == []


async def test_a_masked_key_is_never_kept_as_the_key(world: World) -> None:
    shown = await world.client.call("POST", "/v1/configs", OBJECTS)

    def keys(tx: Transaction) -> list[str]:
        config = tx.config("default", "code")
        assert config is not None
        return [getattr(item.value, "sk", "") for item in config.spec.data]

    item = shown["data"][0]
    assert item["value"]["sk"] == "********"
    moved = {**item, "value": {**item["value"], "object": "g.zip"}}
    for patch in ({"description": "x"}, {"data": shown["data"]}, {"data": [moved]}):
        await world.client.call("PATCH", "/v1/configs/code", patch)
        assert await world.store.read(keys) == ["open sesame"]
    renamed = {"data": [{**item, "key": "other"}]}
    message = await world.client.refused(
        "PATCH", "/v1/configs/code", renamed, status=400, code="RequestParamInvalid"
    )
    assert "data[0].value.sk" in message
    assert await world.store.read(keys) == ["open sesame"]


@pytest.mark.parametrize(
    ("path", "patch", "field"),
    [
        ("/v1/nodes/n1", {"sizzle": 1}, "sizzle"),
        ("/v1/nodes/n1", {"labels": {"a": 1}}, "labels.a"),
        ("/v1/nodes/n1", {"labels": "a"}, "labels"),
        ("/v1/apps/web", {"selector": "a in b"}, "selector"),
        ("/v1/apps/web", {"type": "function"}, "type"),
        ("/v1/apps/web", {"volumes": None}, "services[0].volumeMounts[0].name"),
        ("/v1/apps/web", {"services": [None]}, "services[0]"),
        ("/v1/configs/site", {"data": {"a": "b"}}, "data"),
        ("/v1/secrets/password", {"data": {"a": 1}}, "data.a"),
        ("/v1/secrets/password", {"data": None}, "data"),
        ("/v1/configs/site", {"data": None}, "data"),
        ("/v1/apps/web", {"services": None}, "services"),
        ("/v1/registries/hub", {"address": "x"}, "address"),
        ("/v1/registries/hub", {"username": None}, "username"),
        ("/v1/registries/hub", {"password": None}, "password"),
        ("/v1/registries/hub", {"password": "x"}, "password"),
        ("/v1/register/b", {"quotaNum": "1"}, "quotaNum"),
        ("/v1/register/b", {"securityKey": None}, "securityKey"),
        ("/v1/register/b", {"fingerprint": {"type": 0}}, "fingerprint.type"),
        ("/v1/register/b/record/r", {"fingerprintValue": "G"}, "fingerprintValue"),
        ("/v1/register/b/record/r", {"active": 1}, "active"),
        ("/v1/register/b/record/r", {"sizzle": 1}, "sizzle"),
    ],
)
async def test_what_put_refuses_is_refused_and_nothing_is_kept(
    client: ApiCaller, path: str, patch: dict[str, Any], field: str
) -> None:
    await create_all(client)
    before = await client.call("GET", path)
    message = await client.refused("PATCH", path, patch, status=400, code="RequestParamInvalid")
    assert f"({field}: " in message
    assert await client.call("GET", path) == before


async def test_a_patch_of_what_is_not_there_is_not_found(client: ApiCaller) -> None:
    for kind in KINDS:
        await client.refused("PATCH", kind.path, {}, status=404, code="ResourceNotFound")


async def test_a_body_that_is_no_patch_is_refused(client: ApiCaller) -> None:
    await create_all(client)
    deep = {"labels": nested(DEPTH_LIMIT + 1)}
    for body in (b"", b"{", b"[]", b"null", b'"x"', b'{"labels": ' + b"[" * 100_000, deep):
        for kind in KINDS:
            await client.refused("PATCH", kind.path, body, status=400, code="RequestParamInvalid")


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/json-patch+json"])
async def test_another_kind_of_patch_is_refused_with_the_one_that_is_understood(
    client: ApiCaller, media_type: str
) -> None:
    await create_all(client)
    response = await client.saying(**{"Content-Type": media_type}).send(
        "PATCH", "/v1/nodes/n1", b"{}"
    )
    assert (response.status_code, response.json()["code"]) == (415, "UnsupportedMediaType")
    assert response.headers["accept-patch"] == "application/merge-patch+json"


@pytest.mark.parametrize("media_type", ["application/json", "Application/Merge-Patch+JSON; a=b"])
async def test_a_patch_may_be_sent_as_json(client: ApiCaller, media_type: str) -> None:
    await client.call(*("POST", *CREATED[0]))
    sender = client.saying(**{"Content-Type": media_type})
    assert (await sender.call("PATCH", "/v1/nodes/n1", NULLED))["description"] == ""

"""What is particular to registries."""

import logging
from typing import Any

import pytest

from tests.rest.conftest import APP, REGISTRY, SECRET, ApiCaller, describe

PASSWORD = REGISTRY["password"]


@pytest.mark.parametrize("field", ["address", "username", "password"])
async def test_what_is_needed_to_pull_is_required(client: ApiCaller, field: str) -> None:
    for body in (
        {key: value for key, value in REGISTRY.items() if key != field},
        {**REGISTRY, field: ""},
        {**REGISTRY, field: None},
    ):
        message = await client.refused(
            "POST", "/v1/registries", body, status=400, code="RequestParamInvalid"
        )
        assert f"({field}: " in message
        assert PASSWORD not in message


async def test_no_answer_and_no_log_shows_a_password(
    client: ApiCaller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await describe(client)
    new = "another password of the hub"
    app = {**APP, "registries": [{"name": "hub"}]}
    for method, path, body in (
        ("POST", "/v1/registries", REGISTRY),
        ("POST", "/v1/registries", REGISTRY),
        ("PUT", "/v1/apps/web", app),
        ("PUT", "/v1/registries/hub", {"description": "x", "password": "wrong"}),
        ("POST", "/v1/registries/hub/refresh", {"password": new}),
        ("PUT", "/v1/registries/hub", {"description": "x", "password": new}),
        ("GET", "/v1/registries/hub", None),
        ("GET", "/v1/registries", None),
        ("GET", "/v1/registries/hub/apps", None),
        ("GET", "/v1/apps/web", None),
        ("GET", "/v1/secrets/hub", None),
        ("GET", "/v1/secrets", None),
        ("DELETE", "/v1/registries/hub", None),
    ):
        response = await client.send(method, path, body)
        assert "password of the hub" not in response.text, path
    assert "password of the hub" not in caplog.text


async def test_what_was_read_can_be_put_back(client: ApiCaller) -> None:
    created = await client.call("POST", "/v1/registries", REGISTRY)
    assert await client.call("PUT", "/v1/registries/hub", created) == created
    assert await client.call("GET", "/v1/registries/hub") == created


async def test_a_secret_and_a_registry_are_not_found_as_each_other(client: ApiCaller) -> None:
    await client.call("POST", "/v1/registries", REGISTRY)
    await client.call("POST", "/v1/secrets", SECRET)
    changes: dict[str, Any] = {"/v1/secrets/hub": {"data": {}}, "/v1/registries/password": {}}
    for path, change in changes.items():
        for method, body in (("GET", None), ("PUT", change), ("DELETE", None)):
            await client.refused(method, path, body, status=404, code="ResourceNotFound")


async def test_an_app_names_its_registries_with_their_versions(client: ApiCaller) -> None:
    await describe(client)
    registry = await client.call("POST", "/v1/registries", REGISTRY)
    app = await client.call("PUT", "/v1/apps/web", {**APP, "registries": [{"name": "hub"}]})
    assert app["registries"] == [{"name": "hub", "version": registry["version"]}]
    assert await client.call("PUT", "/v1/apps/web", app) == app
    fresh = await client.call("POST", "/v1/registries/hub/refresh", {"password": "new"})
    after = await client.call("GET", "/v1/apps/web")
    assert after["registries"] == [{"name": "hub", "version": fresh["version"]}]
    assert int(after["version"]) > int(app["version"])
    message = await client.refused(
        "DELETE", "/v1/registries/hub", status=403, code="ResourceHasBeenUsed"
    )
    assert "web" in message


@pytest.mark.parametrize("body", [{}, {"password": ""}, {"password": 7}, {"passwort": "x"}])
async def test_a_new_password_has_to_be_one(client: ApiCaller, body: object) -> None:
    await client.call("POST", "/v1/registries", REGISTRY)
    await client.refused(
        "POST", "/v1/registries/hub/refresh", body, status=400, code="RequestParamInvalid"
    )


async def test_no_registry_of_another_namespace_is_seen(client: ApiCaller) -> None:
    await client.call("POST", "/v1/registries", REGISTRY)
    other = client.within("other")
    await other.refused("GET", "/v1/registries/hub", status=404, code="ResourceNotFound")
    assert (await other.call("GET", "/v1/registries"))["items"] == []

"""Headers, conditions and bodies of the document, held against the running server."""

import re
from typing import Any

import pytest

from cloud.rest.route import ApiRoute
from cloud.rest.routes import ROUTES
from tests.rest.conftest import (
    CALLBACK,
    CHANNEL,
    NOTIFICATION_RULE,
    REGISTRY,
    ROLE,
    ApiCaller,
    World,
    describe,
)
from tests.rest.test_document import DOCUMENT, complaints, operation_for
from tests.rest.test_golden import steps

HEADERS = set(DOCUMENT["components"]["headers"])
NAMES = {"batch": "b1", "record": "r1", "revision": "1"}
THINGS = {
    "nodes": "n1",
    "apps": "web",
    "configs": "site",
    "secrets": "password",
    "registries": "hub",
    "callback": "crm",
    "channels": "mail",
    "notificationrules": "fails",
    "rolloutpolicies": "careful",
    "rollouts": "web",
    "roles": "deployer",
    "tokens": "ci",
    "users": "ann",
}
WRONG: Any = [[[]]]
"""Of no type that any field has."""


async def test_headers_and_conditions_are_those_of_the_document(world: World) -> None:
    """Each route is asked for a state that nothing is in: only some care."""
    async for name, method, path, body in steps(world):
        operation = operation_for(method, path)
        stranger = world.client.saying(**{"If-Match": '"nothing"'})
        response = await stranger.send(method, path, body)
        if operation is None or name.startswith("error-"):
            continue
        assert (response.status_code == 412) is ("412" in operation["responses"]), name
        if response.status_code == 412:
            response = await world.client.send(method, path, body)
        promised = operation["responses"][str(response.status_code)]["headers"]
        assert {header for header in HEADERS if header in response.headers} == set(promised), name


async def test_an_unchanged_body_is_not_sent_where_the_document_has_304(world: World) -> None:
    async for name, method, path, body in steps(world):
        response = await world.client.send(method, path, body)
        operation = operation_for(method, path)
        if method != "GET" or operation is None or response.status_code != 200:
            continue
        knowing = world.client.saying(**{"If-None-Match": response.headers.get("etag", "*")})
        again = await knowing.send(method, path)
        if name == "apps-get":  # its registries may have changed
            continue
        assert (again.status_code == 304) is ("304" in operation["responses"]), name


def path_of(route: ApiRoute) -> str:
    names = {**NAMES, "name": THINGS.get(route.path.split("/")[2], "")}
    return re.sub(r"{(\w+)}", lambda found: names[found[1]], route.path)


@pytest.fixture
async def furnished(client: ApiCaller) -> ApiCaller:
    """A caller of a server where everything is there that `path_of` names."""
    policy = {"name": "careful", "apps": {"names": ["web"]}}
    await client.call("POST", "/v1/rolloutpolicies", policy)
    await describe(client)
    await client.call("POST", "/v1/registries", REGISTRY)
    await client.call("POST", "/v1/callback", CALLBACK)
    await client.call("POST", "/v1/channels", CHANNEL)
    await client.call("POST", "/v1/notificationrules", NOTIFICATION_RULE)
    await client.call("POST", "/v1/roles", ROLE)
    await client.call("POST", "/v1/tokens", {"name": "ci", "role": "viewer"})
    await client.call("POST", "/v1/register", {"name": "b1"})
    await client.call("POST", "/v1/register/b1/record", {"name": "r1"})
    return client


async def test_each_body_has_the_fields_that_the_document_names_and_no_others(
    furnished: ApiCaller,
) -> None:
    for route in ROUTES:
        if not route.described.body:
            continue
        where = f"{route.method} {route.path}"
        content = DOCUMENT["paths"][route.path][route.method.lower()]["requestBody"]["content"]
        for media_type, body in content.items():
            caller = furnished.saying(**{"Content-Type": media_type})
            for field, schema in fields_of(body["schema"]).items():
                answer = await caller.send(route.method, path_of(route), {field: WRONG})
                assert answer.status_code in {200, 400}, f"{where} {field}: {answer.text}"
                takes_anything = not schema.keys() & {"type", "$ref", "anyOf"}
                assert takes_anything is (f"({field}" not in answer.text), f"{where} {field}"
            answer = await caller.send(route.method, path_of(route), {"unknownField": 1})
            assert "(unknownField: unknown field)" in answer.text, where


def fields_of(schema: Any) -> dict[str, Any]:
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert schema["additionalProperties"] is False
    fields: dict[str, Any] = schema["properties"]
    return fields


@pytest.mark.parametrize(
    ("path", "patch", "is_valid"),
    [
        ("/v1/nodes/{name}", {}, True),
        ("/v1/nodes/{name}", {"labels": None, "description": None}, True),
        ("/v1/nodes/{name}", {"labels": {"a": None, "b": "c"}}, True),
        ("/v1/nodes/{name}", {"labels": {"a": 1}}, False),
        ("/v1/nodes/{name}", {"lables": {}}, False),
        ("/v1/nodes/{name}", {"ready": 7, "createTime": []}, True),
        ("/v1/register/{batch}", {"fingerprint": {"type": None, "snPath": "/a"}}, True),
        ("/v1/register/{batch}", {"fingerprint": {"type": "x"}}, False),
        ("/v1/register/{batch}", {"securityType": None}, True),
        ("/v1/register/{batch}", {"securityType": "Other"}, False),
        ("/v1/apps/{name}", {"services": [{"name": "a"}]}, True),
        ("/v1/apps/{name}", {"services": [{"name": None}]}, False),
        ("/v1/apps/{name}", {"services": None}, True),
        ("/v1/configs/{name}", {"data": [{"key": "a", "value": {"type": "kv"}}]}, False),
    ],
)
def test_a_patch_may_leave_out_and_take_away_and_is_typed_all_the_same(
    path: str, patch: Any, *, is_valid: bool
) -> None:
    content = DOCUMENT["paths"][path]["patch"]["requestBody"]["content"]
    assert set(content) == {"application/merge-patch+json", "application/json"}
    for body in content.values():
        assert (complaints(body["schema"], patch) == []) is is_valid


def test_errors_have_both_forms_and_retry_after() -> None:
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if int(status) < 400:
                    continue
                assert set(response["content"]) == {"application/json", "application/problem+json"}
                has_pause = "Retry-After" in response["headers"]
                assert has_pause is (status in {"429", "503"})
            assert {"400", "401", "403", "429", "503"} <= set(operation["responses"])

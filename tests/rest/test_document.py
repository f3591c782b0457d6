import json
import re
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import jsonschema_rs
import msgspec
import pytest
from starlette.responses import Response

from cloud.answers.apps import AppAnswer
from cloud.answers.common import Answer
from cloud.core.app import AppSpec
from cloud.rest.context import ResourceResponse
from cloud.rest.document import openapi_document
from cloud.rest.routes import ROUTES
from tests.rest.conftest import World, caller
from tests.rest.test_golden import FOLDER

DOCUMENT: dict[str, Any] = json.loads(
    msgspec.json.encode(openapi_document(ROUTES, version="1.2.3"))
)


def operations() -> list[tuple[str, str, Any]]:
    return [
        (method.upper(), path, operation)
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    ]


def operation_for(method: str, path: str) -> Any:
    """The document's operation of a call; None if it knows no such route."""
    parts = path.partition("?")[0].split("/")
    for known, template, operation in operations():
        wanted = template.split("/")
        if known == method and len(wanted) == len(parts):
            pairs = zip(wanted, parts, strict=True)
            if all(want.startswith("{") or want == part for want, part in pairs):
                return operation
    return None


def complaints(schema: Any, value: Any) -> list[str]:
    whole = {**schema, "components": DOCUMENT["components"]}
    validator = jsonschema_rs.Draft202012Validator(whole)
    return [error.message for error in validator.iter_errors(value)]


def schema_of_answer(operation: Any, status: int) -> Any:
    contents = dict(operation["responses"][str(status)]["content"])
    contents.pop("text/event-stream", None)  # the same, as it comes
    kind = next(iter(contents))
    assert kind in {"application/json", "application/octet-stream"}
    assert len(contents) == (2 if status >= 400 else 1)
    return contents[kind]["schema"]


def test_the_document_describes_every_route_once() -> None:
    described = {(method, path) for method, path, _ in operations()}
    assert described == {(route.method, route.path) for route in ROUTES}
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    assert all(operation["summary"] for _, _, operation in operations())


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.json")), ids=lambda file: file.stem)
def test_every_golden_answer_matches_the_document(file: Path) -> None:
    golden = json.loads(file.read_text("utf-8"))
    request = golden["request"]
    operation = operation_for(request["method"], request["path"])
    if operation is None:
        assert golden["answer"]["code"] == "RequestMethodNotFound"
        return
    assert complaints(schema_of_answer(operation, golden["status"]), golden["answer"]) == []
    if request["body"] is not None and golden["status"] == 200:
        for body in operation["requestBody"]["content"].values():
            assert complaints(body["schema"], request["body"]) == []


OWN_RESPONSES = 7
"""Handlers that make the whole response: with headers, or as lines."""


def test_types_that_handlers_return_are_those_of_the_document() -> None:
    own = 0
    for route in ROUTES:
        returned = get_type_hints(route.handler)["return"]
        if get_origin(returned) in {Union, UnionType}:  # or a stream of the same
            (returned,) = (one for one in get_args(returned) if one is not Response)
        if get_origin(returned) is ResourceResponse:
            (returned,) = get_args(returned)
        if returned is Response:
            own += 1
        elif Answer in (returned, *get_args(returned)):
            # Of all kinds like Config what their answers have in common.
            assert get_origin(returned) is get_origin(route.described.answer), route.path
        else:
            assert returned == route.described.answer, route.path
    assert own == OWN_RESPONSES


def test_an_answer_about_an_app_has_every_field_of_its_spec() -> None:
    assert set(AppSpec.__struct_fields__) <= set(AppAnswer.__struct_fields__)


def test_an_answer_that_lacks_a_field_or_has_another_is_seen() -> None:
    answer = json.loads((FOLDER / "nodes-get.json").read_text("utf-8"))["answer"]
    schema = schema_of_answer(operation_for("GET", "/v1/nodes/n1"), 200)
    assert complaints(schema, {**answer, "other": 1})
    assert complaints(schema, {key: value for key, value in answer.items() if key != "ready"})


def test_every_reference_leads_to_something() -> None:
    referred = set(re.findall(r'"\$ref": "#/components/([^"]*)"', json.dumps(DOCUMENT)))
    there = {
        f"{kind}/{name}"
        for kind, components in DOCUMENT["components"].items()
        for name in components
        if kind != "securitySchemes"
    }
    assert referred <= there


async def test_the_document_and_the_page_need_no_token(world: World) -> None:
    async with caller(world.url) as http:
        document = await http.get("/openapi.json")
        page = await http.get("/docs")
    assert document.json() == DOCUMENT
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy

"""Calls that nobody thought of, made from the document, against a server with its real store."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from tests.rest.conftest import CALLBACK, REGISTRY, TOKEN, describe, open_world
from tests.rest.test_document import DOCUMENT

SHAPE = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXISTING = {
    "/v1/nodes": {"name": "n1"},
    "/v1/apps": {"name": "web"},
    "/v1/configs": {"name": "site"},
    "/v1/secrets": {"name": "password"},
    "/v1/registries": {"name": "hub"},
    "/v1/callback": {"name": "crm"},
    "/v1/register": {"batch": "b1", "record": "r1"},
}


def loaded(**generation: Any) -> BaseSchema:
    return schemathesis.openapi.from_dict(
        DOCUMENT, config=SchemathesisConfig.from_dict({"generation": generation})
    )


anything = loaded()
valid = loaded(mode="positive").exclude(method="DELETE").include(path_regex="{")

few = hypothesis.settings(max_examples=3, deadline=None, derandomize=True, database=None)


@asynccontextmanager
async def serving_all_there_is(folder: Path) -> AsyncIterator[str]:
    async with open_world(folder) as world:
        await describe(world.client)
        await world.client.call("POST", "/v1/registries", REGISTRY)
        await world.client.call("POST", "/v1/callback", CALLBACK)
        await world.client.call("POST", "/v1/register", {"name": "b1"})
        await world.client.call("POST", "/v1/register/b1/record", {"name": "r1"})
        yield world.url


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server in a thread of its own: what calls it is not asynchronous."""
    serving = serving_all_there_is(tmp_path_factory.mktemp("conformance"))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serving) as where:
        yield where


def call(case: Any, url: str, checks: list[Any]) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    case.call_and_validate(base_url=url, headers=headers, checks=checks)


@valid.parametrize()
@few
def test_what_is_there_is_answered_as_the_document_says(case: Any, url: str) -> None:
    names = EXISTING.get("/".join(case.path.split("/")[:3]), {})
    case.path_parameters = {
        name: names.get(name, value) for name, value in case.path_parameters.items()
    }
    case.headers.pop("X-Edgesync-Namespace", None)
    call(case, url, SHAPE)


@anything.parametrize()
@few
def test_no_call_is_answered_otherwise_than_the_document_says(case: Any, url: str) -> None:
    call(case, url, [*SHAPE, negative_data_rejection])

"""Calls that nobody thought of, made from the document, against a server with its real store."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from anyio.from_thread import start_blocking_portal
from hypothesis import Phase
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
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
    response_headers_conformance,
]
REFUSED = {"expected-statuses": [400, 401, 403, 404, 409, 410, 412, 413, 415]}
EXISTING = {
    "/v1/nodes": {"name": "n1"},
    "/v1/apps": {"name": "web"},
    "/v1/configs": {"name": "site"},
    "/v1/secrets": {"name": "password"},
    "/v1/registries": {"name": "hub"},
    "/v1/callback": {"name": "crm"},
    "/v1/register": {"batch": "b1", "record": "r1"},
}


session = requests.Session()
session.trust_env = False  # what proxies there are is asked for each call


def loaded(**settings: Any) -> BaseSchema:
    settings["checks"] = {"negative_data_rejection": REFUSED}
    return schemathesis.openapi.from_dict(DOCUMENT, config=SchemathesisConfig.from_dict(settings))


def examples(count: int) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
    )


# What breaks a schema in each way there is comes on top of the examples that are made up.
anything = loaded(phases={"coverage": {"generation": {"mode": "negative"}}})
valid = (
    loaded(generation={"mode": "positive"}, phases={"coverage": {"enabled": False}})
    .exclude(method="DELETE")
    .include(path_regex="{")
)


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
    case.call_and_validate(base_url=url, headers=headers, checks=checks, session=session)


@valid.parametrize()
@examples(12)
def test_what_is_there_is_answered_as_the_document_says(case: Any, url: str) -> None:
    names = EXISTING.get("/".join(case.path.split("/")[:3]), {})
    case.path_parameters = {
        name: names.get(name, value) for name, value in case.path_parameters.items()
    }
    for header in ("X-Edgesync-Namespace", "If-Match", "If-None-Match"):
        case.headers.pop(header, None)
    call(case, url, SHAPE)


@anything.parametrize()
@examples(8)
def test_no_call_is_answered_otherwise_than_the_document_says(case: Any, url: str) -> None:
    call(case, url, [*SHAPE, negative_data_rejection])

"""Generated requests, made from the document, against a server with its real store.

Tests import `generated_calls` when they run, so that collecting them does not load Schemathesis.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from cloud.rest.described import SPEC_ONLY
from tests.rest.conftest import (
    CALLBACK,
    CHANNEL,
    NOTIFICATION_RULE,
    REGISTRY,
    ROLE,
    describe,
    open_world,
)
from tests.rest.test_document import DOCUMENT

pytestmark = pytest.mark.slow

EXISTING = {
    "/v1/nodes": {"name": "n1"},
    "/v1/apps": {"name": "web", "revision": "1"},
    "/v1/configs": {"name": "site", "revision": "1"},
    "/v1/secrets": {"name": "password", "revision": "1"},
    "/v1/registries": {"name": "hub", "revision": "1"},
    "/v1/callback": {"name": "crm"},
    "/v1/channels": {"name": "mail"},
    "/v1/notificationrules": {"name": "fails"},
    "/v1/roles": {"name": "deployer", "revision": "1"},
    "/v1/register": {"batch": "b1", "record": "r1"},
}
SAME_FOR_ALL = (
    r"^/v1/(configs|registries|channels|notificationrules|roles)/.*/(revisions.*|diff|undo)$"
)
"""What is made of the same handlers as that of apps and secrets, which is tried."""

# What breaks a schema in each way there is comes on top of the examples that are made up.
ANYTHING = {"phases": {"coverage": {"generation": {"mode": "negative"}}}}
VALID = {"generation": {"mode": "positive"}, "phases": {"coverage": {"enabled": False}}}


def makes_something(path: str) -> bool:
    """Return whether all that can be done with one thing is linked from where it is made."""
    links = DOCUMENT["paths"][path].get("post", {}).get("responses", {}).get("200", {})
    # No text that is made up is the URL of a callback.
    return len(links.get("links", {})) == 4 and path != "/v1/callback"


OPERATIONS = [
    f"{method.upper()} {path}"
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if not re.search(SAME_FOR_ALL, path)
]
EXISTING_ONES = [one for one in OPERATIONS if "{" in one and not one.startswith("DELETE")]
MAKING = [one for one in OPERATIONS if one.startswith("POST") and makes_something(one[5:])]


@asynccontextmanager
async def serving_all_there_is(folder: Path) -> AsyncIterator[str]:
    async with open_world(folder) as world:
        await describe(world.client)
        await world.client.call("POST", "/v1/registries", REGISTRY)
        await world.client.call("POST", "/v1/callback", CALLBACK)
        await world.client.call("POST", "/v1/channels", CHANNEL)
        await world.client.call("POST", "/v1/notificationrules", NOTIFICATION_RULE)
        await world.client.call("POST", "/v1/roles", ROLE)
        await world.client.call("POST", "/v1/register", {"name": "b1"})
        await world.client.call("POST", "/v1/register/b1/record", {"name": "r1"})
        yield world.url


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server in a thread of its own: what calls it is not asynchronous."""
    serving = serving_all_there_is(tmp_path_factory.mktemp("conformance"))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serving) as where:
        yield where


def to_what_is_there(case: Any) -> None:
    """Let the call be about what there is, in whatever state it is."""
    names = EXISTING.get("/".join(case.path.split("/")[:3]), {})
    case.path_parameters = {
        name: names.get(name, value) for name, value in case.path_parameters.items()
    }
    for header in ("X-Edgesync-Namespace", "If-Match", "If-None-Match"):
        case.headers.pop(header, None)
    # With it the answer is a part of the body that PUT takes: tests/rest/test_kinds.py has it.
    case.query.pop(SPEC_ONLY, None)


@pytest.mark.parametrize("operation", EXISTING_ONES)
def test_answers_about_existing_resources_match_the_document(operation: str, url: str) -> None:
    from tests.rest.generated_calls import SHAPE, call, tried

    def test(case: Any) -> None:
        to_what_is_there(case)
        call(case, url, SHAPE)

    tried(operation, test, count=12, settings=VALID)


@pytest.mark.parametrize("operation", MAKING)
def test_what_is_made_is_where_its_links_lead_until_it_is_deleted(operation: str, url: str) -> None:
    from tests.rest.generated_calls import tried

    tried(operation, lambda case: made_and_deleted(case, url), count=8, settings=VALID)


def made_and_deleted(case: Any, url: str) -> None:
    from tests.rest.generated_calls import HEADERS, SHAPE, call, session

    to_what_is_there(case)
    case.query.pop("dryRun", None)  # what is only planned is nowhere
    made = call(case, url, SHAPE)
    if made.status_code != 200:
        return
    where = {
        link["operationId"].partition("_")[0]: path_of(link, made.json(), case.path_parameters)
        for link in DOCUMENT["paths"][case.path]["post"]["responses"]["200"]["links"].values()
    }
    calls: list[tuple[str, Any, int]] = [
        ("get", None, 200),
        ("patch", {}, 200),
        ("delete", None, 200),
        ("get", None, 404),
    ]
    for method, body, status in calls:
        answer = session.request(method, url + where[method], json=body, headers=HEADERS)
        assert answer.status_code == status, (method, where[method], answer.text)
        if (method, status) == ("get", 200):
            assert answer.json()["name"] == made.json()["name"]


def path_of(link: Any, answer: Any, path_parameters: Any) -> str:
    """Where *link* leads from the *answer* to a call with these parameters."""
    values = {
        name: answer["name"] if found == "$response.body#/name" else path_parameters[name]
        for name, found in link["parameters"].items()
    }
    (path,) = [
        path
        for path, methods in DOCUMENT["paths"].items()
        for operation in methods.values()
        if operation["operationId"] == link["operationId"]
    ]
    return str(path.format(**values))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_answer_matches_the_document(operation: str, url: str) -> None:
    from tests.rest.generated_calls import REFUSALS, SHAPE, call, tried

    def test(case: Any) -> None:
        call(case, url, [*SHAPE, *REFUSALS])

    tried(operation, test, count=8, settings=ANYTHING)

"""U+0000, which PostgreSQL keeps in no text: from any sender, both databases answer the same."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.builders import open_store
from tests.conftest import open_on
from tests.postgres import NEEDS_POSTGRES, Postgres
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
    describe,
    open_world,
)

pytestmark = NEEDS_POSTGRES

BATCH = {
    "name": "line",
    "description": "the line in hall 2",
    "securityType": "Token",
    "securityKey": "a key",
    "labels": {"hall": "2"},
    "fingerprint": {"type": 1, "snPath": "/etc/serial", "inputField": "sn"},
    "callbackName": "crm",
}
BODIES: dict[str, Any] = {
    "/v1/nodes": NODE,
    "/v1/apps": APP,
    "/v1/configs": CONFIG,
    "/v1/secrets": SECRET,
    "/v1/registries": REGISTRY,
    "/v1/callback": CALLBACK,
    "/v1/channels": CHANNEL,
    "/v1/notificationrules": NOTIFICATION_RULE,
    "/v1/roles": ROLE,
    "/v1/register": BATCH,
    "/v1/register/line/record": {"name": "r1", "fingerprintValue": "SN-1", "nodeName": "r1"},
    "/v1/tokens": {"name": "ci", "role": "viewer"},
}
LISTS = [*list(BODIES), "/v1/audit"]
QUERIES = (
    *("name", "selector", "fieldSelector", "continue", "limit", "pageNo", "pageSize"),
    *("namespace", "actor", "action", "kind", "requestId", "since", "until"),
)


@pytest.fixture
async def both(postgres: Postgres, tmp_path: Path) -> AsyncIterator[list[ApiCaller]]:
    """A server on SQLite and one on PostgreSQL, with the same in them."""
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for name, opened in (("lite", open_store), ("postgres", open_on(postgres))):
            directory = tmp_path / name
            directory.mkdir()
            world = await stack.enter_async_context(open_world(directory, open_store=opened))
            await describe(world.client)
            await world.client.call("POST", "/v1/register", {**BATCH, "callbackName": ""})
            clients.append(world.client)
        yield clients


def spoiled(content: Any) -> Iterator[Any]:
    """*content* with a zero character in one of its texts, and so for each."""
    match content:
        case str():
            yield f"{content}\0"
            yield f"\0{content}"
        case dict():
            for key, value in content.items():
                yield from ({**content, key: one} for one in spoiled(value))
                yield {**content, f"{key}\0": value}
        case list():
            for place, value in enumerate(content):
                for one in spoiled(value):
                    yield [*content[:place], one, *content[place + 1 :]]
        case _:
            pass


async def answered(both: list[ApiCaller], method: str, path: str, body: Any = None) -> int:
    """Status that both servers answer, with the same words."""
    one, other = [await client.send(method, path, body) for client in both]
    assert (one.status_code, one.text) == (other.status_code, other.text), (path, body)
    assert one.status_code in {200, 400, 404}, (path, body, one.text)
    return one.status_code


async def test_in_a_body_it_is_refused_or_kept_by_both(both: list[ApiCaller]) -> None:
    for path, body in BODIES.items():
        statuses = []
        for number, wrong in enumerate(spoiled(body)):
            if "\0" not in wrong["name"]:
                wrong = {**wrong, "name": f"{body['name']}{number}"}
            statuses.append(await answered(both, "POST", path, wrong))
        assert 400 in statuses, path


async def test_in_a_name_it_is_not_found(both: list[ApiCaller]) -> None:
    for path in BODIES:
        for method in ("GET", "DELETE"):
            assert await answered(both, method, f"{path}/%00") == 404


async def test_in_a_query_it_is_refused(both: list[ApiCaller]) -> None:
    for path in LISTS:
        for query in QUERIES:
            await answered(both, "GET", f"{path}?{query}=%00")
    for query in ("name=%00", "fieldSelector=metadata.name=%00", "selector=a=%00"):
        path = "/v1/register" if query.startswith("name") else "/v1/nodes"
        assert await answered(both, "GET", f"{path}?{query}") == 400

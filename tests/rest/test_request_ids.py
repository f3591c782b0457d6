"""One id for a request: in its answer, and in every line that is logged meanwhile."""

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cloud.errors import Unavailable
from cloud.http.app import http_app
from cloud.http.logs import LOG_FORMAT, RequestIdFilter
from cloud.store.transaction import Store, Transaction
from tests.builders import open_store
from tests.rest.conftest import ApiCaller, caller
from tests.serving import serving

HEADER = "x-bce-request-id"
below = logging.getLogger("somewhere.below")


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What a handler that has the filter writes."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.addFilter(RequestIdFilter())
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path) as store:
        yield store


def note(where: str) -> None:
    below.info("noted %s", where)


def note_in_transaction(_: Transaction) -> None:
    note("in the store's thread")


async def test_every_line_of_a_request_bears_its_id_in_every_layer(
    log: io.StringIO, store: Store
) -> None:
    """Requests that wait for each other, so that each logs while the others are under way."""
    together = asyncio.Barrier(3)

    async def handler(_: Request) -> Response:
        await together.wait()
        note("in the handler")
        await store.read(note_in_transaction)
        await store.write(note_in_transaction)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(later())
        await together.wait()
        raise Unavailable("noted trouble")

    async def later() -> None:
        await together.wait()
        note("in a task")

    app = http_app([Route("/", handler)], new_id=lambda: "made")
    async with serving(app) as url, caller(url) as http:
        sent = [http.get("/", headers={HEADER: f"id-{number}"}) for number in range(3)]
        answers = await asyncio.gather(*sent)
        below.info("noted outside")
    assert [answer.headers[HEADER] for answer in answers] == ["id-0", "id-1", "id-2"]
    lines = log.getvalue().splitlines()
    for number in range(3):
        mine = [line for line in lines if f" request id-{number}: " in line]
        for words in (
            "INFO somewhere.below: request id-%d: noted in the handler",
            "INFO somewhere.below: request id-%d: noted in the store's thread",
            "INFO somewhere.below: request id-%d: noted in a task",
            "WARNING cloud.http.app: request id-%d: Unavailable(",
            "INFO cloud.http.app: request id-%d: GET '/' answered 503",
        ):
            expected = 2 if "thread" in words else 1
            assert sum(words % number in line for line in mine) == expected, words
    (outside,) = [line for line in lines if "outside" in line]
    assert outside.endswith("INFO somewhere.below: noted outside")


@pytest.mark.parametrize(
    ("sent", "is_kept"),
    [
        (b"a", True),
        (b"0d3c8a3e-4d7e-4f5e-9f6a-0c2f5a1f3b7d", True),
        (b"Root=1-5759e988:/+=@~_.B", True),
        (b"x" * 128, True),
        (b"x" * 129, False),
        (b"", False),
        (b"a b", False),
        (b"a\tb", False),
        (b'a"', False),
        (b"a: DELETE '/v1/nodes' answered 200", False),
        (b"\xe4", False),
    ],
)
async def test_an_id_that_looks_like_one_is_kept(
    client: ApiCaller, sent: bytes, *, is_kept: bool
) -> None:
    for path in ("/v1/nodes", "/v1/nodes/missing"):
        response = await client.http.get(path, headers={HEADER.encode(): sent})
        (known,) = response.headers.get_list(HEADER)
        assert known == sent.decode("latin-1") if is_kept else known.startswith("id")
        if response.status_code != 200:
            assert response.json()["request-id"] == known


async def test_of_two_ids_none_is_taken(client: ApiCaller) -> None:
    headers = [(HEADER, "one"), (HEADER, "other")]
    async with caller(str(client.http.base_url)) as http:
        response = await http.get("/v1/nodes", headers=headers)
    assert response.json()["request-id"] == response.headers[HEADER] == "id1"


def test_a_log_line_outside_a_request_has_no_id(log: io.StringIO) -> None:
    below.warning("without a request")
    assert log.getvalue().endswith("WARNING somewhere.below: without a request\n")

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cloud.core.event import Event
from cloud.core.folding import WINDOW
from cloud.store.transaction import Transaction
from edgesync.client.event_stream import EventDecoder, StreamedEvent
from tests.edgesync.conftest import Shell
from tests.rest.conftest import describe
from tests.serving import serving
from tests.store.conftest import NOW

STREAM = (
    ": a comment\nid: 7\n\nid: 8\nevent: a\ndata: {\u2028}\r\n\r\n:\nevent: b\ndata: 1\ndata:2\n\n"
    "event: broken off"
).encode()
EVENTS = [
    StreamedEvent("7", "", ""),
    StreamedEvent("8", "a", "{\u2028}"),
    StreamedEvent("8", "b", "1\n2"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_it_does_not_matter_in_which_pieces_a_stream_comes(places: list[int]) -> None:
    ends = sorted({0, *places, len(STREAM)})
    chunks = [STREAM[begin:end] for begin, end in pairwise(ends)]
    decoder = EventDecoder()
    assert [event for chunk in chunks for event in decoder.feed(chunk)] == EVENTS


@pytest.fixture
async def described(shell: Shell) -> Shell:
    await describe(shell.world.client)
    await shell.world.feed.round()
    return shell


async def test_what_happened_is_listed_and_watched(described: Shell) -> None:
    lines = await described.lines("events")
    assert [words[1:3] for words in lines] == [
        ["node.created", "node/n1"],
        ["config.created", "config/site"],
        ["secret.created", "secret/password"],
        ["app.created", "app/web"],
    ]
    assert await described.lines("watch", "--since", "0", "--count", "4") == lines
    (only,) = await described.lines("watch", "app/web", "--since", "0", "--count", "1")
    assert only == lines[3]
    (typed,) = await described.lines("events", "--type", "node.*")
    assert typed == lines[0]
    shown = await described.run("events", "app", "-o", "json")
    assert json.loads(shown.stdout)["type"] == "app.created"
    await described.run("watch", "node/a", "node/b", code=2)


async def test_folded_events_have_their_count(shell: Shell) -> None:
    def flap(tx: Transaction) -> None:
        for _ in range(20):
            tx.record_event(Event("node.failed", "default", "node", "n1", NOW, "it failed"))

    world = shell.world
    await world.store.write(flap)
    await world.feed.round()
    world.clock.now += WINDOW
    await world.feed.round()
    lines = (await shell.run("events", "node/n1")).stdout.splitlines()
    assert lines[-1].endswith("it failed  (10 times since 2026-01-02T03:04:05Z)")
    assert lines[-2].endswith("it failed")


async def test_after_a_loss_it_goes_on_where_it_was(shell: Shell) -> None:
    asked: list[str | None] = []

    async def stream(request: Request) -> Response:
        asked.append(request.headers.get("last-event-id"))
        number = len(asked)
        if number == 2:
            return Response(status_code=503)
        event = {"id": str(number), "type": "t", "subject": {"kind": "node", "name": f"n{number}"}}
        text = f"id: {number}\nevent: t\ndata: {json.dumps(event)}\n\nid: {number}9\n\n"
        return Response(text, media_type="text/event-stream")

    async with serving(Starlette(routes=[Route("/v1/events", stream)])) as url:
        shell.env["EDGESYNC_URL"] = url
        result = await shell.run("watch", "--count", "2")
    assert asked == [None, "19", "19"]
    assert ["n1" in line for line in result.stdout.splitlines()] == [True, False]
    assert "reconnecting" in result.stderr


async def test_a_user_who_may_not_watch_is_refused_at_once(shell: Shell) -> None:
    shell.env["EDGESYNC_TOKEN"] = "wrong"
    assert "edgesync login" in (await shell.run("watch", code=1)).stderr
    shell.env["EDGESYNC_URL"] = "http://127.0.0.1:9"
    assert "Check that the server runs" in (await shell.run("watch", code=1)).stderr

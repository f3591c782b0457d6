"""Lost connections, other servers and newer ones, seen by both clients."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edgesync.client import (
    AccessError,
    ApiError,
    ConnectionLost,
    NotFoundError,
    ServerBusy,
    UnreadableAnswer,
    WatchHooks,
)
from edgesync.client.contexts import VARIABLE, Context, Contexts, write_contexts
from edgesync.client.steps import NO_RETRIES
from tests.broker.authority import HubAuthority
from tests.client.conftest import QUICK, ClientUser
from tests.rest.conftest import TOKEN, World
from tests.serving import serving

GUARD = {"maxShare": 0.5, "minNodes": 3}


@asynccontextmanager
async def raw_server(replies: Sequence[bytes]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that reads a request, sends the next of *replies* and hangs up; what it read."""
    left, seen = list(replies), list[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).partition(b" ")[0])
        writer.write(left.pop(0))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen


def reply(status: int, content: object) -> bytes:
    """A response of HTTP/1.1."""
    body = json.dumps(content).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


async def test_a_lost_connection_is_made_again(kind_of_client: Any) -> None:
    async with raw_server([b"", b"HTTP/1.1 200", reply(200, GUARD)]) as (url, seen):
        user = ClientUser(kind_of_client(url, token=TOKEN, retries=QUICK))
        assert (await user.do(lambda c: c.guard.get())).min_nodes == 3
        assert seen == [b"GET"] * 3
        await user.close()


async def test_a_creation_is_not_repeated_after_a_loss(kind_of_client: Any) -> None:
    async with raw_server([b""]) as (url, seen):
        user = ClientUser(kind_of_client(url, token=TOKEN, retries=QUICK))
        with pytest.raises(ConnectionLost) as lost:
            await user.do(lambda c: c.nodes.create("n1", {}))
        assert lost.value.was_sent
        assert seen == [b"POST"]
        await user.close()


async def test_a_deletion_whose_answer_was_lost_succeeds(kind_of_client: Any) -> None:
    missing = reply(404, {"code": "ResourceNotFound", "message": "gone"})
    async with raw_server([b"", missing, missing]) as (url, _):
        user = ClientUser(kind_of_client(url, token=TOKEN, retries=QUICK))
        await user.do(lambda c: c.nodes.delete("n1"))
        with pytest.raises(NotFoundError):
            await user.do(lambda c: c.nodes.delete("n1"))
        await user.close()


async def test_a_busy_server_is_asked_again(kind_of_client: Any) -> None:
    busy = {"code": "TooManyRequests", "message": "slowly", "request-id": "r7"}
    replies = [reply(429, busy), reply(503, busy), reply(200, GUARD), *[reply(503, busy)] * 5]
    async with raw_server(replies) as (url, seen):
        user = ClientUser(kind_of_client(url, token=TOKEN, retries=QUICK))
        assert (await user.do(lambda c: c.guard.get())).min_nodes == 3
        with pytest.raises(ServerBusy) as refused:
            await user.do(lambda c: c.guard.get())
        assert (len(seen), refused.value.request_id) == (8, "r7")
        await user.close()


async def test_no_server_is_an_error_with_its_address(kind_of_client: Any) -> None:
    user = ClientUser(kind_of_client("http://127.0.0.1:9", retries=NO_RETRIES))
    with pytest.raises(ConnectionLost, match=r"127\.0\.0\.1:9") as lost:
        await user.do(lambda c: c.overview())
    assert not lost.value.was_sent
    await user.close()


async def test_what_a_newer_server_adds_is_left_out(kind_of_client: Any) -> None:
    newer = {**GUARD, "added": {"later": True}}
    node: dict[str, Any] = {"name": "n1", "namespace": "default", "description": "", "ready": False}
    node |= {"createTime": "2026-01-02T03:04:05Z", "labels": {"a": "b"}, "annotations": {}}
    state: dict[str, Any] = {
        "name": "never",
        "reason": "",
        "since": "",
        "lastReport": None,
        "lastStats": None,
    }
    state |= {"interval": None, "connected": None, "revoked": False, "mood": "added later"}
    page = {"total": 1, "listOptions": None, "items": [{**node, "state": state, "new": 1}]}
    async with raw_server([reply(200, newer), reply(200, page)]) as (url, _):
        user = ClientUser(kind_of_client(url, retries=NO_RETRIES))
        assert (await user.do(lambda c: c.guard.get())).min_nodes == 3
        (found,) = await user.do(lambda c: c.nodes.list())
        assert (found.state.name, found.labels) == ("never", {"a": "b"})
        await user.close()


async def test_what_is_no_answer_of_the_api_is_named(kind_of_client: Any) -> None:
    replies = [reply(200, {"maxShare": 1}), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"]
    proxy = b"HTTP/1.1 502 X\r\nContent-Length: 9\r\n\r\nno\nproxy\n"
    async with raw_server([*replies, proxy]) as (url, _):
        user = ClientUser(kind_of_client(url, retries=NO_RETRIES))
        with pytest.raises(UnreadableAnswer, match="minNodes"):
            await user.do(lambda c: c.guard.get())
        with pytest.raises(UnreadableAnswer, match="not JSON"):
            await user.do(lambda c: c.guard.get())
        with pytest.raises(ApiError, match="502: no"):
            await user.do(lambda c: c.guard.get())
        await user.close()


async def test_a_watch_goes_on_where_it_was_lost(kind_of_client: Any) -> None:
    asked: list[str | None] = []

    async def stream(request: Request) -> Response:
        asked.append(request.headers.get("last-event-id"))
        number = len(asked)
        if number == 2:
            return Response(status_code=503)
        text = f"id: {number}\nevent: t\ndata: {json.dumps(event(number))}\n\nid: {number}9\n\n"
        gap = 'id: 5\nevent: gap\ndata: {"after": "1", "from": "5"}\n\n' if number == 3 else ""
        return Response(gap + text, media_type="text/event-stream")

    pauses, gaps = list[float](), list[None]()
    hooks = WatchHooks(on_lost=pauses.append, on_gap=lambda: gaps.append(None))
    async with serving(Starlette(routes=[Route("/v1/events", stream)])) as url:
        user = ClientUser(kind_of_client(url, token=TOKEN, retries=QUICK))
        watched = await user.do(lambda c: c.watch(hooks=hooks), first=2)
        await user.close()
    assert [one.id for one in watched] == ["1", "3"]
    assert asked == [None, "19", "19"]
    assert (len(pauses), gaps) == (2, [None])


async def test_a_watch_that_is_refused_ends(kind_of_client: Any) -> None:
    async def refuse(_: Request) -> Response:
        return JSONResponse({"code": "AccessDenied", "message": "no"}, status_code=403)

    async with serving(Starlette(routes=[Route("/v1/events", refuse)])) as url:
        user = ClientUser(kind_of_client(url, token=TOKEN, retries=QUICK))
        with pytest.raises(ApiError, match="no"):
            await user.do(lambda c: c.watch(), first=1)
        await user.close()


async def test_a_context_of_the_command_line_is_used(
    world: World, kind_of_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "contexts.yaml"
    monkeypatch.setenv(VARIABLE, str(file))
    here = Context(world.url, token=TOKEN, namespace="other")
    write_contexts(Contexts("here", {"here": here}), file)
    user = ClientUser(kind_of_client.from_context(retries=NO_RETRIES))
    assert (user.client.url, user.client.namespace) == (world.url, "other")
    assert await user.do(lambda c: c.nodes.count()) == 0
    await user.close()
    monkeypatch.setenv("EDGESYNC_TOKEN", "wrong")
    user = ClientUser(kind_of_client.from_context("here", retries=NO_RETRIES))
    with pytest.raises(ApiError, match="does not accept the token of EDGESYNC_TOKEN"):
        await user.do(lambda c: c.overview())
    await user.close()
    with pytest.raises(AccessError, match="there"):
        kind_of_client.from_context("there")


async def test_a_server_is_trusted_by_its_ca_certificate(
    kind_of_client: Any, tmp_path: Path
) -> None:
    async def guard(request: Request) -> Response:
        return JSONResponse(GUARD if request.headers["authorization"] else None)

    authority = HubAuthority(tmp_path)
    context = authority.server_context()
    context.verify_mode = ssl.CERT_NONE
    async with serving(Starlette(routes=[Route("/v1/guard", guard)]), context) as url:
        user = ClientUser(kind_of_client(url, token=TOKEN, ca=authority.root_file))
        assert (await user.do(lambda c: c.guard.get())).min_nodes == 3
        await user.close()
        stranger = ClientUser(kind_of_client(url, token=TOKEN, retries=NO_RETRIES))
        with pytest.raises(ConnectionLost, match=r"(?i)certificate") as lost:
            await stranger.do(lambda c: c.guard.get())
        assert not lost.value.was_sent
        await stranger.close()


def test_a_token_is_sent_to_other_machines_over_tls_only(kind_of_client: Any) -> None:
    with pytest.raises(AccessError, match="https"):
        kind_of_client("http://cloud.example.com", token=TOKEN)
    with pytest.raises(AccessError, match="not an http"):
        kind_of_client("cloud.example.com")
    with pytest.raises(AccessError, match="not a certificate"):
        kind_of_client("https://cloud.example.com", token=TOKEN, ca=__file__)


def event(number: int) -> dict[str, Any]:
    """An event, as the API sends it."""
    time = "2026-01-02T03:04:05Z"
    return {
        "id": str(number),
        "time": time,
        "type": "node.lost",
        "namespace": "default",
        "subject": {"kind": "node", "name": "n1"},
        "actor": None,
        "message": "",
        "data": {},
        "count": 1,
        "firstTime": time,
    }

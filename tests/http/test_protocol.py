"""Large answers over real sockets: whole for who reads, refused where too much is held."""

import asyncio
import contextlib
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from cloud.http.connection_limits import MIB, ConnectionLimits
from cloud.http.metrics import LimitRefusals
from cloud.http.port import ListeningPort
from cloud.listening import listen, web_server
from tests.broker.authority import HubAuthority
from tests.deadlines import UNIT
from tests.serving import serving

LARGE = hashlib.shake_256(b"large").digest(5 * MIB + 17)


async def whole(_: Request) -> Response:
    return Response(LARGE)


async def streamed(_: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(LARGE), 700_000):
            yield LARGE[at : at + 700_000]

    return StreamingResponse(pieces())


async def echo(request: Request) -> Response:
    return Response(await request.body())


APP = Starlette(
    routes=[
        Route("/whole", whole, methods=["GET", "HEAD"]),
        Route("/streamed", streamed),
        Route("/echo", echo, methods=["POST"]),
    ]
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> HubAuthority:
    return HubAuthority(tmp_path_factory.mktemp("authority"))


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "TLS"])
async def test_large_answers_and_requests_arrive_whole(
    authority: HubAuthority,
    is_secure: bool,  # noqa: FBT001
) -> None:
    server = authority.server_context() if is_secure else None
    if server is not None:
        server.verify_mode = ssl.CERT_NONE
    client = authority.client_context(None) if is_secure else ssl.create_default_context()
    async with (
        serving(APP, server) as url,
        httpx.AsyncClient(verify=client, base_url=url, timeout=20 * UNIT) as http,
    ):
        for path in ("/whole", "/streamed", "/whole"):
            assert (await http.get(path)).content == LARGE
        head = await http.head("/whole")
        assert (head.headers["content-length"], head.content) == (str(len(LARGE)), b"")
        assert (await http.post("/echo", content=LARGE)).content == LARGE

        async def chunks() -> AsyncIterator[bytes]:
            for at in range(0, len(LARGE), 99_999):
                yield LARGE[at : at + 99_999]

        assert (await http.post("/echo", content=chunks())).content == LARGE


async def test_a_small_answer_is_one_record(authority: HubAuthority) -> None:
    """Head and body are written at once; `recv` returns no more than one record of TLS."""
    server = authority.server_context()
    server.verify_mode = ssl.CERT_NONE
    client = authority.client_context(None)
    async with serving(APP, server) as url:
        port = httpx.URL(url).port

        def ask() -> list[bytes]:
            with (
                socket.create_connection(("127.0.0.1", port), timeout=20 * UNIT) as plain,
                client.wrap_socket(plain, server_hostname="localhost") as asking,
            ):
                answers = []
                for head in (
                    b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nsmall",
                    b"HEAD /whole HTTP/1.1\r\nhost: x\r\n\r\n",
                    b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n",
                ):
                    asking.sendall(head)
                    answers.append(asking.recv(65536))
                return answers

        echoed, head, nothing = await asyncio.to_thread(ask)
    assert echoed.startswith(b"HTTP/1.1 200 OK\r\n")
    assert echoed.endswith(b"\r\n\r\nsmall")
    assert head.endswith(b"\r\n\r\n")
    assert nothing.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert nothing.endswith(b"\r\n\r\nNot Found")


@contextlib.asynccontextmanager
async def served(limits: ConnectionLimits, counted: LimitRefusals) -> AsyncIterator[str]:
    """The application on a port with these limits."""
    with listen("127.0.0.1", 0, "port") as listener:
        port = ListeningPort("api", limits, counted=counted, new_id=lambda: "id")
        server = web_server(APP, None, port)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]))
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True


async def test_what_would_be_held_beyond_the_limit_is_503_and_others_go_on() -> None:
    counted = LimitRefusals()
    async with (
        served(ConnectionLimits(held_bytes=8 * MIB, answer_seconds=1), counted) as url,
        httpx.AsyncClient(base_url=url, timeout=20 * UNIT) as http,
    ):
        with _unread(url):
            answer = await _until(http, "/whole", 503)
            assert answer.json()["code"] == "ServiceUnavailable"
            assert answer.json()["request-id"] == "id"
            too_much = await http.post("/echo", content=LARGE)
            assert too_much.status_code == 503
            assert (await http.post("/echo", content=b"small")).content == b"small"
            # Who does not read is cut off, and there is room again.
            assert (await _until(http, "/whole", 200)).content == LARGE
    assert counted.counts()["api_held_bytes"] >= 2
    assert counted.counts()["api_answer_seconds"] == 1


async def _until(http: httpx.AsyncClient, path: str, status: int) -> httpx.Response:
    async with asyncio.timeout(20 * UNIT):
        while True:
            answer = await http.get(path)
            if answer.status_code == status:
                return answer


@contextlib.contextmanager
def _unread(url: str) -> Iterator[None]:
    """A client that asks for a large answer and does not read it."""
    host, _, port = url.partition("//")[2].partition(":")
    with socket.socket() as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        asking.connect((host, int(port)))
        asking.sendall(b"GET /whole HTTP/1.1\r\nHost: x\r\n\r\n")
        yield

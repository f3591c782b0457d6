"""Callers without the token, broken requests, strange paths."""

import asyncio
import logging
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cloud.errors import Conflict, Unavailable
from cloud.http.app import http_app
from cloud.http.requests import BODY_LIMIT
from tests.rest.conftest import NODE, ApiCaller, World, caller
from tests.serving import serving


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer wrong",
        "Basic YWRtaW46YWRtaW4=",
        "Bearer a token for tests but longer",
        "Bearer \xe4",
    ],
)
async def test_no_request_is_admitted_without_the_token(world: World, authorization: str) -> None:
    headers = {b"Authorization": authorization.encode("latin-1")} if authorization else {}
    async with caller(world.url) as stranger:
        for path in ("/v1/nodes", "/v1/nothing", "/v1", "/v1/nodes/%2e%2e"):
            for method in ("GET", "POST", "DELETE"):
                response = await stranger.request(method, path, headers=headers)
                assert response.status_code == 401
                assert response.json()["code"] == "RequestAccessDenied"
                assert response.headers["www-authenticate"] == "Bearer"


UNKNOWN = [
    ("GET", "/nothing"),
    ("GET", "/v1"),
    ("GET", "/v2/nodes"),
    ("GET", "/v1/nothing"),
    ("GET", "/v1/nodes/"),
    ("GET", "/v1/nodes/n1/"),
    ("GET", "//v1/nodes"),
    ("GET", "/v1//nodes"),
    ("GET", "/v1/nodes//stats"),
    ("GET", "/v1/nodes/a%2Fb"),
    ("PATCH", "/v1/apps"),
    ("PUT", "/v1/nodes"),
    ("POST", "/v1/nodes/n1"),
    ("TRACE", "/v1/nodes"),
    ("GET", "/v1/register/b/generate"),
    ("GET", "/v1/nodes/n1/start"),
    ("POST", "/health"),
]


async def test_an_unknown_path_or_method_is_a_404_in_the_shape_of_all_errors(
    client: ApiCaller,
) -> None:
    for method, path in UNKNOWN:
        await client.refused(method, path, status=404, code="RequestMethodNotFound")


STRANGE = ["%00", "%FF", "..%2e", "n1%0D%0AX-Evil:%201", "%E4%BD%A0", "'%20OR%201=1--", "a" * 3000]


async def test_a_strange_name_is_just_not_found(client: ApiCaller) -> None:
    for path in STRANGE:
        await client.refused("GET", f"/v1/nodes/{path}", status=404, code="ResourceNotFound")


NO_OBJECTS = [
    b"",
    b"{",
    b"nonsense",
    b"[]",
    b'"text"',
    b"null",
    b'{"name": NaN}',
    b'{"name": 1e999}',
    b'{"name": "\xff"}',
    b'{"name": "\\ud800"}',
    b'{"labels": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b"[" * 1_000_000,
    b'{"name": ' + b"9" * 5000 + b"}",
    b"\xef\xbb\xbf{}",
    "{}".encode("utf-16"),
]


async def test_a_body_that_is_no_json_object_is_refused(client: ApiCaller) -> None:
    for body in NO_OBJECTS:
        for method, path in (("POST", "/v1/nodes"), ("PUT", "/v1/nodes/n1")):
            await client.refused(method, path, body, status=400, code="RequestParamInvalid")


async def test_a_body_that_is_too_large_is_refused_with_and_without_a_length(
    client: ApiCaller,
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(BODY_LIMIT // 65536 + 1):
            yield b" " * 65536

    for content in (b" " * (BODY_LIMIT + 1), chunks()):
        response = await client.http.post("/v1/nodes", content=content)
        assert response.status_code == 413
        assert response.json()["code"] == "RequestTooLarge"
    await client.call("POST", "/v1/nodes", NODE)


async def test_a_caller_who_goes_away_does_no_harm(world: World) -> None:
    address = urlsplit(world.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    head = "POST /v1/nodes HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
    token = world.client.http.headers["authorization"]
    writer.write(f'{head}Authorization: {token}\r\n\r\n{{"name":'.encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await world.client.call("GET", "/v1/nodes"))["total"] == 0


async def test_head_answers_like_get_without_a_body(client: ApiCaller) -> None:
    for path, status in (("/v1/nodes", 200), ("/health", 200), ("/v1/nodes/missing", 404)):
        response = await client.send("HEAD", path)
        assert (response.status_code, response.content) == (status, b"")


async def test_the_health_of_the_server_needs_no_token(world: World) -> None:
    async with caller(world.url) as stranger:
        assert (await stranger.get("/health")).json() == {"success": True}
        assert (await stranger.get("/livez")).json() == {"success": True}
        assert (await stranger.get("/version")).json() == {"version": "1.2.3"}


async def test_readiness_names_the_check_that_fails(world: World) -> None:
    async def well() -> None:
        pass

    async def ill() -> None:
        raise OSError("details for the log")

    async with caller(world.url) as stranger:
        world.checks["database"] = well
        response = await stranger.get("/readyz")
        assert (response.status_code, response.json()) == (
            200,
            {"success": True, "checks": {"database": "ok"}},
        )
        world.checks["hub"] = ill
        response = await stranger.get("/readyz")
        assert (response.status_code, response.json()) == (
            503,
            {"success": False, "checks": {"database": "ok", "hub": "failed"}},
        )
        assert "details" not in response.text


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ValueError("a detail"), 500, "UnknownError"),
        (Unavailable("a detail"), 503, "ServiceUnavailable"),
        (Conflict("node", "n1"), 409, "ResourceConflict"),
    ],
)
async def test_an_internal_error_is_logged_and_not_disclosed(
    caplog: pytest.LogCaptureFixture, error: Exception, status: int, code: str
) -> None:
    async def fail(_: Request) -> Response:
        raise error

    app = http_app([Route("/", fail)], new_id=lambda: "an-id")
    with caplog.at_level(logging.WARNING):
        async with serving(app) as url, caller(url) as client:
            response = await client.get("/")
    assert response.status_code == status
    assert response.json()["code"] == code
    assert response.json()["request-id"] == "an-id"
    assert "a detail" not in response.text
    logged = [record for record in caplog.records if record.name == "cloud.http.app"]
    assert bool(logged) is (status >= 500)
    assert all(record.exc_info for record in logged)


async def test_a_refusal_is_logged_without_its_query(
    client: ApiCaller, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "cloud.http.app"):
        await client.send("GET", "/v1/nodes/missing/explain?app=hidden")
        await client.send("GET", "/v1/nodes")
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert line == "GET '/v1/nodes/missing/explain' answered 404"


@pytest.mark.parametrize(
    ("method", "path", "parameter"),
    [
        ("GET", "/v1/nodes", "limit"),
        ("GET", "/v1/nodes", "selector"),
        ("GET", "/v1/register", "pageNo"),
        ("GET", "/v1/register", "name"),
        ("POST", "/v1/apps", "from"),
    ],
)
async def test_an_ambiguous_query_is_refused(
    client: ApiCaller, method: str, path: str, parameter: str
) -> None:
    query = f"{path}?{parameter}=1&{parameter}=2"
    message = await client.refused(method, query, {}, status=400, code="RequestParamInvalid")
    assert f"({parameter}: " in message

"""A provider that misbehaves: wrong metadata, endless responses, and none at all."""

import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import pytest

from cloud.core.identity_providers import IdentityProvider
from cloud.errors import Denied, Unavailable
from cloud.rest.sign_in.provider_client import (
    KEYS_AGAIN_SECONDS,
    REQUESTS_LIMIT,
    ProviderClient,
)

KEY = {"kty": "EC", "crv": "P-256", "kid": "one"}
KEY |= {"x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"}
KEY |= {"y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}


@dataclass
class Provider:
    """Answers each path with a body, or with what never ends; counts who waits."""

    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    waiting: int = 0
    url: str = ""
    now: float = 0.0

    @property
    def metadata(self) -> dict[str, str]:
        ends = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        return {"issuer": self.url, **{name: f"{self.url}/{name}" for name in ends}}

    def serve(self, content: Mapping[str, object]) -> None:
        self.put("/.well-known/openid-configuration", content)

    def put(self, path: str, content: object, status: int = 200) -> None:
        self.answers[path] = status, json.dumps(content).encode()

    def client(self) -> ProviderClient:
        own = IdentityProvider(name="company", issuer=self.url, client_id="edgesync", access=())
        return ProviderClient(own, "", ssl.create_default_context(), lambda: self.now)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with (
            contextlib.closing(writer),
            contextlib.suppress(ConnectionError, asyncio.IncompleteReadError),
        ):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split()[1]
            length = re.search(r"content-length: (\d+)", head.lower())
            await reader.readexactly(int(length[1]) if length else 0)
            self.asked.append(path)
            if path not in self.answers:
                self.waiting += 1
                await reader.read()
                return
            status, body = self.answers[path]
            writer.write(f"HTTP/1.1 {status} X\r\nConnection: close\r\n\r\n".encode() + body)
            while body == b"endless":
                writer.write(b"x" * 65536)
                await writer.drain()
            await writer.drain()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    own = Provider()
    async with await asyncio.start_server(own.answer, "127.0.0.1", 0) as server:
        own.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        own.serve(own.metadata)
        own.put("/jwks_uri", {"keys": [KEY]})
        yield own
        server.close()


async def test_metadata_and_keys_are_asked_for_once_an_hour(provider: Provider) -> None:
    client = provider.client()
    for _ in range(3):
        assert [key.kid for key in await client.keys()] == ["one"]
    assert len(provider.asked) == 2
    provider.now += 3600
    await client.keys()
    assert len(provider.asked) == 4


async def test_newer_keys_are_asked_for_once_a_minute(provider: Provider) -> None:
    client = provider.client()
    await client.keys()
    assert await client.newer_keys() is None
    provider.now += KEYS_AGAIN_SECONDS
    provider.put("/jwks_uri", {"keys": [{**KEY, "kid": "two"}]})
    newer = await client.newer_keys()
    assert newer is not None
    assert [key.kid for key in newer] == ["two"]
    assert await client.newer_keys() is None


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://id.attacker.example"},
        {"token_endpoint": "http://id.example.com/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": 7},
    ],
)
async def test_metadata_of_another_or_without_encryption_are_not_used(
    provider: Provider, changed: dict[str, object]
) -> None:
    provider.serve({**provider.metadata, **changed})
    with pytest.raises(Unavailable):
        await provider.client().metadata()


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"endless"), (200, b"[]"), (200, b"\xff"), (500, b"{}"), (302, b"")],
)
async def test_a_response_that_is_none_is_given_up(
    provider: Provider, status: int, body: bytes
) -> None:
    provider.answers["/jwks_uri"] = status, body
    with pytest.raises(Unavailable):
        await provider.client().keys()


@pytest.mark.parametrize(
    "keys", [[], [{"kty": "oct", "k": "c2VjcmV0", "kid": "one"}], [{**KEY, "use": "enc"}]]
)
async def test_keys_that_sign_nothing_are_none(
    provider: Provider, keys: list[dict[str, str]]
) -> None:
    provider.put("/jwks_uri", {"keys": keys})
    with pytest.raises(Unavailable):
        await provider.client().keys()


async def test_a_code_that_is_refused_names_the_error(provider: Provider) -> None:
    client = provider.client()
    provider.put("/token_endpoint", {"error": "invalid_grant"}, 400)
    with pytest.raises(Denied, match="invalid_grant"):
        await client.id_token_for("code", "verifier", "back")
    provider.put("/token_endpoint", {"access_token": "x"})
    with pytest.raises(Unavailable) as caught:
        await client.id_token_for("code", "verifier", "back")
    assert "without an ID token" in caught.value.reason


async def test_so_many_requests_wait_and_no_more(provider: Provider) -> None:
    client = provider.client()
    await client.metadata()
    asking = [
        asyncio.create_task(client.id_token_for("code", "verifier", "back"))
        for _ in range(REQUESTS_LIMIT)
    ]
    while provider.waiting < REQUESTS_LIMIT:
        assert not any(task.done() for task in asking)
        await asyncio.sleep(0)
    with pytest.raises(Unavailable) as caught:
        await client.id_token_for("code", "verifier", "back")
    assert "wait for a response" in caught.value.reason
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    provider.put("/token_endpoint", {"id_token": "a.b.c"})
    assert await client.id_token_for("code", "verifier", "back") == "a.b.c"

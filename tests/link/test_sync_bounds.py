"""What nodes can make the HTTPS link hold: bodies, answers, and what they are decoded to."""

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from broker.node_budgets import NodeBudgets
from cloud.core.app import AppSpec, Ref, Service, Volume
from cloud.core.config import ConfigItem, ConfigSpec, KeyValue
from cloud.core.rate import Rate
from cloud.http.refusals import RefusalLog
from cloud.link.exchange import Exchange
from cloud.link.sync import sync_app
from cloud.operations.apps import create_app
from cloud.operations.configs import create_config
from cloud.store.transaction import Store, Transaction
from tests.broker.authority import HubAuthority
from tests.deadlines import UNIT
from tests.link.conftest import NODE, NOW, ServerLink, admit, describe
from tests.link.test_node_budgets import GatedStore
from tests.serving import serving

MIB = 1024 * 1024
REPORT = "/v1/sync/report"
DESIRE = "/v1/sync/desire"
NAMES = ("large-0", "large-1")

Open = Callable[..., contextlib.AbstractAsyncContextManager[ServerLink]]


@pytest.fixture
async def opened(authority: HubAuthority, store: Store) -> Open:
    await store.write(describe)
    await store.write(lambda tx: admit(tx, authority))

    @contextlib.asynccontextmanager
    async def open_link(
        exchange: Exchange | None = None, **limits: Any
    ) -> AsyncIterator[ServerLink]:
        exchange = exchange or Exchange(store, lambda: NOW)
        refusals = RefusalLog(store, lambda: 0.0, rate=Rate(2, 1))
        app = sync_app(exchange, new_id=lambda: "id", refusals=refusals, **limits)
        async with serving(app, authority.server_context()) as url:
            yield ServerLink(url, authority, exchange, store)

    return open_link


def counted(link: ServerLink, bound: str) -> float | None:
    registry = link.exchange.measures.metrics.registry
    return registry.get_sample_value("edgesync_limits_refusals_total", {"bound": bound})


async def test_bodies_that_are_not_stored_are_bounded_in_all(store: Store, opened: Open) -> None:
    gated = GatedStore(store)
    body = {"apps": [], "node": {"x": "x" * 30_000}}
    exchange = Exchange(gated, lambda: NOW)
    async with opened(exchange, bodies_limit=50_000) as link, link.client() as first:
        waiting = asyncio.create_task(first.post(REPORT, json=body))
        async with asyncio.timeout(20 * UNIT):
            await gated.blocked.wait()
        refused = await link.post(REPORT, body)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert counted(link, "unstored_bodies") == 1
        gated.go.set()
        assert (await waiting).status_code == 200
        assert (await link.post(REPORT, body)).status_code == 200


def describe_large(tx: Transaction) -> None:
    """An app that mounts 6 MiB of configs: more than the kernel takes of one answer."""
    for name in NAMES:
        config = ConfigSpec(data=(ConfigItem("a", KeyValue("x" * 3 * MIB)),))
        create_config(tx, "default", name, config, now=NOW)
    spec = AppSpec(
        selector="role=gateway",
        services=(Service("large", image="nginx:1"),),
        volumes=tuple(Volume(name, config=Ref(name)) for name in NAMES),
    )
    create_app(tx, "default", "large", spec, now=NOW)


def infos() -> dict[str, Any]:
    return {"infos": [{"kind": "config", "name": name, "version": "1"} for name in NAMES]}


@contextlib.asynccontextmanager
async def reading_one_line(link: ServerLink) -> AsyncIterator[None]:
    """A node that asks for large bodies, and reads no more than the first line of the answer."""
    url = httpx.URL(link.url)
    context: ssl.SSLContext = link.authority.client_context(NODE)
    with socket.socket() as connecting:
        connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connecting.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connecting, (url.host, url.port))
        # Of what is not read, the reader takes twice the limit.
        reader, writer = await asyncio.open_connection(
            sock=connecting, ssl=context, server_hostname=url.host, limit=1024
        )
        body = json.dumps(infos()).encode()
        head = f"POST {DESIRE} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            writer.write(head.encode() + body)
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            yield
        finally:
            writer.transport.abort()


async def test_answers_that_are_not_read_are_bounded_in_all(store: Store, opened: Open) -> None:
    await store.write(describe_large)
    async with opened(answers_limit=10 * MIB) as link:
        async with asyncio.timeout(20 * UNIT), reading_one_line(link):
            assert (await link.post(DESIRE, infos())).status_code == 429
            assert counted(link, "unread_answers") == 1
            # Who asks for little is answered meanwhile.
            assert (await link.post(REPORT, {"apps": []})).status_code == 200
        async with asyncio.timeout(20 * UNIT):
            while (await link.post(DESIRE, infos())).status_code != 200:
                pass


async def test_requests_at_the_same_time_share_the_budget_of_their_node(opened: Open) -> None:
    budgets = NodeBudgets(0, 10_000, timer=lambda: 0.0)
    begun, go = asyncio.Semaphore(0), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b'{"node":{"x":"'
        begun.release()
        await go.wait()
        yield b"x" * 50_000 + b'"}}'

    async with opened(budgets=budgets) as link, link.client() as one, link.client() as other:
        tasks = [
            asyncio.create_task(client.post(REPORT, content=body())) for client in (one, other)
        ]
        async with asyncio.timeout(20 * UNIT):
            for _ in tasks:
                await begun.acquire()
        go.set()
        assert sorted([(await task).status_code for task in tasks]) == [200, 429]
        assert counted(link, "node_budget") == 1


async def test_a_body_of_very_many_values_is_refused(opened: Open) -> None:
    body = b'{"node":{"x":[' + b",".join([b"[]"] * 300_000) + b"]}}"
    async with opened() as link, link.client() as client:
        answer = await client.post(REPORT, content=body)
    assert answer.status_code == 400
    assert "more than 100000 values" in answer.json()["message"]

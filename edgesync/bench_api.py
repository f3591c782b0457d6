"""How long calls of the API take with many nodes, beside how fast the store reads and writes rows.

The calls go through the real API in this process, without a network between; the store is on disk
(WAL, synchronous=FULL). The raw rates are those of nodes got and put by key, in the same run.
"""

import asyncio
import hashlib
import itertools
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
import httpx
import uvloop

from cloud.core.node import Node, NodeSpec
from cloud.core.report import Order, read_report
from cloud.rest.app import rest_app
from cloud.store.interface import Store, Transaction
from cloud.store.sealing import load_or_create_sealer
from cloud.store.sqlite import open_sqlite_store
from cloud.store.witness import load_or_create_witness

MAX_NODES = 1_000_000
_NAMESPACE = "default"
_TOKEN = "the token of the benchmark"  # noqa: S105
_GROUP = 1000
_APP = {
    "type": "container",
    "selector": "fleet=bench",
    "services": [{"name": "main", "image": "image", "replica": 1}],
}

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Result:
    """What one kind of call took, in milliseconds."""

    name: str
    count: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Rates:
    """Nodes a second, by key, in transactions of a thousand."""

    put: float
    got: float


async def fill(store: Store, nodes: int) -> Rates:
    """Put all nodes, then get some of them back."""
    now = datetime.now(UTC)

    def put(tx: Transaction, start: int) -> None:
        for number in range(start, min(start + _GROUP, nodes)):
            own = {"fleet": "bench", "site": f"s{number % 100}", "rack": str(number % 16)}
            tx.put_node(Node(_NAMESPACE, f"n{number}", NodeSpec(labels=own), now, now))

    def get(tx: Transaction) -> int:
        return sum(
            tx.node(_NAMESPACE, f"n{number}") is not None for number in range(min(nodes, 20_000))
        )

    began = time.perf_counter()
    for start in range(0, nodes, _GROUP):
        await store.write(lambda tx, start=start: put(tx, start))  # type: ignore[misc]
    put_seconds = time.perf_counter() - began
    began = time.perf_counter()
    count = await store.read(get)
    return Rates(nodes / put_seconds, count / (time.perf_counter() - began))


async def timed(name: str, count: int, call: Call) -> Result:
    """Call again and again, one after the other."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        await call()
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return Result(
        name, count, took[len(took) // 2], took[min(len(took) - 1, len(took) * 99 // 100)]
    )


async def measure(directory: Path, nodes: int) -> tuple[Rates, list[Result]]:
    """Fill a store and make the calls."""
    sealer = load_or_create_sealer(directory / "secrets.key")
    numbers = itertools.count()
    witness = load_or_create_witness(directory)
    async with open_sqlite_store(
        directory / "edgesync.db", sealer=sealer, witness=witness
    ) as store:
        rates = await fill(store, nodes)
        report = read_report({"apps": [], "node": {"n": {"hostname": "n"}}}, Order())
        await store.write(
            lambda tx: tx.put_report(_NAMESPACE, "n0", report, "json", datetime.now(UTC))
        )
        app = rest_app(
            store,
            clock=lambda: datetime.now(UTC),
            new_id=lambda: f"id{next(numbers)}",
            admin_token_digest=hashlib.sha256(_TOKEN.encode()).digest(),
            default_namespace=_NAMESPACE,
            on_revoked=lambda _node: None,
            wake_callbacks=lambda: None,
            checks={},
            version="",
            new_token=lambda: "",
            install_command=lambda token: token,
            function_runtimes={},
            list_key=sealer.list_key,
        )
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://bench",
            headers={"Authorization": f"Bearer {_TOKEN}"},
            timeout=None,  # noqa: S113
        ) as client:
            return rates, await _calls(client, store)


async def _calls(client: httpx.AsyncClient, store: Store) -> list[Result]:
    async def get(path: str) -> None:
        (await client.get(path)).raise_for_status()

    async def put() -> None:
        body = {**_APP, "description": str(time.perf_counter_ns())}
        (await client.put("/v1/apps/bench", json=body)).raise_for_status()

    async def taken() -> None:
        while await store.write(lambda tx: tx.take_stale(_GROUP * 10)):
            pass

    async def put_and_take() -> Result:
        result = await timed("put an app for all nodes", 1, put)
        await taken()
        return result

    body = {**_APP, "name": "bench", "selector": ""}
    (await client.post("/v1/apps", json=body)).raise_for_status()
    results = [
        await timed("get a node", 500, lambda: get("/v1/nodes/n0")),
        await timed("stats of a node", 500, lambda: get("/v1/nodes/n0/stats")),
    ]
    for selector in ("site=s7", "fleet=bench", "site in (s1,s2),rack>3", "rack!=3"):
        path = f"/v1/nodes?limit=100&selector={selector.replace('>', '%3E')}"
        results.append(await timed(f"list 100, {selector}", 100, lambda: get(path)))  # noqa: B023
    puts = sorted([(await put_and_take()).p50_ms for _ in range(5)])
    results.append(Result("put an app for all nodes", len(puts), puts[2], puts[-1]))
    return results


@click.command()
@click.option("--nodes", type=click.IntRange(1, MAX_NODES), default=100_000, show_default=True)
def command(nodes: int) -> None:
    """Measure calls of the API with many nodes."""
    with tempfile.TemporaryDirectory(prefix="edgesync-bench-") as name:
        click.echo(f"{nodes} nodes ...", err=True)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            rates, results = runner.run(measure(Path(name), nodes))
    click.echo(f"the store alone: {rates.put:.0f} nodes/s put, {rates.got:.0f} nodes/s got")
    click.echo(f"{'':36} {'calls':>6} {'p50 ms':>8} {'p99 ms':>8}")
    for r in results:
        click.echo(f"{r.name:36} {r.count:6} {r.p50_ms:8.1f} {r.p99_ms:8.1f}")

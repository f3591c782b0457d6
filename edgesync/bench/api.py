"""How long calls of the API take with many nodes, each beside what the store alone takes.

The calls go through the real API in this process, without a network between; the store is on disk
(WAL, synchronous=FULL). Beside each call, one after the other in the same run, the store gets by
key the rows that the answer shows, and nothing else: the ratio is what all the rest costs. A list
is measured in three ways: page after page, while no label changes; with a node labelled anew before
each call; and spelt otherwise each time, so that the total is counted and not remembered. For
the overview and a rollout every node reports each of a few apps, every second one but
for the one whose rollout is asked for. Then questions are asked by fields of the nodes' status: of
100 nodes 5 are offline, and of 300 one failed. Then lists are sorted, with the status of each node.
An app for all nodes stands beside the time in which the store puts a row for each node.
The first call of each kind is measured apart: nothing is cached for it yet. At the end a server is
started on the store, and read over connections in parallel.
"""

import asyncio
import itertools
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import httpx
import uvloop

from cloud.core.certificate import NodeCertificate
from cloud.core.node import Node, NodeSpec
from cloud.core.report import Order, read_report
from cloud.jobs.event_feed import EventFeed
from cloud.operations.reports import receive_report
from cloud.rest.app import rest_app
from cloud.store.sealing import load_or_create_sealer
from cloud.store.sqlite import open_sqlite_store
from cloud.store.transaction import Store, Transaction
from cloud.store.witness import load_or_create_witness
from edgesync.bench.api_connections import parallel_reads, store_rates
from edgesync.bench.api_results import ApiResult, Rates, results_as_json, results_as_text
from edgesync.bench.api_services import NAMESPACE, TOKEN, services_of
from edgesync.interpreter import tuned_interpreter

MAX_NODES = 1_000_000
MAX_CALLS = 1000
MAX_SECONDS = 60

SELECTORS = (
    "",
    "site=s7",
    "fleet=bench",
    "fleet=bench,site=s7",
    "site in (s1,s2),rack>3",
    "rack>3",
    "rack!=3",
    "!spare",
    "fleet=bench,rack!=3",
    "fleet=bench,rack>3",
)
"""Shapes of lists: of few nodes and of nearly all, with an index's help and without."""

_GROUP = 1000
_PAGE = 100
_APP = {
    "type": "container",
    "selector": "fleet=bench",
    "services": [{"name": "main", "image": "image", "replica": 1}],
}

_APPS = 5
_INSTANCES = {"i": {"serviceName": "main", "extension": "x" * 300}}
_REPORT: dict[str, Any] = {
    "node": {"hostname": "n", "arch": "amd64", "os": "linux", "machineID": "0" * 32},
    "nodestats": {"capacity": {"cpu": "4", "memory": "8Gi"}},
}
"""2 kB with the app states; nodes use different parts of their processors and memory."""

QUESTIONS = (
    ("status.state=online", ""),
    ("status.state=offline", ""),
    ("status.state!=online", "site=s7"),
    ("status.state=online", "fleet=bench"),
    ("status.deploy=failed", ""),
    ("status.deploy=converged", "fleet=bench,rack>3"),
    ("status.apps.app0=failed", ""),
    ("status.apps.app0=running", ""),
    ("status.apps.app4=pending", "site=s7"),
    ("status.state=offline,status.apps.app0=failed", "fleet=bench"),
    ("status.versions.app0=1", ""),
    ("status.agent=1.3*", ""),
    ("status.certificate.expires<30d", ""),
    ("metadata.name=*999*", ""),
)
"""Fields and labels of lists: of few nodes, of many and of nearly all."""

SORTS = (
    ("-created", "", ""),
    ("-name", "", ""),
    ("state", "", ""),
    ("-lastSeen", "", ""),
    ("-cpu", "", ""),
    ("-memory", "status.state=online", ""),
    ("-cpu", "", "site=s7"),
)
"""Orders of lists of nodes with a line about each, and their fields and labels."""

_INTERVAL = timedelta(hours=1)
"""Time between two reports of a node: none goes offline while the calls are made."""

_AWAY = timedelta(days=1)
_DAYS = 90

Call = Callable[[], Awaitable[object]]


def labels_of(number: int) -> dict[str, str]:
    """Labels of the node of that number: one fleet, 100 sites, 16 racks."""
    return {"fleet": "bench", "site": f"s{number % 100}", "rack": str(number % 16)}


async def fill(store: Store, nodes: int) -> Rates:
    """Put all nodes, then get some of them back."""
    now = datetime.now(UTC)

    def put(tx: Transaction, start: int) -> None:
        for number in range(start, min(start + _GROUP, nodes)):
            spec = NodeSpec(labels=labels_of(number))
            tx.put_node(Node(NAMESPACE, f"n{number}", spec, now, now))

    def get(tx: Transaction) -> int:
        return sum(
            tx.node(NAMESPACE, f"n{number}") is not None for number in range(min(nodes, 20_000))
        )

    began = time.perf_counter()
    for start in range(0, nodes, _GROUP):
        await store.write(lambda tx, start=start: put(tx, start))  # type: ignore[misc]
    put_seconds = time.perf_counter() - began
    began = time.perf_counter()
    count = await store.read(get)
    return Rates(nodes / put_seconds, count / (time.perf_counter() - began))


async def timed(call: Call) -> float:
    """Milliseconds that *call* takes."""
    began = time.perf_counter()
    await call()
    return (time.perf_counter() - began) * 1000


async def beside(
    name: str,
    calls: int,
    call: Call,
    raw: Call,
    *,
    before: Call | None = None,
    first: float | None = None,
) -> ApiResult:
    """Make the *call* and the *raw* one again and again, by turns; *before* each is not timed.

    The *first* call took so many milliseconds; None: it is made here.
    """
    first = await timed(call) if first is None else first
    took, raw_took = [], []
    for _ in range(calls):
        if before is not None:
            await before()
        took.append(await timed(call))
        raw_took.append(await timed(raw))
    percentiles = _part(took, 50), _part(took, 99), _part(raw_took, 50)
    return ApiResult(name, calls, first, *percentiles)


def _part(took: list[float], percent: int) -> float:
    ordered = sorted(took)
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]


@dataclass(frozen=True, slots=True)
class ApiBench:
    """The API of a store that is filled with *nodes*, and the store."""

    client: httpx.AsyncClient
    store: Store
    nodes: int
    rates: Rates
    calls: int

    async def results(self) -> list[ApiResult]:
        """Everything there is to measure."""
        body = {**_APP, "name": "bench", "selector": ""}
        (await self.client.post("/v1/apps", json=body)).raise_for_status()
        results = [
            await beside(
                "get a node",
                self.calls,
                lambda: self._get("/v1/nodes/n0"),
                lambda: self.store.read(lambda tx: tx.node(NAMESPACE, "n0")),
            ),
            await beside(
                "stats of a node",
                self.calls,
                lambda: self._get("/v1/nodes/n0/stats"),
                lambda: self.store.read(lambda tx: tx.report(NAMESPACE, "n0")),
            ),
        ]
        for selector in SELECTORS:
            results += await self._listed(selector)
        results += await self._rolled_out()
        results += [await self._asked(*question) for question in QUESTIONS]
        for sort, fields, selector in SORTS:
            results.append(await self._asked(fields, selector, sort=sort, include="status"))
        results.append(await self._namespaces())
        results.append(await self._failed_nodes())
        results.append(await self._put_app())
        return results

    async def _get(self, path: str, **query: str) -> dict[str, Any]:
        answer = (await self.client.get(path, params=query)).raise_for_status()
        content: dict[str, Any] = answer.json()
        return content

    async def _listed(self, selector: str) -> list[ApiResult]:
        query = {"limit": str(_PAGE), "selector": selector}
        names: list[str] = []
        following = ""
        spaces = (" " * count for count in itertools.count(1))

        async def first_page() -> None:
            answer = await self._get("/v1/nodes", **query)
            names[:] = [item["name"] for item in answer["items"]]

        async def next_page() -> None:
            nonlocal following
            more = {"continue": following} if following else {}
            following = (await self._get("/v1/nodes", **query, **more)).get("continue", "")

        async def new_list() -> None:
            # White space means nothing, and makes it another list.
            await self._get("/v1/nodes", **query | {"selector": selector + next(spaces)})

        async def rows() -> None:
            await self.store.read(lambda tx: [tx.node(NAMESPACE, name) for name in names])

        async def relabel() -> None:
            now = datetime.now(UTC)
            spec = NodeSpec(labels={"changed": str(time.perf_counter_ns())})
            await self.store.write(
                lambda tx: tx.put_node(Node(NAMESPACE, "one-more", spec, now, now))
            )

        first = await timed(first_page)
        name = f"list {_PAGE}, {selector or 'all'}"
        return [
            await beside(name, self.calls, next_page, rows, first=first),
            await beside(f"{name}, labels changed", self.calls, first_page, rows, before=relabel),
            await beside(f"{name}, first time", self.calls, new_list, rows),
        ]

    async def _rolled_out(self) -> list[ApiResult]:
        names = [f"app{number}" for number in range(_APPS)]
        versions: dict[str, str] = {}
        for name in names:
            answer = await self.client.post("/v1/apps", json={**_APP, "name": name})
            versions[name] = answer.raise_for_status().json()["version"]

        def report(tx: Transaction, start: int) -> None:
            for number in range(start, min(start + _GROUP, self.nodes)):
                apps = [
                    {"name": name, "version": versions[name]}
                    for name in names[: _APPS - number % 2]
                ]
                stats = [{**app, "status": "Running", "instances": _INSTANCES} for app in apps]
                if number % 300 == 5:
                    stats[0] |= {"status": "Failed", "cause": f"image not found ({number % 7})"}
                core = {"binVersion": f"1.{3 + number % 3}.0"}
                usage = {"cpu": f"{number % 997 / 250:.3f}", "memory": f"{number % 1009 * 8}Mi"}
                nodestats = {**_REPORT["nodestats"], "usage": usage}
                content = {**_REPORT, "nodestats": nodestats, "core": core, "apps": apps}
                content |= {"appstats": stats}
                now = datetime.now(UTC) - (_AWAY if number % 20 == 5 else timedelta())
                node = f"{NAMESPACE}.n{number}"
                given = read_report(content, Order())
                receive_report(tx, node, given, "json", now=now, interval=_INTERVAL)
                ends = now + timedelta(days=number % _DAYS)
                tx.put_certificate(NodeCertificate(number + 1, node, now, ends, None, "key"))

        for start in range(0, self.nodes, _GROUP):
            await self.store.write(lambda tx, start=start: report(tx, start))  # type: ignore[misc]
        last = names[-1]
        return [
            await beside(
                "overview",
                self.calls,
                lambda: self._get("/v1/overview"),
                lambda: self.store.read(lambda tx: [tx.app(NAMESPACE, name) for name in names]),
            ),
            await beside(
                "rollout",
                self.calls,
                lambda: self._get(f"/v1/apps/{last}/rollout"),
                lambda: self.store.read(lambda tx: tx.app(NAMESPACE, last)),
            ),
        ]

    async def _asked(self, fields: str, selector: str, **more: str) -> ApiResult:
        """The first page of the nodes that satisfy *fields* and *selector*, and their number.

        *more* is what else the query has.
        """
        query = {"limit": str(_PAGE), "selector": selector, "fieldSelector": fields, **more}
        names: list[str] = []

        async def ask() -> None:
            found = await self._get("/v1/nodes", **query)
            names[:] = [item["name"] for item in found["items"]]

        return await beside(
            " ".join(filter(None, (fields, selector, *(f"{key}={more[key]}" for key in more)))),
            self.calls,
            ask,
            lambda: self.store.read(lambda tx: [tx.node(NAMESPACE, name) for name in names]),
        )

    async def _namespaces(self) -> ApiResult:
        return await beside(
            "namespaces",
            self.calls,
            lambda: self._get("/v1/namespaces"),
            lambda: self.store.read(lambda tx: tx.count_namespaces("*", datetime.now(UTC))),
        )

    async def _failed_nodes(self) -> ApiResult:
        names: list[str] = []

        async def ask() -> None:
            found = await self._get("/v1/apps/app0/nodes", status="failed", limit=str(_PAGE))
            names[:] = [item["name"] for item in found["items"]]

        return await beside(
            "failed nodes of an app, with causes",
            self.calls,
            ask,
            lambda: self.store.read(lambda tx: [tx.report(NAMESPACE, name) for name in names]),
        )

    async def _put_app(self) -> ApiResult:
        """Each PUT has to update every node; RuntimeError otherwise."""

        async def put() -> None:
            body = {**_APP, "description": str(time.perf_counter_ns())}
            (await self.client.put("/v1/apps/bench", json=body)).raise_for_status()

        async def taken() -> int:
            count = 0
            while found := await self.store.write(lambda tx: tx.take_pending(_GROUP * 10)):
                count += len(found)
            return count

        took = []
        await taken()
        for _ in range(min(self.calls, 5)):
            took.append(await timed(put))
            if (count := await taken()) != self.nodes:
                raise RuntimeError(f"{count} nodes were updated, not {self.nodes}")
        raw = self.nodes / self.rates.put * 1000
        percentiles = _part(took, 50), _part(took, 99), raw
        return ApiResult("put an app for all nodes", len(took), took[0], *percentiles)


Measured = tuple[Rates, list[ApiResult], Mapping[str, float]]
"""Rates of the store, all calls, and reads in parallel of the store."""


async def measure(directory: Path, nodes: int, calls: int, seconds: float) -> Measured:
    """Fill a store in *directory* and make the calls, each kind *calls* times.

    Then the store alone is read in parallel, *seconds* for each kind of read.
    """
    sealer = load_or_create_sealer(directory / "secrets.key")
    witness = load_or_create_witness(directory)
    async with open_sqlite_store(
        directory / "edgesync.db", sealer=sealer, witness=witness
    ) as store:
        rates = await fill(store, nodes)
        report = read_report({"apps": [], "node": {"n": {"hostname": "n"}}}, Order())
        await store.write(
            lambda tx: tx.put_report(NAMESPACE, "n0", report, "json", datetime.now(UTC))
        )
        feed = EventFeed(store, lambda: datetime.now(UTC), wake_callbacks=lambda: None)
        app = rest_app(services_of(store, feed))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://bench",
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=None,  # noqa: S113
        ) as client:
            results = await ApiBench(client, store, nodes, rates, calls).results()
        alone = await store_rates(store, NAMESPACE, seconds) if seconds else {}
        return rates, results, alone


@click.command()
@click.option("--nodes", type=click.IntRange(1, MAX_NODES), default=100_000, show_default=True)
@click.option(
    "--calls",
    type=click.IntRange(1, MAX_CALLS),
    default=200,
    show_default=True,
    help="How often each call is made; an app is put five times at most.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, MAX_SECONDS),
    default=5.0,
    show_default=True,
    help="Duration of each kind of read over 16 connections; 0: none.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def command(nodes: int, calls: int, seconds: float, *, as_json: bool) -> None:
    """Benchmark API requests with many nodes."""
    with tempfile.TemporaryDirectory(prefix="edgesync-bench-") as name:
        click.echo(f"{nodes} nodes, load {os.getloadavg()[0]:.1f} ...", err=True)
        with (
            tuned_interpreter(),
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            measured = runner.run(measure(Path(name), nodes, calls, seconds))
        rates, results, alone = measured
        parallel = parallel_reads(Path(name), alone, seconds) if seconds else []
    if as_json:
        click.echo(results_as_json(nodes, rates, results, parallel))
    else:
        click.echo(results_as_text(rates, results, parallel))

"""Processes of light nodes for `edgesync bench fleet`: thousands of TLS connections each.

A connection that is lost is made again, with the pauses of docs/protocol.md, "Connection". A
process reads commands from standard input, a line of JSON each, and answers each with a line.
"""

import asyncio
import json
import math
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import click
import uvloop

from agent_sim.agent import ReconnectBackoff
from edgesync.bench.light_node import KEEP_ALIVE, LightNode

NODES_FILE, ROOT_FILE = "nodes.json", "root.pem"
"""Node ids, as a list, and the root they trust; the n-th node's key and certificate are `n.pem`."""

_LEAST_SECONDS = 120.0
_NODES_PER_SECOND = 50


def longest_seconds(nodes: int) -> float:
    """Longest that one command may take for so many nodes."""
    return max(_LEAST_SECONDS, nodes / _NODES_PER_SECOND)


_RAMP = 128  # nodes that connect and reconcile at the same time, where it is not a storm
_SETTLE_SECONDS = 5.0  # until the next node connects, where one is not reconciled
_REPORTING = 1000  # nodes that report at the same time: later ones would repeat their reports
_LOOK_SECONDS = 0.01
_PINGED = 16  # nodes that ping together
_HANDSHAKE_SECONDS = 60
_FIRST_PAUSE = 1.0
"""Seconds; doubled for each attempt to connect that fails, half of it random."""


def latest_retry(away: float) -> float:
    """Seconds after which all nodes have tried again that lost a server for *away* seconds.

    The pause that a node is in when the server is back can be the longest that it reaches by then:
    it does with the shortest pauses before, halves of 1, 2, 4, ... s.
    """
    doubled = math.floor(math.log2(2 * away / _FIRST_PAUSE + 1))
    return away + math.ldexp(_FIRST_PAUSE, doubled)


class NodeFleet:
    """All nodes of this process, and the wait for all of them to be somewhere."""

    def __init__(self, options: "FleetOptions", group: asyncio.TaskGroup) -> None:
        ids = json.loads((options.directory / NODES_FILE).read_text())
        self._options = options
        self._numbers = range(len(ids))[options.first : options.first + options.count]
        self.nodes = [
            LightNode(ids[number], size=options.size, settled=self._note)
            for number in self._numbers
        ]
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.load_verify_locations(options.directory / ROOT_FILE)
        self._random = Random(options.first)  # noqa: S311  # jitter
        self._group = group
        self._longest = longest_seconds(len(ids))
        self._ramp = asyncio.Semaphore(_RAMP)
        self._links: list[asyncio.Task[None]] = []
        self._open: set[LightNode] = set()
        self._connecting: dict[LightNode, asyncio.Future[None]] = {}
        self._test: Callable[[LightNode], bool] = lambda _: True
        self._all_there = asyncio.Event()

    async def connect(self, ports: Sequence[int]) -> dict[str, Any]:
        """Connect all, so many at a time, and let them find out what they should run."""
        for number, node in zip(self._numbers, self.nodes, strict=True):
            link = self._stay_connected(node, number, ports[number % len(ports)])
            self._links.append(self._group.create_task(link, name=node.node_id))
        self._links.append(self._group.create_task(self._ping(), name="pings"))
        return await self._reached(lambda node: node.settled_connection > 0, time.monotonic())

    async def report(self) -> dict[str, Any]:
        """Let each report once, the next ones when nearly all before them are answered."""
        began = time.monotonic()
        self._links.append(self._group.create_task(self._report_all(), name="reports"))
        return await self._reached(lambda node: node.settled_at > began, began)

    async def update(self, app: str, version: str, since: float) -> dict[str, Any]:
        """Wait until all are known to run *version* of *app*."""
        return await self._reached(lambda node: node.agreed.get(app) == version, since)

    async def storm(self) -> dict[str, Any]:
        """Wait until all are back on another connection, and reconciled."""
        before = {node: node.connections for node in self.nodes}
        _respond(waiting=len(before))
        return await self._reached(
            lambda node: node.settled_connection > before[node], time.monotonic()
        )

    async def flood(self, seconds: float, window: int) -> dict[str, Any]:
        """Publish for so long, then wait for the answers that are on their way."""
        before, began = time.process_time(), time.perf_counter()
        for node in self.nodes:
            node.begin_flood(window)
        floods = [node.flood for node in self.nodes if node.flood is not None]
        await asyncio.sleep(seconds)
        took = time.perf_counter() - began
        answered, cpu = sum(flood.answered for flood in floods), time.process_time() - before
        for node in self.nodes:
            node.end_flood()
        for _ in range(100):
            if all(flood.answered >= flood.sent for flood in floods):
                break
            await asyncio.sleep(0.05)
        for node in self.nodes:
            node.flood = None
        return {
            "answered": answered,
            "seconds": took,
            # With those that were answered while nothing more was published.
            "answered in all": sum(flood.answered for flood in floods),
            "cores": cpu / took,
            "times": [latency for flood in floods for latency in flood.latencies],
            "unanswered": sum(flood.sent - flood.answered for flood in floods),
        }

    async def handshakes(self, port: int, count: int) -> dict[str, Any]:
        """Open *count* connections to a listener that does nothing, until released."""
        before, began = time.process_time(), time.perf_counter()

        async def opened(number: int) -> asyncio.Transport:
            async with self._ramp:
                return await self._connected(asyncio.Protocol, number, port)

        tasks = [self._group.create_task(opened(number)) for number in self._numbers[:count]]
        transports = [await task for task in tasks]
        took = time.perf_counter() - began
        cores = (time.process_time() - before) / took
        _respond(seconds=took, cores=cores)
        await _line()
        for transport in transports:
            transport.abort()
        return {}

    def close(self) -> None:
        """End all connections."""
        for link in self._links:
            link.cancel()
        for node in self.nodes:
            node.close()

    def _note(self, node: LightNode) -> None:
        waiting = self._connecting.pop(node, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        if node in self._open and self._test(node):
            self._open.discard(node)
            if not self._open:
                self._all_there.set()

    async def _reached(self, test: Callable[[LightNode], bool], since: float) -> dict[str, Any]:
        """Wait until all nodes are settled as *test* wants it; how long after *since* they were."""
        before, began = time.process_time(), time.monotonic()
        self._test = test
        self._open = {node for node in self.nodes if not (node.settled_at and test(node))}
        self._all_there.clear()
        deadline = began + self._longest
        while self._open and time.monotonic() < deadline:
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._all_there.wait()
            self._report_again()
        took = time.monotonic() - began
        times = sorted(node.settled_at - since for node in self.nodes if node not in self._open)
        return {
            "times": [round(seconds, 4) for seconds in times],
            "cores": (time.process_time() - before) / took,
        }

    def _report_again(self) -> None:
        """As nodes do that got no answer, or are due."""
        for node in tuple(self._open):
            node.report_again(self._options.interval)

    async def _report_all(self) -> None:
        for start in range(0, len(self.nodes), _REPORTING):
            burst = self.nodes[start : start + _REPORTING]
            for node in burst:
                node.report()
            while sum(node.is_waiting for node in burst) > _REPORTING // 10:  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_SECONDS)

    async def _ping(self) -> None:
        """Ping for the idle ones, each in its turn."""
        while True:
            for start in range(0, len(self.nodes), _PINGED):
                for node in self.nodes[start : start + _PINGED]:
                    node.ping()
                await asyncio.sleep(KEEP_ALIVE / 2 * _PINGED / len(self.nodes))

    async def _stay_connected(self, node: LightNode, number: int, port: int) -> None:
        loop = asyncio.get_running_loop()
        backoff = ReconnectBackoff(_FIRST_PAUSE, 180.0, self._random)
        is_first = True
        while True:
            node.lost = loop.create_future()
            began = loop.time()
            try:
                if is_first:
                    async with self._ramp:
                        await self._connected(lambda: node, number, port)
                        is_first = False
                        settled = self._connecting[node] = loop.create_future()
                        await asyncio.wait(
                            (settled, node.lost),
                            timeout=_SETTLE_SECONDS,
                            return_when=asyncio.FIRST_COMPLETED,
                        )
                else:
                    await self._connected(lambda: node, number, port)
                began = loop.time()
                await node.lost
            except OSError:
                pass
            await asyncio.sleep(backoff.next(loop.time() - began))

    async def _connected(
        self, make: Callable[[], asyncio.Protocol], number: int, port: int
    ) -> asyncio.Transport:
        source = self._options.source
        tls: Any = _NodeTls(self._tls, self._options.directory / f"{number}.pem")
        transport, _ = await asyncio.get_running_loop().create_connection(
            make,
            "127.0.0.1",
            port,
            ssl=tls,
            server_hostname="localhost",
            ssl_handshake_timeout=_HANDSHAKE_SECONDS,
            local_addr=(source, 0) if source else None,
        )
        return transport


@dataclass(frozen=True, slots=True)
class _NodeTls:
    """The context of all nodes with the certificate of one: a context of its own takes 50 kB."""

    shared: ssl.SSLContext
    file: Path

    def wrap_bio(self, *given: Any, **named: Any) -> ssl.SSLObject:
        """A session, which keeps the certificate that the context has now."""
        self.shared.load_cert_chain(self.file)
        return self.shared.wrap_bio(*given, **named)


def part(ordered: Sequence[float], share: float) -> float:
    """The value below which that *share* of *ordered* lies; a long time where there is none."""
    last = len(ordered) - 1
    return ordered[min(int(len(ordered) * share), last)] if ordered else _LEAST_SECONDS


def _respond(**fields: Any) -> None:
    click.echo(json.dumps(fields))


async def _line() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """Which nodes a process has, and how they behave."""

    directory: Path
    first: int
    count: int
    source: str
    """Address to connect from; empty: the system's choice."""
    size: int
    """Bytes of a report."""
    interval: float
    """Seconds after which a node that is waited for reports again."""


async def run(options: FleetOptions) -> None:
    """Obey commands until there are no more."""
    async with asyncio.TaskGroup() as group:
        fleet = NodeFleet(options, group)
        _respond(nodes=len(fleet.nodes))
        while line := (await _line()).strip():
            given = json.loads(line)
            command = getattr(fleet, given.pop("do"))
            _respond(**await command(**given))
        fleet.close()


@click.command()
@click.option("--directory", type=click.Path(path_type=Path), required=True)
@click.option("--first", type=click.IntRange(0), required=True)
@click.option("--count", type=click.IntRange(1), required=True)
@click.option("--source", default="")
@click.option("--size", type=click.IntRange(200, 100_000), required=True)
@click.option("--interval", type=float, required=True)
def main(**options: Any) -> None:
    """Be the nodes of a benchmark, by commands on standard input."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(FleetOptions(**options)))


if __name__ == "__main__":
    main()

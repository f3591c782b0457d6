"""How many reports a second the server takes, stores and acknowledges, beside plain amqtt.

Both take the same load from the same generator in the same run: connected nodes with certificates
of their own, each subscribed to its two topics, publishing reports at QoS 1 and getting a delta for
each. Counted is what is committed to SQLite (WAL, synchronous=FULL).

edgesync runs all that a report meets in a server: hub, inbox, operations, store; the PUBACK comes
after the commit. Plain amqtt has a stand-in behind it that decodes, upserts and answers with a
constant; it acknowledges before anything is stored.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import psutil
import uvloop
from sqlite_utils import Database

from broker.embedded import HubLimits, open_embedded_hub
from broker.hub import ShownCertificate
from broker.messages import Encoding, Message, decode_message, encode_message
from broker.stock import Publish, open_stock_broker
from broker.topics import Channel, parse_topic, topic_for
from cloud.core.app import App, AppSpec, Service
from cloud.core.node import Node, NodeSpec
from cloud.link.exchange import Exchange
from cloud.link.inbox import NodeInbox
from cloud.store.sealing import load_or_create_sealer
from cloud.store.sqlite import open_sqlite_store
from cloud.store.transaction import Transaction
from cloud.store.witness import load_or_create_witness
from edgesync.bench.certificates import (
    ROOT,
    SERVER,
    node_id,
    server_context,
    write_certificates,
)
from edgesync.bench.load import MAX_NODES, MAX_SECONDS

_BATCH = 500
_UPSERT = (
    "insert into report (node_id, seq, document) values (?, ?, ?)"
    " on conflict (node_id) do update set seq = excluded.seq, document = excluded.document"
)
_DELTA = encode_message(
    Message("report", {"apps": [{"name": "app-0", "version": "170000001"}]}, {"seq": 1}),
    Encoding.MSGPACK,
)

Row = tuple[str, int, bytes]
Committed = Callable[[], int]


@dataclass(frozen=True, slots=True)
class HubResult:
    """The results of one hub under the load."""

    name: str
    connects_per_second: float
    committed_per_second: float
    acked_per_second: float
    pushes_per_second: float
    p50_ms: float
    p99_ms: float
    server_cpu_cores: float
    memory_mib: float


class Sink:
    """Stands in for the server behind plain amqtt: commits reports in groups, in one thread."""

    def __init__(self, file: Path) -> None:
        self.committed = 0
        self._file = file
        self._thread = ThreadPoolExecutor(1, "bench-writer")
        self._connection: Any = None  # lives in the thread

    async def store(self, reports: Sequence[tuple[str, bytes]]) -> None:
        """Return when all *reports* are committed."""
        rows = [(node_id, sequence_of(payload), payload) for node_id, payload in reports]
        await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, rows)
        self.committed += len(rows)

    def close(self) -> None:
        """Wait for the thread."""
        self._thread.submit(self._close).result()
        self._thread.shutdown()

    def _commit(self, rows: list[Row]) -> None:
        if self._connection is None:
            database = Database(self._file)
            self._connection = database.conn
            self._connection.execute("pragma journal_mode=wal")
            self._connection.execute("pragma synchronous=full")
            self._connection.execute(
                "create table report (node_id text primary key, seq integer, document blob)"
            )
        with self._connection:
            self._connection.executemany(_UPSERT, rows)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def sequence_of(payload: bytes) -> int:
    """Decode a report, as the server does before it stores it."""
    return int(decode_message(payload).meta["seq"])


async def serve_stock(
    queue: "asyncio.Queue[tuple[str, bytes]]", publish: Publish, sink: Sink
) -> None:
    """Store and answer what plain amqtt has acknowledged and queued; until cancelled."""
    while True:
        reports = [await queue.get()]
        while not queue.empty() and len(reports) < _BATCH:
            reports.append(queue.get_nowait())
        await sink.store(reports)
        for reporter, _ in reports:
            await publish(topic_for(reporter, Channel.DELTA), _DELTA)


@asynccontextmanager
async def embedded(directory: Path, nodes: int) -> AsyncIterator[tuple[int, Committed]]:
    """The server's own way of a report; gives the port and what is committed so far."""

    async def gate(node_id: str, shown: ShownCertificate) -> bool:
        return True

    sealer = load_or_create_sealer(directory / "secrets.key")
    async with (
        open_sqlite_store(
            directory / "edgesync.db", sealer=sealer, witness=load_or_create_witness(directory)
        ) as store,
        open_embedded_hub(
            host="127.0.0.1",
            port=0,
            tls=server_context(directory),
            gate=gate,
            clock=lambda: datetime.now(UTC),
            limits=HubLimits(node_messages_per_second=0, node_bytes_per_second=0),
        ) as hub,
        asyncio.TaskGroup() as group,
    ):
        await store.write(lambda tx: _describe(tx, nodes))
        inbox = NodeInbox(hub, Exchange(store, lambda: datetime.now(UTC)))
        working = group.create_task(inbox.run(), name="inbox")
        yield hub.port, lambda: inbox.counts[Channel.REPORT.value]
        working.cancel()


def _describe(tx: Transaction, nodes: int) -> None:
    """The nodes, and three apps for each: so that every report is answered with a delta."""
    now = datetime.now(UTC)
    namespace = node_id(0).partition(".")[0]
    for number in range(nodes):
        name = node_id(number).partition(".")[2]
        tx.put_node(Node(namespace, name, NodeSpec(labels={"role": "bench"}), now, now))
    spec = AppSpec(selector="role=bench", services=(Service("main", image="image"),))
    for number in range(3):
        tx.put_resource(App(namespace, f"app-{number}", spec, tx.next_version(), now, now))


@asynccontextmanager
async def stock(directory: Path, nodes: int) -> AsyncIterator[tuple[int, Committed]]:
    """Plain amqtt and its stand-in; gives the port and what is committed so far."""
    queue: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
    sink = Sink(directory / "stock.db")

    def on_message(topic: str, payload: bytes) -> None:
        node_id, channel = parse_topic(topic)
        if channel is Channel.REPORT:
            queue.put_nowait((node_id, payload))

    try:
        async with (
            asyncio.TaskGroup() as group,
            open_stock_broker(
                host="127.0.0.1",
                certificate=directory / SERVER,
                authority=directory / ROOT,
                on_message=on_message,
            ) as (port, publish),
        ):
            serving = group.create_task(serve_stock(queue, publish, sink), name="serve")
            yield port, lambda: sink.committed
            serving.cancel()
    finally:
        sink.close()


async def measure(
    name: str,
    opened: Callable[[Path, int], Any],
    directory: Path,
    *,
    nodes: int,
    seconds: float,
    window: int,
) -> HubResult:
    """Put the load on one hub."""
    process = psutil.Process()
    async with opened(directory, nodes) as (port, committed):
        generator = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edgesync.bench.load"),
            *("--port", str(port), "--directory", str(directory), "--nodes", str(nodes)),
            *("--seconds", str(seconds), "--window", str(window)),
            stdout=asyncio.subprocess.PIPE,
        )
        connected = await _response(generator)
        before, began, cpu = committed(), time.perf_counter(), sum(_cpu(process))
        done = await _response(generator)
        took = time.perf_counter() - began
        stored = committed() - before
        cpu = sum(_cpu(process)) - cpu
        memory = process.memory_info().rss / 2**20
        await generator.wait()
    return HubResult(
        name=name,
        connects_per_second=nodes / connected["seconds"],
        committed_per_second=stored / took,
        acked_per_second=done["acked"] / done["seconds"],
        pushes_per_second=done["pushed"] / done["seconds"],
        p50_ms=done["p50_ms"],
        p99_ms=done["p99_ms"],
        server_cpu_cores=cpu / took,
        memory_mib=memory,
    )


async def _response(generator: asyncio.subprocess.Process) -> dict[str, float]:
    line = await generator.stdout.readline() if generator.stdout else b""
    if not line:
        raise click.ClickException("the load generator ended early; see its error above")
    numbers: dict[str, float] = json.loads(line)
    return numbers


def _cpu(process: psutil.Process) -> tuple[float, float]:
    times = process.cpu_times()
    return times.user, times.system


def main(nodes: int = 1000, seconds: float = 5, window: int = 4) -> list[HubResult]:
    """Measure both hubs and print what came out."""
    results = []
    with tempfile.TemporaryDirectory(prefix="edgesync-bench-") as name:
        directory = Path(name)
        write_certificates(directory, nodes)
        for title, opened in (("edgesync", embedded), ("plain amqtt", stock)):
            click.echo(f"{title}: {nodes} nodes with certificates, {seconds:g} s ...", err=True)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                results.append(
                    runner.run(
                        measure(
                            title, opened, directory, nodes=nodes, seconds=seconds, window=window
                        )
                    )
                )
    _print(results)
    return results


def _print(results: Sequence[HubResult]) -> None:
    click.echo(f"{'':12} {'connect/s':>10} {'commit/s':>10} {'ack/s':>10} {'push/s':>10}", nl=False)
    click.echo(f" {'p50 ms':>8} {'p99 ms':>8} {'cores':>6} {'MiB':>6}")
    for r in results:
        click.echo(
            f"{r.name:12} {r.connects_per_second:10.0f} {r.committed_per_second:10.0f}"
            f" {r.acked_per_second:10.0f} {r.pushes_per_second:10.0f}"
            f" {r.p50_ms:8.1f} {r.p99_ms:8.1f} {r.server_cpu_cores:6.2f} {r.memory_mib:6.0f}"
        )
    ours, theirs = results[0].committed_per_second, results[1].committed_per_second
    ratio = ours / theirs if theirs else float("inf")
    click.echo(f"committed reports: {ratio:.1f} times those of plain amqtt")


@click.command()
@click.option("--nodes", type=click.IntRange(1, MAX_NODES), default=1000, show_default=True)
@click.option("--seconds", type=click.FloatRange(1, MAX_SECONDS), default=5, show_default=True)
@click.option("--window", type=click.IntRange(1, 64), default=4, show_default=True)
def command(nodes: int, seconds: float, window: int) -> None:
    """Benchmark the embedded hub; baseline: plain amqtt."""
    main(nodes, seconds, window)


if __name__ == "__main__":
    command()

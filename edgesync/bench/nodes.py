"""The nodes of `edgesync bench fleet`, in a process of their own: thousands of TLS connections.

A light node does all that a node does on the wire, and keeps nothing on disk: it subscribes,
reports, asks for the bodies a delta names, reports that it runs them; a connection that is lost it
makes again, with the pauses of docs/protocol.md, "Connection". It reads commands from standard
input, a line of JSON each, and answers each with a line.
"""

import asyncio
import json
import math
import os
import ssl
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import click
import uvloop

from agent_sim.agent import ReconnectBackoff, new_run
from broker.messages import Encoding, Message, NodeMessageKind, decode_message, encode_message
from broker.topics import TO_NODE, Channel, parse_topic, topic_for
from broker.wire import encoded_topic, frame_at, read_publish
from edgesync.bench.load import length_bytes

NODES_FILE, ROOT_FILE = "nodes.json", "root.pem"
"""Node ids, as a list, and the root they trust; the n-th node's key and certificate are `n.pem`."""

MAX_SECONDS = 120
"""Longest that one command may take."""

_RAMP = 64  # connections made at the same time, where it is not a storm
_HANDSHAKE_SECONDS = 60
_KEEP_ALIVE = 400
_ANSWER_SECONDS = 5.0
_CONNACK, _PUBLISH, _SUBACK = 0x20, 0x30, 0x90
_SEQUENCE_MARK = 0xFEDC_BA98
_USAGE_MARK = "9876543210"
_INSTANCE = {
    "serviceName": "main",
    "status": "Running",
    "cause": "",
    "usage": {"cpu": "0.01", "memory": "4194304"},
    "createTime": "2026-01-01T00:00:00Z",
}


def report_content(
    name: str, held: Mapping[str, str], size: int, memory: str = _USAGE_MARK
) -> dict[str, Any]:
    """A report of a node, of about *size* bytes as MessagePack."""
    instances: dict[str, Any] = {}
    capacity = {"cpu": "4", "memory": "4147483648", "disk": "30914475008"}
    content = {
        "time": "2026-01-01T00:00:00Z",
        "node": {"hostname": name, "os": "linux", "arch": "arm64", "kernel": "6.1.0-18"},
        "nodestats": {"usage": {"cpu": "0.27", "memory": memory}, "capacity": capacity},
        "apps": [{"name": app, "version": version} for app, version in held.items()],
        "appstats": [
            {"name": app, "version": version, "status": "Running", "instances": instances}
            for app, version in held.items()
        ],
    }
    while held and len(encode_message(Message("report", content), Encoding.MSGPACK)) < size - 120:
        instances[f"main-{len(instances)}"] = {"name": f"main-{len(instances)}", **_INSTANCE}
    return content


_FIRST_PAUSE = 1.0
"""Seconds; doubled for each attempt to connect that fails, half of it random."""


def latest_retry(away: float) -> float:
    """Seconds after which all nodes have tried again that lost a server for *away* seconds.

    The pause that a node is in when the server is back can be the longest that it reaches by then:
    it does with the shortest pauses before, halves of 1, 2, 4, ... s.
    """
    doubled = math.floor(math.log2(2 * away / _FIRST_PAUSE + 1))
    return away + math.ldexp(_FIRST_PAUSE, doubled)


class Flood:
    """The messages of one node, published as fast as it is answered."""

    def __init__(self, node_id: str, run: str, content: Any, window: int) -> None:
        message = Message("report", content, {"seq": _SEQUENCE_MARK, "run": run})
        payload = encode_message(message, Encoding.MSGPACK)
        before, _, rest = payload.partition(_SEQUENCE_MARK.to_bytes(4))
        self._before = before
        self._between, _, self._after = rest.partition(_USAGE_MARK.encode())
        topic = encoded_topic(topic_for(node_id, Channel.REPORT))
        self._head = b"\x32" + length_bytes(len(topic) + 2 + len(payload)) + topic
        self.window = window
        self.sent = self.answered = 0
        self.latencies: list[float] = []  # of a report now and then, in seconds
        self._timed: tuple[int, float] | None = None

    def more(self, count: int, sequence: int) -> bytes:
        """The next *count* reports, numbered from *sequence*; each is different."""
        parts: list[bytes] = []
        for number in range(sequence, sequence + count):
            packet_id = (number % 0xFFFF + 1).to_bytes(2)
            usage = b"%010d" % number
            parts += (self._head, packet_id, self._before, number.to_bytes(4))
            parts += (self._between, usage, self._after)
        self.sent += count
        if self._timed is None:
            self._timed = self.sent, time.perf_counter()
        return b"".join(parts)

    def take(self, count: int) -> None:
        """So many answers have come."""
        self.answered += count
        if self._timed is not None and self.answered >= self._timed[0]:
            self.latencies.append(time.perf_counter() - self._timed[1])
            self._timed = None


class LightNode(asyncio.Protocol):
    """One node; its state outlives its connections."""

    def __init__(self, node_id: str, *, size: int, settled: Callable[["LightNode"], None]) -> None:
        self.node_id = node_id
        self.held: dict[str, str] = {}  # version of each app it runs
        self.agreed = self.held  # the same, as of `settled_at`
        self.connections = 0
        self.settled_at = 0.0  # when the last answer held no change
        self.settled_connection = 0  # on which of its connections that was
        self.reported_at = 0.0
        self.is_waiting = False  # for the answer to its last report
        self.patience = _ANSWER_SECONDS  # until it is sent again
        self._counts_from = 0  # the first report on this connection with what is held now
        self.flood: Flood | None = None
        self.lost: asyncio.Future[None] | None = None  # done when the connection is
        self._settled = settled
        self._size = size
        self._run = new_run()
        self._sequence = 0
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    @property
    def is_connected(self) -> bool:
        """Return whether there is a connection."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send CONNECT and SUBSCRIBE at once."""
        self._transport = transport  # type: ignore[assignment]
        self._buffer = b""
        self.connections += 1
        client = self.node_id.encode()
        connect = b"\x00\x04MQTT\x04\x02" + _KEEP_ALIVE.to_bytes(2)
        connect += len(client).to_bytes(2) + client
        topics = [topic_for(self.node_id, channel) for channel in sorted(TO_NODE)]
        subscribe = b"\x00\x01" + b"".join(encoded_topic(topic) + b"\x01" for topic in topics)
        self._write(b"\x10" + length_bytes(len(connect)) + connect)
        self._write(b"\x82" + length_bytes(len(subscribe)) + subscribe)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop publishing; waiters on `lost` reconnect."""
        self._transport, self.flood = None, None
        if self.lost is not None and not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Take whole packets."""
        data = self._buffer + data if self._buffer else data
        start = answers = 0
        while (frame := frame_at(data, start)) and frame[1] <= len(data):
            kind = data[start] & 0xF0
            if kind == _PUBLISH and self.flood is not None:
                answers += 1
            elif kind == _PUBLISH:
                self._take(data, *frame)
            elif kind == _SUBACK:
                self.patience, self._counts_from = _ANSWER_SECONDS, self._sequence + 1
                self.report()
            elif kind == _CONNACK and data[frame[0] + 1]:
                self.close()
            start = frame[1]
        self._buffer = data[start:]
        if answers and self.flood is not None:
            self.flood.take(answers)
            self._publish_more(answers)

    def report(self) -> None:
        """Report what it runs."""
        usage = f"{self._sequence:010d}"
        content = report_content(self.node_id, self.held, self._size, usage)
        self._publish(Channel.REPORT, Message(NodeMessageKind.REPORT, content, self._next_meta()))
        self.reported_at, self.is_waiting = time.monotonic(), True

    def report_again(self, interval: float) -> None:
        """Report if the last one was not answered in time, or is an *interval* ago."""
        due = min(self.patience, interval) if self.is_waiting else interval
        if self.is_connected and time.monotonic() - self.reported_at > due:
            self.patience = min(2 * self.patience, interval)
            self.report()

    def begin_flood(self, window: int) -> None:
        """Keep *window* reports unanswered until `end_flood`."""
        if self._transport is not None:
            content = report_content(self.node_id, self.held, self._size)
            self.flood = Flood(self.node_id, self._run, content, window)
            self._publish_more(window)

    def end_flood(self) -> None:
        """Publish nothing more; answers are still counted."""
        if self.flood is not None:
            self.flood.window = 0

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _publish_more(self, count: int) -> None:
        if self.flood is not None and self.flood.window:
            self._write(self.flood.more(count, self._sequence + 1))
            self._sequence += count

    def _take(self, data: bytes, body: int, end: int) -> None:
        topic, _, payload = read_publish(data, body, end, qos=0)
        channel, message = parse_topic(topic.decode())[1], decode_message(payload)
        if channel is Channel.DELTA and message.kind == NodeMessageKind.REPORT:
            self._obey(message)
        elif channel is Channel.DESIRE_RESPONSE and message.kind == NodeMessageKind.DESIRE:
            bodies = [value["value"] for value in message.content["values"]]
            self.held = {body["name"]: body["version"] for body in bodies}
            self._counts_from = self._sequence + 1
            self.report()

    def _obey(self, message: Message) -> None:
        # One that was sent again is answered twice; the first answer will do.
        is_answer = int(message.meta.get("seq", 0)) >= self._counts_from
        if is_answer:
            self.is_waiting, self.patience = False, _ANSWER_SECONDS
        if "apps" in message.content:
            kind = "application"
            infos = [{"kind": kind, **app} for app in message.content["apps"]]
            self._publish(
                Channel.DESIRE, Message(NodeMessageKind.DESIRE, {"infos": infos}, self._next_meta())
            )
        elif is_answer:
            self.settled_at, self.settled_connection = time.monotonic(), self.connections
            self.agreed = self.held
            self._settled(self)

    def _next_meta(self) -> dict[str, Any]:
        self._sequence += 1
        return {"seq": self._sequence, "run": self._run}

    def _publish(self, channel: Channel, message: Message) -> None:
        topic = encoded_topic(topic_for(self.node_id, channel))
        payload = encode_message(message, Encoding.MSGPACK)
        packet_id = (self._sequence % 0xFFFF + 1).to_bytes(2)
        length = length_bytes(len(topic) + 2 + len(payload))
        self._write(b"\x32" + length + topic + packet_id + payload)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


class NodeFleet:
    """All nodes of this process, and the wait for all of them to be somewhere."""

    def __init__(
        self, directory: Path, *, size: int, interval: float, group: asyncio.TaskGroup
    ) -> None:
        ids = json.loads((directory / NODES_FILE).read_text())
        self.nodes = [LightNode(node_id, size=size, settled=self._note) for node_id in ids]
        self._contexts = [_context(directory, number) for number in range(len(ids))]
        self._group = group
        self._interval = interval  # a node that is waited for reports again
        self._ramp = asyncio.Semaphore(_RAMP)
        self._links: list[asyncio.Task[None]] = []
        self._open: set[LightNode] = set()
        self._test: Callable[[LightNode], bool] = lambda _: True
        self._all_there = asyncio.Event()

    async def connect(self, port: int) -> dict[str, Any]:
        """Connect all, so many at a time, and let them find out what they should run."""
        for number, node in enumerate(self.nodes):
            link = self._stay_connected(node, self._contexts[number], port, Random(number))  # noqa: S311
            self._links.append(self._group.create_task(link, name=node.node_id))
        return await self._reached(lambda node: node.settled_connection > 0, time.monotonic())

    async def report(self) -> dict[str, Any]:
        """Let each report once."""
        began = time.monotonic()
        for node in self.nodes:
            node.report()
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
        latencies = sorted(latency for flood in floods for latency in flood.latencies)
        return {
            "answered": answered,
            "seconds": took,
            # With those that were answered while nothing more was published.
            "answered in all": sum(flood.answered for flood in floods),
            "cores": cpu / took,
            "p50": part(latencies, 0.5),
            "p99": part(latencies, 0.99),
            "unanswered": sum(flood.sent - flood.answered for flood in floods),
        }

    async def handshakes(self, port: int, count: int) -> dict[str, Any]:
        """Open *count* connections to a listener that does nothing, until released."""
        loop = asyncio.get_running_loop()
        before, began = time.process_time(), time.perf_counter()

        async def opened(number: int) -> asyncio.Transport:
            async with self._ramp:
                transport, _ = await loop.create_connection(
                    asyncio.Protocol,
                    "127.0.0.1",
                    port,
                    ssl=self._contexts[number],
                    server_hostname="localhost",
                )
                return transport

        tasks = [self._group.create_task(opened(number)) for number in range(count)]
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
        deadline = began + MAX_SECONDS
        while self._open and time.monotonic() < deadline:
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._all_there.wait()
            self._report_again()
        took = time.monotonic() - began
        times = sorted(node.settled_at - since for node in self.nodes if node not in self._open)
        return {
            "reached": len(times),
            "first": times[0] if times else MAX_SECONDS,
            "p50": part(times, 0.5),
            "p99": part(times, 0.99),
            "last": times[-1] if times else MAX_SECONDS,
            "cores": (time.process_time() - before) / took,
        }

    def _report_again(self) -> None:
        """As nodes do that got no answer, or are due."""
        for node in tuple(self._open):
            node.report_again(self._interval)

    async def _stay_connected(
        self, node: LightNode, context: ssl.SSLContext, port: int, random: Random
    ) -> None:
        loop = asyncio.get_running_loop()
        backoff = ReconnectBackoff(_FIRST_PAUSE, 180.0, random)
        is_first = True
        while True:
            node.lost = loop.create_future()
            began = loop.time()
            try:
                if is_first:
                    async with self._ramp:
                        await _connected(node, context, port)
                    is_first = False
                else:
                    await _connected(node, context, port)
                began = loop.time()
                await node.lost
            except OSError:
                pass
            await asyncio.sleep(backoff.next(loop.time() - began))


async def _connected(node: LightNode, context: ssl.SSLContext, port: int) -> None:
    await asyncio.get_running_loop().create_connection(
        lambda: node,
        "127.0.0.1",
        port,
        ssl=context,
        server_hostname="localhost",
        ssl_handshake_timeout=_HANDSHAKE_SECONDS,
    )


def _context(directory: Path, number: int) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(directory / ROOT_FILE)
    context.load_cert_chain(directory / f"{number}.pem")
    return context


def part(ordered: Sequence[float], share: float) -> float:
    """The value below which that *share* of *ordered* lies; a long time where there is none."""
    last = len(ordered) - 1
    return ordered[min(int(len(ordered) * share), last)] if ordered else float(MAX_SECONDS)


def _respond(**fields: Any) -> None:
    click.echo(json.dumps(fields))


async def _line() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


async def run(directory: Path, size: int, interval: float) -> None:
    """Obey commands until there are no more."""
    async with asyncio.TaskGroup() as group:
        fleet = NodeFleet(directory, size=size, interval=interval, group=group)
        _respond(nodes=len(fleet.nodes), pid=os.getpid())
        while line := (await _line()).strip():
            given = json.loads(line)
            command = getattr(fleet, given.pop("do"))
            _respond(**await command(**given))
        fleet.close()


@click.command()
@click.option("--directory", type=click.Path(path_type=Path), required=True)
@click.option("--size", type=click.IntRange(200, 100_000), required=True)
@click.option("--interval", type=float, required=True)
def main(directory: Path, size: int, interval: float) -> None:
    """Be the nodes of a benchmark, by commands on standard input."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(directory, size, interval))


if __name__ == "__main__":
    main()

"""The nodes of the benchmark, in a process of their own: raw MQTT 3.1.1, light on CPU.

Prints one line of JSON when all nodes are connected and subscribed, and one after the publishing.
"""

import asyncio
import json
import random
import time
from pathlib import Path

import click
import uvloop

from broker.messages import Encoding, Message, encode_message
from broker.topics import TO_NODE, Channel, topic_for
from broker.wire import encoded_topic, frame_at
from edgesync.bench.certificates import node_context, node_id

MAX_NODES = 10_000
MAX_SECONDS = 60
_CONNECTING = 64
_SEQUENCE_MARK = 0xFEDC_BA98  # stands in the template where each report's sequence goes


class LoadNode(asyncio.Protocol):
    """One node: subscribes to its two topics, then keeps *window* reports unacknowledged."""

    def __init__(self, number: int, *, window: int) -> None:
        self.ready = asyncio.get_running_loop().create_future()
        self.acked = 0
        self.pushed = 0
        self.is_publishing = False
        self.latencies: list[float] = []  # of a report now and then, in seconds
        self._node_id = node_id(number)
        self._window = window
        self._packet_id = 0
        self._sequence = 0
        self._timed: tuple[int, float] | None = None
        self._buffer = b""
        topic = encoded_topic(topic_for(self._node_id, Channel.REPORT))
        before, after = report_template(self._node_id)
        self._before, self._after = before, after
        length = len(topic) + 2 + len(before) + 4 + len(after)
        self._head = b"\x32" + length_bytes(length) + topic
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send CONNECT and SUBSCRIBE at once."""
        self._transport = transport  # type: ignore[assignment]
        assert self._transport is not None  # noqa: S101  # for the type checker
        client = self._node_id.encode()
        connect = b"\x00\x04MQTT\x04\x02\x01\x2c" + len(client).to_bytes(2) + client
        filters = b"".join(
            encoded_topic(topic_for(self._node_id, channel)) + b"\x01" for channel in TO_NODE
        )
        subscribe = b"\x00\x01" + filters
        self._transport.write(
            b"\x10" + length_bytes(len(connect)) + connect + b"\x82"
            + length_bytes(len(subscribe)) + subscribe
        )  # fmt: skip

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail loudly while connecting; later the counts show it."""
        self.is_publishing = False
        if not self.ready.done():
            self.ready.set_exception(exc or ConnectionError(f"{self._node_id} was closed"))

    def data_received(self, data: bytes) -> None:
        """Count acknowledgements and pushes, and publish as many again."""
        data = self._buffer + data if self._buffer else data
        start = acked = 0
        while (frame := frame_at(data, start)) and frame[1] <= len(data):
            first_byte = data[start]
            if first_byte == 0x40:
                acked += 1
                self._look_at_clock(int.from_bytes(data[frame[0] : frame[1]]))
            elif first_byte == 0x30:
                self.pushed += 1
            elif first_byte == 0x90:
                self.ready.set_result(None)
            start = frame[1]
        self._buffer = data[start:]
        self.acked += acked
        if acked and self.is_publishing:
            self.publish(acked)

    def begin(self) -> None:
        """Publish the first window."""
        self.is_publishing = True
        self.publish(self._window)

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def publish(self, count: int) -> None:
        """Publish *count* reports in one write."""
        parts: list[bytes] = []
        for _ in range(count):
            self._packet_id = self._packet_id % 0xFFFF + 1
            self._sequence += 1
            identifier, sequence = self._packet_id.to_bytes(2), self._sequence.to_bytes(4)
            parts += (self._head, identifier, self._before, sequence, self._after)
        if self._timed is None:
            self._timed = self._packet_id, time.perf_counter()
        if self._transport is not None:
            self._transport.write(b"".join(parts))

    def _look_at_clock(self, packet_id: int) -> None:
        if self._timed is not None and self._timed[0] == packet_id:
            self.latencies.append(time.perf_counter() - self._timed[1])
            self._timed = None


def report_template(name: str) -> tuple[bytes, bytes]:
    """A report of about 400 bytes, as MessagePack, without the four bytes of its sequence."""
    apps = [
        {"name": f"app-{number}", "version": f"{170_000_000 + number}", "state": "Running"}
        for number in range(3)
    ]
    usage = {"cpu": "0.27", "memory": "1482907648", "disk": "20914475008"}
    content = {
        "time": "2026-01-01T00:00:00Z",
        "node": {"hostname": name, "os": "linux", "arch": "arm64", "kernel": "6.1.0-18"},
        "apps": apps,
        "nodestats": {"usage": usage, "capacity": usage},
    }
    message = Message("report", content, {"seq": _SEQUENCE_MARK, "run": "5f0c11d2a9e84c57"})
    before, _, after = encode_message(message, Encoding.MSGPACK).partition(
        _SEQUENCE_MARK.to_bytes(4)
    )
    return before, after


async def run_load(port: int, directory: Path, *, nodes: int, seconds: float, window: int) -> None:
    """Connect, publish for *seconds*, print what happened."""
    loop = asyncio.get_running_loop()
    contexts = [node_context(directory, number) for number in range(nodes)]
    turn = asyncio.Semaphore(_CONNECTING)

    async def connected(number: int) -> LoadNode:
        async with turn:
            _, node = await loop.create_connection(
                lambda: LoadNode(number, window=window),
                "127.0.0.1",
                port,
                ssl=contexts[number],
                ssl_handshake_timeout=60,
            )
            await node.ready
            return node

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(connected(number)) for number in range(nodes)]
    _tell(nodes=nodes, seconds=time.perf_counter() - began)
    fleet = [task.result() for task in tasks]
    random.Random(7).shuffle(fleet)  # noqa: S311  # an order, not a secret
    began = time.perf_counter()
    for node in fleet:
        node.begin()
    await asyncio.sleep(seconds)
    latencies = sorted(latency for node in fleet for latency in node.latencies)
    _tell(
        acked=sum(node.acked for node in fleet),
        pushed=sum(node.pushed for node in fleet),
        seconds=time.perf_counter() - began,
        cpu_seconds=time.process_time(),
        p50_ms=_quantile(latencies, 0.5) * 1000,
        p99_ms=_quantile(latencies, 0.99) * 1000,
    )
    for node in fleet:
        node.close()


def _quantile(ordered: list[float], part: float) -> float:
    return ordered[int(len(ordered) * part)] if ordered else float("nan")


def _tell(**numbers: float) -> None:
    click.echo(json.dumps(numbers))


def length_bytes(length: int) -> bytes:
    """Write the remaining length of a packet (2.2.3)."""
    written = bytearray()
    while length > 127:
        written.append(length & 0x7F | 0x80)
        length >>= 7
    written.append(length)
    return bytes(written)


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--directory", type=click.Path(path_type=Path), required=True)
@click.option("--nodes", type=click.IntRange(1, MAX_NODES), required=True)
@click.option("--seconds", type=click.FloatRange(0, MAX_SECONDS), required=True)
@click.option("--window", type=click.IntRange(1, 64), required=True)
def main(port: int, directory: Path, nodes: int, seconds: float, window: int) -> None:
    """Run the nodes of the benchmark against a hub on this machine."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_load(port, directory, nodes=nodes, seconds=seconds, window=window))


if __name__ == "__main__":
    main()

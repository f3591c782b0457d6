"""The nodes of `edgesync bench fleet`: all that a node does on the wire, and nothing on disk.

A light node subscribes, reports, asks for the bodies that a delta names, and reports that it runs
them.
"""

import asyncio
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

from agent_sim.agent import new_run
from broker.messages import Encoding, Message, NodeMessageKind, decode_message, encode_message
from broker.topics import TO_NODE, Channel, parse_topic, topic_for
from broker.wire import encoded_topic, frame_at, read_publish
from edgesync.bench.load import length_bytes

KEEP_ALIVE = 400
"""Seconds without a packet after which a broker may wait half as long again, then disconnect."""

_INTERVAL = 3600  # between reports, as they name it: idle nodes do not count as lost
_ANSWER_SECONDS = 5.0
_CONNACK, _PUBLISH, _SUBACK = 0x20, 0x30, 0x90
_PINGREQ = b"\xc0\x00"
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
    content = _report_of(name, held, memory)
    if held:
        length = size - 120 - len(name)
        instances = _instances(tuple(held.items()), length)
        for status in content["appstats"]:
            status["instances"] = instances
    return content


@functools.lru_cache(maxsize=16)
def _instances(held: tuple[tuple[str, str], ...], length: int) -> dict[str, Any]:
    """Instances of each app with which a report has so many bytes, without the node's name.

    Kept, as they are the same for all nodes, and take ten times as long as the rest of a report.
    """
    content, instances = _report_of("", dict(held), _USAGE_MARK), dict[str, Any]()
    for status in content["appstats"]:
        status["instances"] = instances
    while len(encode_message(Message("report", content), Encoding.MSGPACK)) < length:
        instances[f"main-{len(instances)}"] = {"name": f"main-{len(instances)}", **_INSTANCE}
    return instances


def _report_of(name: str, held: Mapping[str, str], memory: str) -> dict[str, Any]:
    capacity = {"cpu": "4", "memory": "4147483648", "disk": "30914475008"}
    return {
        "time": "2026-01-01T00:00:00Z",
        "node": {"hostname": name, "os": "linux", "arch": "arm64", "kernel": "6.1.0-18"},
        "nodestats": {"usage": {"cpu": "0.27", "memory": memory}, "capacity": capacity},
        "apps": [{"name": app, "version": version} for app, version in held.items()],
        "appstats": [
            {"name": app, "version": version, "status": "Running", "instances": {}}
            for app, version in held.items()
        ],
    }


class Flood:
    """The messages of one node, published as fast as it is answered."""

    def __init__(self, node_id: str, run: str, content: Any, window: int) -> None:
        message = Message(
            "report", content, {"seq": _SEQUENCE_MARK, "run": run, "interval": _INTERVAL}
        )
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

    __slots__ = (
        *("_buffer", "_counts_from", "_run", "_sequence", "_settled", "_size", "_transport"),
        *("agreed", "connections", "flood", "held", "is_waiting", "lost", "node_id", "patience"),
        *("reported_at", "settled_at", "settled_connection"),
    )

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
        connect = b"\x00\x04MQTT\x04\x02" + KEEP_ALIVE.to_bytes(2)
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
        meta = {**self._next_meta(), "interval": _INTERVAL}
        self._publish(Channel.REPORT, Message(NodeMessageKind.REPORT, content, meta))
        self.reported_at, self.is_waiting = time.monotonic(), True

    def report_again(self, interval: float) -> None:
        """Report if the last one was not answered in time, or is an *interval* ago."""
        due = min(self.patience, interval) if self.is_waiting else interval
        if self.is_connected and time.monotonic() - self.reported_at > due:
            self.patience = min(2 * self.patience, interval)
            self.report()

    def ping(self) -> None:
        """Send a PINGREQ, so that the broker keeps an idle connection."""
        self._write(_PINGREQ)

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

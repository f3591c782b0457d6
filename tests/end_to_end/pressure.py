"""What tests of pressure measure: memory, round trips and lines of the log, beside their bounds."""

import json
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.broker.node import HubNode, publish_packet
from tests.deadlines import SLOWNESS
from tests.end_to_end.conftest import Identity, Server

MIB = 1024 * 1024


@dataclass(frozen=True)
class Bounds:
    """What a server may come to: growth of its memory, log in bytes, a round trip in test units."""

    memory: float = 60 * MIB
    log: float = 40_000
    units: float = 2


class Pressure:
    """What a server came to since this was made: peak memory, and what it logged."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._directory = Path(f"/proc/{server.process.pid}")
        (self._directory / "clear_refs").write_text("5")  # the peak begins anew
        self._before = self._status("VmRSS")
        self._written = len(server.log())

    def hold(self, what: str, round_trip: float, bounds: Bounds) -> None:
        """Print all that was measured beside *bounds*, and hold the server to them.

        *round_trip* is the worst of one that was not part of the pressure, in seconds.
        """
        grown, log = self._status("VmHWM") - self._before, len(self._server.log()) - self._written
        longest = bounds.units * SLOWNESS
        sys.stdout.write(
            f"\n{what}: memory +{grown / MIB:.0f} of {bounds.memory / MIB:.0f} MiB,"
            f" worst round trip {round_trip * 1000:.0f} of {longest * 1000:.0f} ms,"
            f" log {log} of {bounds.log} bytes\n"
        )
        assert self._server.process.poll() is None
        assert grown < bounds.memory
        assert 0 < round_trip < longest
        assert log < bounds.log
        assert "Traceback" not in self._server.log()

    def _status(self, name: str) -> int:
        lines = (self._directory / "status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


class _PressureCaller:
    """Asks the API as a proper client, on a connection of its own each time, until ended."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.worst = 0.0
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            with self._server.client() as api:
                api.get("/v1/nodes").raise_for_status()
            self.worst = max(self.worst, time.monotonic() - began)
            self._ended.wait(0.02)

    def end(self) -> None:
        self._ended.set()
        self._thread.join(timeout=60)


@contextmanager
def bounded(server: Server, what: str, **bounds: float) -> Iterator[None]:
    """Hold the server to `Bounds` in the block, as a client of the API sees it meanwhile."""
    pressure, caller = Pressure(server), _PressureCaller(server)
    try:
        yield
    finally:
        caller.end()
    pressure.hold(what, caller.worst, Bounds(**bounds))


def refusals(server: Server, bound: str) -> float:
    """How many were refused at *bound* since the server started."""
    with server.client() as api:
        text = api.get("/metrics").raise_for_status().text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("bound") == bound:
                return float(sample.value)
    raise AssertionError(bound)


class Speaker:
    """A node that speaks JSON over raw MQTT, and reads only when it is asked to."""

    def __init__(self, node: HubNode, identity: Identity) -> None:
        self.node = node
        self.identity = identity
        self.sequence = 0

    def send(self, channel: str, kind: str, content: Any, **meta: Any) -> None:
        """Publish a message of QoS 1; nothing is waited for."""
        self.sequence += 1
        envelope = {"kind": kind, "meta": {"run": "r", "seq": self.sequence, **meta}}
        payload = json.dumps({**envelope, "content": content}).encode()
        self.raw(channel, payload)

    def raw(self, channel: str, payload: bytes) -> None:
        """Publish *payload*."""
        topic, packet_id = self.identity.topic(channel), self.sequence % 65_535 + 1
        self.node.send(publish_packet(topic, payload, packet_id=packet_id))

    async def answer(self) -> dict[str, Any]:
        """The next message that comes, acknowledgements left out."""
        while True:
            first, body = await self.node.read()
            if first >> 4 == 3:
                length = int.from_bytes(body[:2])
                answer: dict[str, Any] = json.loads(body[2 + length :])
                return answer

    async def report(self, **content: Any) -> float:
        """Report, wait for the answer; seconds from one to the other."""
        began = time.perf_counter()
        self.send("report", "report", content)
        while (await self.answer())["meta"].get("seq") != self.sequence:
            pass
        return time.perf_counter() - began


@asynccontextmanager
async def speaking(server: Server, identity: Identity) -> AsyncIterator[Speaker]:
    """*identity* connected and subscribed."""
    node = await HubNode.open(server.mqtt_port, identity.context())
    try:
        node.connect(identity.node_id)
        assert await node.connack() == 0
        await node.subscribe_all(identity.node_id)
        yield Speaker(node, identity)
    finally:
        await node.close()


def percentile(values: Sequence[float], share: float) -> float:
    """The value that *share* of *values* do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

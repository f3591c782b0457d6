"""What tests of pressure measure: memory, round trips and lines of the log, beside their bounds."""

import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.broker.node import HubNode, publish_packet
from tests.end_to_end.conftest import Identity, Server

MIB = 1024 * 1024


def show(what: str, measured: float, bound: float, unit: str) -> None:
    """Print a figure beside its bound, for `pytest -s` and for reports of failures."""
    sys.stdout.write(f"{what}: {measured:.1f} {unit}, bound {bound:.1f} {unit}\n")


class Memory:
    """Peak memory of a server since this was made."""

    def __init__(self, server: Server) -> None:
        self._directory = Path(f"/proc/{server.process.pid}")
        (self._directory / "clear_refs").write_text("5")  # the peak begins anew
        self._before = self._status("VmRSS")

    @property
    def growth(self) -> float:
        """Bytes that were taken on top at most."""
        return self._status("VmHWM") - self._before

    def _status(self, name: str) -> int:
        lines = (self._directory / "status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


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

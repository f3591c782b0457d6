"""A node made of paho-mqtt and the page docs/protocol.md, nothing of ours."""

import json
import queue
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.deadlines import UNIT
from tests.end_to_end.conftest import Identity, Server


class MqttNode:
    """A connected node that speaks JSON; what it receives waits in a queue for each channel."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.sequence = 0
        self.connected = threading.Event()
        self.subscribed = threading.Event()
        self.disconnected = threading.Event()
        self.refused = 0
        self.acked: queue.Queue[int] = queue.Queue()
        self.received: dict[str, queue.Queue[Any]] = {
            "delta": queue.Queue(),
            "desire-response": queue.Queue(),
            "renew-response": queue.Queue(),
            "command": queue.Queue(),
        }
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=identity.node_id,
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        self.client.tls_set_context(identity.context())
        # No cycle: a client that only the garbage collector frees may be after its sockets.
        own = weakref.proxy(self)
        self.client.on_connect = lambda *given: own._on_connect(*given)
        self.client.on_subscribe = lambda *_: own.subscribed.set()
        self.client.on_disconnect = lambda *_: own.disconnected.set()
        self.client.on_publish = lambda _c, _u, mid, *_: own.acked.put(mid)
        self.client.on_message = lambda *given: own._on_message(*given)

    def _on_connect(self, client: mqtt.Client, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        if reason.is_failure:
            self.refused = reason.value
            self.disconnected.set()
            return
        self.connected.set()
        client.subscribe([(self.identity.topic(channel), 1) for channel in self.received])

    def _on_message(self, _c: Any, _u: Any, message: mqtt.MQTTMessage) -> None:
        self.received[message.topic.rpartition("/")[2]].put(json.loads(message.payload))

    def send(self, channel: str, kind: str, content: Any, **meta: Any) -> mqtt.MQTTMessageInfo:
        payload = json.dumps({"kind": kind, "meta": meta, "content": content})
        return self.client.publish(self.identity.topic(channel), payload, qos=1)

    def next(self, channel: str = "delta") -> Any:
        try:
            return self.received[channel].get(timeout=30 * UNIT)
        except queue.Empty:
            pytest.fail(f"nothing came on {channel}")

    def report(self, **content: Any) -> Any:
        """Answer to a report with *content*; pushes that came before it are skipped."""
        self.sequence += 1
        self.send("report", "report", content, seq=self.sequence, run="r")
        while True:
            answer = self.next()
            if answer["meta"].get("seq") == self.sequence:
                return answer

    def fetch(self, *infos: tuple[str, str], request: str = "q") -> Any:
        content = {"infos": [{"kind": kind, "name": name, "version": ""} for kind, name in infos]}
        self.send("desire", "desire", content, **{"x-baetyl-request-id": request})
        answer = self.next("desire-response")
        assert answer["meta"]["x-baetyl-request-id"] == request
        return answer


@contextmanager
def connected(server: Server, identity: Identity) -> Iterator[MqttNode]:
    """*identity* connected and subscribed."""
    node = MqttNode(identity)
    node.client.connect("localhost", server.mqtt_port)
    node.client.loop_start()
    try:
        assert node.connected.wait(10 * UNIT), "not connected"
        assert node.subscribed.wait(10 * UNIT), "not subscribed"
        yield node
    finally:
        node.client.disconnect()
        node.client.loop_stop()

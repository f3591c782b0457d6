"""The two links of a stock agent, over real connections."""

import json
import queue
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.baetyl.agent import AgentFailed, StockAgent
from tests.deadlines import UNIT
from tests.end_to_end.conftest import Identity, Server

TIMEOUT = 10 * UNIT


class HttpsLink:
    """`httplink`: each question a request, nothing is pushed."""

    def __init__(self, client: httpx.Client, service: str) -> None:
        self._client = client
        self._service = service

    def _post(self, path: str, kind: str, content: Any, headers: Mapping[str, str]) -> bytes:
        sent = {"Content-Type": "application/json", "kind": kind, **headers}
        answer = self._client.post(path, content=json.dumps(content), headers=sent)
        if not 200 <= answer.status_code <= 208:
            raise AgentFailed(f"[{answer.status_code}] {answer.text}")
        return answer.content

    def sync(self, agent: StockAgent) -> None:
        """Report, and take the answer."""
        delta = self._post("v1/sync/report", "report", agent.report, {"source": self._service})
        agent.receive(delta)

    def desire(self, content: Any) -> bytes:
        """As in `Link`."""
        return self._post("v1/sync/desire", "desire", content, {"x-baetyl-platform": "linux-amd64"})


class MqttLink:
    """`mqttlink`: reports are not waited for, deltas come at any time, desire waits by an id."""

    def __init__(self, identity: Identity, port: int, service: str, qos: int) -> None:
        self._identity = identity
        self._service = service
        self._qos = qos
        namespace, name = identity.node_id.split(".", 1)
        self._meta = {"namespace": namespace, "name": name}
        self._topics = {kind: identity.topic(kind) for kind in ("report", "desire")}
        self._subscribed = threading.Event()
        self._deltas: queue.Queue[bytes] = queue.Queue()
        self._answers: dict[str, queue.Queue[tuple[str, bytes]]] = {}
        self.lost = threading.Event()
        self.state = "unknown"
        self.faults: list[str] = []  # what the real agent would have dropped
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=identity.node_id,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        self.client.tls_set_context(identity.context())
        self.client.on_connect = self._subscribe
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_disconnect = lambda *_: self.lost.set()
        self.client.on_message = lambda _c, _u, message: self._received(bytes(message.payload))
        self.client.connect("localhost", port)
        self.client.loop_start()
        assert self._subscribed.wait(TIMEOUT), "not subscribed"

    def _subscribe(self, client: mqtt.Client, *_: Any) -> None:
        topics = (self._identity.topic(channel) for channel in ("delta", "desire-response"))
        client.subscribe([(topic, self._qos) for topic in topics])

    def close(self) -> None:
        """End the connection."""
        self.client.disconnect()
        self.client.loop_stop()

    def sync(self, agent: StockAgent) -> None:
        """Report, wait for what comes, and take it."""
        self._send("report", agent.report, {"source": self._service})
        self.hear(agent)

    def hear(self, agent: StockAgent) -> None:
        """Take the next delta, and all that came besides."""
        try:
            agent.receive(self._deltas.get(timeout=TIMEOUT))
            while True:
                agent.receive(self._deltas.get_nowait())
        except queue.Empty:
            return

    def desire(self, content: Any) -> bytes:
        """As in `Link`."""
        request = str(uuid.uuid4())
        waiting = self._answers[request] = queue.Queue(1)
        meta = {"x-baetyl-request-id": request, "sync": "true"}
        self._send("desire", content, {**meta, "x-baetyl-platform": "linux-amd64"})
        try:
            kind, answer = waiting.get(timeout=TIMEOUT)
        except queue.Empty:
            raise AgentFailed("request timeout") from None
        finally:
            del self._answers[request]
        if kind == "error":
            raise AgentFailed(json.loads(answer))
        return answer

    def _send(self, kind: str, content: Any, meta: dict[str, str]) -> None:
        message = {"kind": kind, "meta": {**meta, **self._meta}, "content": content}
        self.client.publish(self._topics[kind], json.dumps(message), qos=self._qos)

    def _received(self, payload: bytes) -> None:
        kind, meta, content = opened(payload)
        if not all(isinstance(value, str) for value in meta.values()):
            self.faults.append(f"cannot unmarshal number into Go struct field: {payload!r}")
            return
        if meta.get("sync"):
            waiting = self._answers.get(meta.get("x-baetyl-request-id", ""))
            if waiting is not None:
                waiting.put((kind, content))
        elif kind == "error":
            sentence = f"The (node) resource ({meta.get('name', '')}) is not found."
            is_gone = json.loads(content).endswith(sentence)
            self.state = "node not found" if is_gone else "succeeded"
        elif kind == "report":
            self.state = "succeeded"
            self._deltas.put(content)


def opened(payload: bytes) -> tuple[str, dict[str, Any], bytes]:
    """Kind, meta and content of an envelope, the content as the JSON text it came as."""
    envelope = json.loads(payload)
    if not isinstance(envelope["kind"], str) or not isinstance(envelope["meta"], dict):
        raise AgentFailed(f"failed to parse message {payload!r}")
    _, _, rest = payload.partition(b'"content":')
    decoder = json.JSONDecoder()
    text = rest.decode()
    _, end = decoder.raw_decode(text)
    return envelope["kind"], envelope["meta"], text[:end].encode()


@contextmanager
def https_link(
    server: Server, identity: Identity, service: str = "baetyl-core"
) -> Iterator[HttpsLink]:
    """A link to the sync port of *server*."""
    with httpx.Client(base_url=server.sync, verify=identity.context(), timeout=TIMEOUT) as client:
        yield HttpsLink(client, service)


@contextmanager
def mqtt_link(
    server: Server, identity: Identity, service: str = "baetyl-core", *, qos: int = 1
) -> Iterator[MqttLink]:
    """A link to the hub of *server*; nothing that came over it may have been dropped."""
    link = MqttLink(identity, server.mqtt_port, service, qos)
    try:
        yield link
    finally:
        link.close()
    assert link.faults == []

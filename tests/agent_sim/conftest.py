"""The far side of the network: an authority, an activation server, Mosquitto and who answers."""

import asyncio
import getpass
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from agent_sim.activation import open_client
from agent_sim.agent import Network
from agent_sim.events import Connected, Started
from agent_sim.state import read_ca
from agent_sim.watch import MachineClock
from agent_sim.wire import NodeMessage
from broker.messages import Encoding, Message, decode_message, encode_message, encoding_of
from broker.topics import Channel, parse_topic, topic_for
from tests.agent_sim.authority import SimulatorAuthority
from tests.agent_sim.node import SimulatedNode
from tests.agent_sim.server_model import ServerModel
from tests.deadlines import UNIT
from tests.ports import free_port

DEADLINE_SECONDS = 20 * UNIT


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> SimulatorAuthority:
    return SimulatorAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def foreign_authority(tmp_path_factory: pytest.TempPathFactory) -> SimulatorAuthority:
    return SimulatorAuthority(tmp_path_factory.mktemp("foreign"))


Eventually = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture
def eventually() -> Eventually:
    """Wait until a condition holds; fail at the deadline."""

    async def wait(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not condition():  # noqa: ASYNC110  # what is waited for has no event
                await asyncio.sleep(0.01)

    return wait


# -- activation ------------------------------------------------------------------------------------

Answer = Callable[[dict[str, Any]], tuple[int, Any]]


@dataclass
class ActivationServer:
    url: str
    answer: Answer
    requests: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def activation_server(authority: SimulatorAuthority) -> Iterator[ActivationServer]:
    """Real HTTPS; gives everybody a certificate unless a test replaces `answer`."""

    def certificate_for(claim: dict[str, Any]) -> tuple[int, Any]:
        name, namespace = claim["fingerprintValue"], claim["namespace"]
        pem = authority.sign(claim["csr"], f"{namespace}.{name}")
        pair = {"ca": authority.root_pem, "cert": pem, "key": ""}
        return 200, {
            "nodeName": name,
            "namespace": namespace,
            "certificate": pair,
            "mqttCert": pair,
            "time": "2026-11-23T12:00:00Z",
        }

    class ActivationHandler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.requests.append({"path": self.path, **body})
            status, answer = found.answer(body)
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    class SimulatedServer(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("activation", is_server=True))
    with SimulatedServer(("127.0.0.1", 0), ActivationHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        found = ActivationServer(f"https://127.0.0.1:{server.server_port}", certificate_for)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield found
        server.shutdown()
        thread.join(timeout=60)


# -- MQTT ------------------------------------------------------------------------------------------


class SimulatorBroker:
    """A broker that wants certificates, on a port of its own that survives a restart."""

    def __init__(self, directory: Path, authority: SimulatorAuthority) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        certificate, key = authority.issue("broker", is_server=True)
        rules = directory / "acl"
        rules.write_text(
            "user server\ntopic readwrite edge/v1/#\n\npattern readwrite edge/v1/%u/#\n"
        )
        rules.chmod(0o600)
        (directory / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\n"
            f"user {getpass.getuser()}\n"
            f"cafile {authority.root_file}\ncertfile {certificate}\nkeyfile {key}\n"
            "require_certificate true\nuse_identity_as_username true\n"
            f"acl_file {rules}\nset_tcp_nodelay true\n"
        )

    def start(self) -> None:
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["mosquitto", "-c", str(self._directory / "mosquitto.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not _is_open(self.port):
            gone = self._process.poll() is not None
            if gone or time.monotonic() > deadline:
                raise AssertionError((self._directory / "log").read_text())

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=60)
            self._process = None


def _is_open(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


@pytest.fixture
def mosquitto(authority: SimulatorAuthority, tmp_path: Path) -> Iterator[SimulatorBroker]:
    if shutil.which("mosquitto") is None:
        if os.environ.get("CI"):
            pytest.fail("there is no mosquitto on PATH")
        pytest.skip("there is no mosquitto on PATH: nodes were not tried on a real broker")
    directory = tmp_path / "mosquitto"
    directory.mkdir()
    mosquitto = SimulatorBroker(directory, authority)
    mosquitto.start()
    yield mosquitto
    mosquitto.stop()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A listener that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@dataclass
class Responder:
    """Answers every node by the model, and stores all messages."""

    model: ServerModel
    client: Client
    messages: list[tuple[str, Channel, Any]] = field(default_factory=list)
    encodings: dict[str, Encoding] = field(default_factory=dict)
    subscribed: threading.Event = field(default_factory=threading.Event)

    def on_message(self, client: Client, _: Any, received: MQTTMessage) -> None:
        node_id, channel = parse_topic(received.topic)
        payload = bytes(received.payload)
        message = decode_message(payload)
        self.messages.append((node_id, channel, message))
        self.encodings[node_id] = encoding_of(payload)
        heard = NodeMessage(message.kind, message.content, message.meta)
        answer = self.model.answer(channel, heard)
        if answer is not None:
            where, delta = answer
            reply = Message(delta.kind, delta.content, delta.meta)
            client.publish(topic_for(node_id, where), encode_message(reply, encoding_of(payload)))

    def received(self, node_id: str, channel: Channel) -> list[Any]:
        return [m for who, where, m in list(self.messages) if (who, where) == (node_id, channel)]

    def on_connect(self, client: Client, *_: Any) -> None:
        client.subscribe([(f"edge/v1/+/{c}", 1) for c in ("report", "stats", "desire")])

    def send(self, topic: str, payload: bytes) -> None:
        self.client.publish(topic, payload).wait_for_publish(DEADLINE_SECONDS)


@pytest.fixture
def responder(authority: SimulatorAuthority, mosquitto: SimulatorBroker) -> Iterator[Responder]:
    client = Client(CallbackAPIVersion.VERSION2, "server")
    client.tls_set_context(authority.client_context("server"))
    client.reconnect_delay_set(1, 1)
    responder = Responder(ServerModel(), client)
    client.on_message = responder.on_message
    client.on_connect = responder.on_connect
    client.on_subscribe = lambda *_: responder.subscribed.set()
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    assert responder.subscribed.wait(DEADLINE_SECONDS)
    yield responder
    client.disconnect()
    client.loop_stop()


@pytest.fixture
async def network(
    activation_server: ActivationServer, authority: SimulatorAuthority
) -> AsyncIterator[Network]:
    trust = read_ca(authority.root_file)
    with ThreadPoolExecutor(4) as executor:
        async with open_client(activation_server.url, trust) as client:
            watch = MachineClock(activation_server.url, trust)
            yield Network(client, asyncio.Semaphore(4), executor, watch)


@pytest.fixture
def node() -> SimulatedNode:
    node = SimulatedNode()
    node.happen(Started(), Connected())
    return node


@pytest.fixture
def server() -> ServerModel:
    server = ServerModel()
    server.put_file("configuration", "conf")
    server.put_file("secret", "cert")
    server.put_app("web", ("configuration", "conf"), ("secret", "cert"), replica=2)
    return server

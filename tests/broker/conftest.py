"""Certificates of a small authority, a hub on a free port, and a node that speaks raw MQTT."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest

from broker.client import open_client_hub
from broker.embedded import EmbeddedHub, open_embedded_hub
from broker.hub import Gate, Hub, ShownCertificate
from broker.nats_admission import client_id_for
from broker.nats_hub import open_nats_hub
from tests.broker.authority import HubAuthority
from tests.broker.managed import running_managed
from tests.broker.mosquitto import NEEDS_MOSQUITTO, Mosquitto, running_mosquitto
from tests.broker.nats import NEEDS_NATS, running_nats
from tests.broker.node import HubNode, until


class OpenHub(Protocol):
    def __call__(self, **settings: Any) -> AbstractAsyncContextManager[EmbeddedHub]: ...


class Reachable(Protocol):
    """Where nodes connect to."""

    @property
    def port(self) -> int: ...


class HubSite(NamedTuple):
    """A hub of any kind, and the port its nodes connect to."""

    hub: Hub
    port: int
    client_id: Callable[[str], str] = str
    """The MQTT client id of a node."""


class Connect(Protocol):
    async def __call__(
        self, hub: Reachable, node_id: str, *, subscribe: bool = False, **settings: Any
    ) -> HubNode: ...


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Every promise on both event loops: uvloop serves, asyncio's is what others may run on."""
    return request.param


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> HubAuthority:
    return HubAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def foreign_authority(tmp_path_factory: pytest.TempPathFactory) -> HubAuthority:
    return HubAuthority(tmp_path_factory.mktemp("foreign"))


def now_utc() -> datetime:
    return datetime.now(UTC)


async def let_in(node_id: str, shown: ShownCertificate) -> bool:
    return True


@pytest.fixture
def server_tls(authority: HubAuthority) -> ssl.SSLContext:
    return authority.server_context()


@pytest.fixture
def open_hub(server_tls: ssl.SSLContext) -> OpenHub:
    @asynccontextmanager
    async def opened(*, gate: Gate = let_in, **settings: Any) -> AsyncIterator[EmbeddedHub]:
        settings = {"host": "127.0.0.1", "port": 0, "tls": server_tls, **settings}
        async with open_embedded_hub(gate=gate, **{"clock": now_utc, **settings}) as hub:
            yield hub

    return opened


@pytest.fixture
async def hub(open_hub: OpenHub) -> AsyncIterator[EmbeddedHub]:
    async with open_hub() as hub:
        yield hub


@pytest.fixture
async def mosquitto(authority: HubAuthority, tmp_path: Path) -> AsyncIterator[Mosquitto]:
    """A broker that stands by itself."""
    async with running_mosquitto(tmp_path, authority) as mosquitto:
        yield mosquitto


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("mosquitto", marks=NEEDS_MOSQUITTO),
        pytest.param("managed", marks=NEEDS_MOSQUITTO),
        pytest.param("nats", marks=NEEDS_NATS),
    ]
)
async def site(
    request: pytest.FixtureRequest, open_hub: OpenHub, authority: HubAuthority, tmp_path: Path
) -> AsyncIterator[HubSite]:
    """Every kind of hub."""
    if request.param == "embedded":
        async with open_hub() as hub:
            yield HubSite(hub, hub.port)
        return
    if request.param == "managed":
        async with (
            running_managed(tmp_path, authority) as managed,
            open_client_hub(managed.broker) as client,
        ):
            await client.wait_attached()
            yield HubSite(client, managed.port)
        return
    if request.param == "nats":
        async with (
            running_nats(tmp_path, authority, count=1) as nats,
            open_nats_hub(nats.address("server-1"), let_in, now_utc) as nats_hub,
        ):
            await until(lambda: nats_hub.is_attached)
            yield HubSite(nats_hub, nats.port, client_id_for)
        return
    async with (
        running_mosquitto(tmp_path, authority) as mosquitto,
        open_client_hub(mosquitto.broker("server-1")) as client,
    ):
        await until(lambda: client.is_attached)
        yield HubSite(client, mosquitto.port)


@pytest.fixture
async def connect(authority: HubAuthority) -> AsyncIterator[Connect]:
    """Connect nodes; their sockets are closed when the test ends."""
    nodes: list[HubNode] = []

    async def connected(
        hub: Reachable, node_id: str, *, subscribe: bool = False, **settings: Any
    ) -> HubNode:
        context = settings.pop("context", None) or authority.client_context(node_id)
        node = await HubNode.open(hub.port, context)
        nodes.append(node)
        client_id = getattr(hub, "client_id", str)(node_id)
        node.connect(settings.pop("client_id", client_id), **settings)
        assert await node.connack() == 0
        if subscribe:
            await node.subscribe_all(node_id)
        return node

    yield connected
    for node in nodes:
        await node.close()


@pytest.fixture
def certificate_files(authority: HubAuthority) -> Path:
    return authority.directory

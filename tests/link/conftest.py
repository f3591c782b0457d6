"""A hub without sockets: a test puts in what nodes send and reads what they receive."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from broker.hub import Inbound
from broker.messages import Encoding, Message, decode_message, encode_message
from broker.node_budgets import NodeBudgets
from broker.topics import Channel
from cloud.core.app import AppSpec, Ref, Service, Volume
from cloud.core.certificate import NodeCertificate
from cloud.core.config import ConfigItem, ConfigSpec, KeyValue
from cloud.core.node import NodeSpec
from cloud.core.rate import Rate
from cloud.core.registry import RegistrySpec
from cloud.core.secret import SecretSpec
from cloud.http.refusals import RefusalLog
from cloud.link.exchange import Exchange
from cloud.link.sync import sync_app
from cloud.operations.apps import create_app
from cloud.operations.configs import create_config
from cloud.operations.nodes import create_node
from cloud.operations.registries import create_registry
from cloud.operations.secrets import create_secret
from cloud.store.transaction import Store, Transaction
from tests.broker.authority import HubAuthority
from tests.builders import open_store
from tests.deadlines import UNIT
from tests.serving import serving

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NODE = "default.n1"


@dataclass
class FakeHub:
    """The far side of the network."""

    connected: set[str] = field(default_factory=set)
    pushed: list[tuple[str, Channel, Message, Encoding]] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    lifetimes: list[timedelta] = field(default_factory=list)
    acked: list[Any] = field(default_factory=list)
    is_attached: bool = True
    queued_count: int = 0
    losing: bool = False  # the next push finds that nodes cannot be reached

    async def receive(self, limit: int) -> Sequence[Inbound]:
        raise AssertionError("tests hand messages to the inbox")

    def push(self, node_id: str, channel: Channel, payload: bytes) -> bool:
        if self.losing:
            self.losing = self.is_attached = False
            return False
        encoding = Encoding.JSON if payload[:1] == b"{" else Encoding.MSGPACK
        self.pushed.append((node_id, channel, decode_message(payload), encoding))
        self.payloads.append(payload)
        return node_id in self.connected

    async def send(
        self, node_id: str, channel: Channel, payload: bytes, lifetime: timedelta
    ) -> bool:
        self.lifetimes.append(lifetime)
        return self.push(node_id, channel, payload)

    def is_connected(self, node_id: str) -> bool:
        return node_id in self.connected

    def unread_bytes(self, node_id: str) -> int:
        return 0

    def disconnect(self, node_id: str) -> None:
        self.connected.discard(node_id)

    def inbound(
        self,
        channel: Channel,
        message: Message | bytes,
        *,
        node_id: str = "default.n1",
        encoding: Encoding = Encoding.JSON,
    ) -> Inbound:
        payload = message if isinstance(message, bytes) else encode_message(message, encoding)
        return Inbound(node_id, channel, payload, lambda: self.acked.append(payload))


@pytest.fixture
def hub() -> FakeHub:
    return FakeHub(connected={"default.n1"})


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path) as opened:
        yield opened


def describe(tx: Transaction) -> None:
    """One node, and one app for it that uses a config, a secret and a registry."""
    create_node(tx, "default", "n1", NodeSpec(labels={"role": "gateway"}), now=NOW)
    create_config(
        tx,
        "default",
        "conf",
        ConfigSpec(data=(ConfigItem("a.conf", KeyValue("{{ .Hostname }}")),)),
        now=NOW,
    )
    create_secret(tx, "default", "password", SecretSpec({"password": "öpen"}), now=NOW)
    create_secret(tx, "default", "other", SecretSpec({"password": "not for n1"}), now=NOW)
    for name in ("hub", "other-hub"):
        registry = RegistrySpec("hub.example.com", "puller", f"of {name}")
        create_registry(tx, "default", name, registry, now=NOW)
    spec = AppSpec(
        selector="role=gateway",
        services=(Service("web", image="nginx:1"),),
        volumes=(
            Volume("conf", config=Ref("conf")),
            Volume("password", secret=Ref("password")),
        ),
        registries=(Ref("hub"),),
    )
    create_app(tx, "default", "web", spec, now=NOW)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> HubAuthority:
    made = HubAuthority(tmp_path_factory.mktemp("authority"))
    for name in (NODE, "default.n2"):
        made.issue(name, [name])
    return made


@dataclass
class ServerLink:
    """A server of the link, and how to reach it as some node."""

    url: str
    authority: HubAuthority
    exchange: Exchange
    store: Store
    now: datetime = NOW

    def client(self, name: str | None = NODE) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.url, verify=self.authority.client_context(name), timeout=20 * UNIT
        )

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        async with self.client() as client:
            return await client.post(path, json=body, headers=headers)


@pytest.fixture
async def link(authority: HubAuthority, store: Store) -> AsyncIterator[ServerLink]:
    await store.write(describe)
    await store.write(lambda tx: admit(tx, authority))
    here = ServerLink("", authority, Exchange(store, lambda: here.now), store)
    refusals = RefusalLog(store, lambda: 0.0, rate=Rate(2, 1))
    budgets = NodeBudgets(1, 0, timer=lambda: 0.0)  # ten at once
    app = sync_app(here.exchange, new_id=lambda: "id", refusals=refusals, budgets=budgets)
    async with serving(app, authority.server_context()) as url:
        here.url = url
        yield here


def admit(tx: Transaction, authority: HubAuthority) -> None:
    create_node(tx, "default", "n2", NodeSpec(), now=NOW)
    ends = NOW + timedelta(days=90)
    for name in (NODE, "default.n2"):
        tx.put_certificate(NodeCertificate(authority.serials[name], name, NOW, ends))

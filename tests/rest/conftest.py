"""The API behind a real web server on a port of its own."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud.core.channel import NotificationChannel
from cloud.core.installation import digest_of
from cloud.core.listing import LIST_BYTES, LIST_LIMIT
from cloud.core.rate import Rate
from cloud.core.revisions import REVISIONS_KEPT
from cloud.core.sending import Delivery, DeliveryAttempt
from cloud.http.addresses import Network
from cloud.http.metrics import Metrics
from cloud.http.notifier import Notifier
from cloud.http.refusals import RefusalLog
from cloud.jobs.event_feed import EventFeed
from cloud.operations.channels import record_test
from cloud.rest.app import rest_app
from cloud.rest.authenticator import NO_LIMITS, Authenticator, CallLimits
from cloud.rest.continuation import Continuations
from cloud.rest.count_cache import CountCache
from cloud.rest.event_stream import EventStreams, StreamLimits
from cloud.rest.metrics import add_certificate_metrics, add_store_metrics
from cloud.rest.places import Places, command_waits
from cloud.rest.services import Services
from cloud.rest.sessions import Sessions
from cloud.rest.sign_in.command_line import CommandLineSignIn
from cloud.rest.sign_in.local import LocalSignIn
from cloud.rest.sign_in.passwords import Passwords
from cloud.store.transaction import Store
from tests.builders import open_store
from tests.conftest import StoreFactory
from tests.deadlines import UNIT
from tests.plain_http import NO_TLS
from tests.serving import serving

TOKEN = "a token for tests"
REQUEST_ID = "a-request-id"
STREAM_LIMITS = StreamLimits()


@dataclass
class ManualClock:
    """Time that passes when a test advances it."""

    now: datetime = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class ApiCaller:
    """A caller with the token."""

    http: httpx.AsyncClient
    headers: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """Answer of a request that succeeds."""
        response = await self.send(method, path, body)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/json"
        return response.json()

    async def refused(
        self, method: str, path: str, body: object = None, *, status: int, code: str
    ) -> str:
        """Message of a request that is refused in the shape of all errors."""
        response = await self.send(method, path, body)
        answer = response.json()
        assert (response.status_code, answer["code"]) == (status, code), response.text
        assert set(answer) - {"field"} == {"code", "message", "request-id"}
        assert answer["request-id"] == response.headers["x-bce-request-id"] == REQUEST_ID
        message: str = answer["message"]
        return message

    async def send(self, method: str, path: str, body: object = None) -> httpx.Response:
        content: Mapping[str, Any] = {}
        headers = self.headers
        if isinstance(body, bytes):
            content = {"content": body}
        elif body is not None:
            content = {"json": body}
        if method == "PATCH":
            headers = {"Content-Type": "application/merge-patch+json", **headers}
        return await self.http.request(method, path, headers=headers, **content)

    def within(self, namespace: str) -> "ApiCaller":
        return self.saying(**{"X-Edgesync-Namespace": namespace})

    def saying(self, **headers: str) -> "ApiCaller":
        """The same caller, with more in its requests' heads."""
        return ApiCaller(self.http, {**self.headers, **headers})


@dataclass
class World:
    """Everything about one server."""

    client: ApiCaller
    url: str
    store: Store
    clock: ManualClock
    cut_off: list[str] = field(default_factory=list)
    checks: dict[str, Any] = field(default_factory=dict)
    woken: list[str] = field(default_factory=list)
    connected: set[str] = field(default_factory=set)
    notifier: Notifier = field(default_factory=Notifier)
    feed: EventFeed = field(kw_only=True)


def caller(url: str, headers: Mapping[str, str] | None = None) -> httpx.AsyncClient:
    """A caller of a server without TLS."""
    return httpx.AsyncClient(base_url=url, headers=headers, verify=NO_TLS, timeout=20 * UNIT)


@contextlib.asynccontextmanager
async def open_world(
    tmp_path: Path,
    *,
    can_sign: bool = True,
    limits: CallLimits = NO_LIMITS,
    trusted_proxies: Sequence[Network] = (),
    open_store: StoreFactory = open_store,
    stream_limits: StreamLimits = STREAM_LIMITS,
    revisions_kept: int = REVISIONS_KEPT,
    waits: Places | None = None,
    list_limit: int = LIST_LIMIT,
    list_bytes: int = LIST_BYTES,
) -> AsyncIterator[World]:
    """A server with an empty store."""
    clock, numbers, tokens = ManualClock(), count(1), count(1)
    cut_off: list[str] = []
    woken: list[str] = []
    connected: set[str] = set()
    notifier = Notifier()
    checks: dict[str, Any] = {}
    # The codes of the audit log are in golden answers too.
    key = tmp_path / "audit.key"
    key.write_text("A" * 43 + "=")
    key.chmod(0o600)
    async with open_store(tmp_path) as store:
        metrics = Metrics()
        feed = EventFeed(
            store, clock, wake_callbacks=lambda: woken.append("callbacks"), metrics=metrics
        )
        ends = {"root": clock.now + timedelta(days=1000)}
        add_certificate_metrics(metrics, store, clock, lambda: ends)
        add_store_metrics(metrics, store, clock, lambda: clock.now.timestamp())
        refusals = RefusalLog(store, lambda: clock.now.timestamp(), rate=Rate(3, 0.01))
        digest = digest_of(TOKEN)

        async def try_channel(channel: NotificationChannel, delivery: Delivery) -> DeliveryAttempt:
            error = channel.spec.description  # the refusal that a test wants
            attempt = DeliveryAttempt(delivery, error, "answered 200")
            await store.write(lambda tx: record_test(tx, attempt, now=clock.now))
            return attempt

        services = Services(
            store=store,
            clock=clock,
            new_id=lambda: f"id{next(numbers)}",
            new_token=lambda: f"token{next(tokens)}",
            version="1.2.3",
            default_namespace="default",
            authenticator=Authenticator(digest, store, clock, limits, refusals, store.revision),
            sessions=Sessions(b"32 bytes: a key of sessions here"),
            local_sign_in=LocalSignIn(
                store,
                Passwords(memory_kib=64),
                refusals,
                clock=clock,
                timer=lambda: clock.now.timestamp(),
                new_id=lambda: f"id{next(numbers)}",
            ),
            command_line=CommandLineSignIn(
                store,
                b"32 bytes: a key of sessions here",
                clock=clock,
                timer=lambda: clock.now.timestamp(),
                new_id=lambda: f"id{next(numbers)}",
            ),
            continuations=Continuations(b"a key for tests"),
            counts=CountCache(clock),
            streams=EventStreams(feed, stream_limits),
            metrics=metrics,
            refusals=refusals,
            on_revoked=cut_off.append,
            is_connected=lambda node_id: node_id in connected,
            wake_callbacks=lambda: woken.append("callbacks"),
            try_channel=try_channel,
            wake_channels=lambda: woken.append("channels"),
            wake_commands=lambda: woken.append("commands"),
            notifier=notifier,
            install_command=lambda token: f"install with {token}",
            function_runtimes={"python36": "runtimes/python:3.6"},
            checks=checks,
            trusted_proxies=trusted_proxies,
            can_sign=can_sign,
            revisions_kept=revisions_kept,
            list_limit=list_limit,
            list_bytes=list_bytes,
            command_waits=waits or command_waits(),
        )
        headers = {"Authorization": f"Bearer {TOKEN}", "x-bce-request-id": REQUEST_ID}
        async with serving(rest_app(services)) as url, caller(url, headers) as http:
            fakes = (cut_off, checks, woken, connected, notifier)
            yield World(ApiCaller(http), url, store, clock, *fakes, feed=feed)


@pytest.fixture
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """Its parameter, where a test gives one, is whether the server can sign URLs of objects."""
    async with open_world(tmp_path, can_sign=getattr(request, "param", True)) as world:
        yield world


@pytest.fixture
def client(world: World) -> ApiCaller:
    return world.client


APP = {
    "name": "web",
    "selector": "role=gateway",
    "labels": {"team": "a"},
    "description": "a web server",
    "type": "container",
    "services": [
        {
            "name": "web",
            "image": "nginx:1",
            "hostname": "web",
            "replica": 1,
            "labels": {"tier": "front"},
            "volumeMounts": [
                {"name": "site", "mountPath": "/etc/nginx", "readOnly": True},
                {"name": "password", "mountPath": "/run/password"},
            ],
            "ports": [{"hostPort": 8080, "containerPort": 80, "protocol": "TCP"}],
            "devices": [{"devicePath": "/dev/video0", "policy": "r", "description": "camera"}],
            "args": ["-g", "daemon off;"],
            "env": [{"name": "TZ", "value": "UTC"}],
            "resources": {
                "limits": {"cpu": "0.5", "memory": "50Mi"},
                "requests": {"cpu": "100m", "memory": "20M"},
            },
            "runtime": "",
            "restart": {
                "retry": {"max": 3},
                "policy": "Always",
                "backoff": {"min": 1, "max": 10, "factor": 2.0},
            },
            "security": {"privileged": False},
            "hostNetwork": False,
        }
    ],
    "volumes": [
        {"name": "site", "config": {"name": "site"}},
        {"name": "password", "secret": {"name": "password"}},
        {"name": "data", "hostPath": {"path": "/var/data"}},
    ],
    "registries": [],
}
CONFIG = {
    "name": "site",
    "labels": {"team": "a"},
    "description": "what the server serves",
    "data": [{"key": "nginx.conf", "value": {"type": "kv", "value": "listen 80;\n"}}],
}
SECRET = {"name": "password", "description": "of the server", "data": {"password": "öpen"}}
REGISTRY = {
    "name": "hub",
    "address": "hub.example.com",
    "username": "puller",
    "password": "password of the hub",
    "description": "our images",
}
CALLBACK = {
    "name": "crm",
    "description": "tells who keeps the book",
    "url": "https://crm.example.com/activations",
    "method": "POST",
    "params": {"from": "edgesync"},
    "header": {"X-Site": "north", "Authorization": "Bearer of the crm"},
    "body": {"site": "north"},
}
CHANNEL = {
    "name": "mail",
    "type": "email",
    "smtpHost": "smtp.example.com",
    "username": "edgesync",
    "password": "secret",
    "from": "edgesync@example.com",
    "to": ["ops@example.com"],
}
NOTIFICATION_RULE = {
    "name": "fails",
    "channels": ["mail"],
    "events": ["node.failed", "node.lost"],
    "threshold": {"count": 3, "of": "nodes", "minutes": 10},
}
ROLE = {"name": "deployer", "permissions": ["update apps/web", "approve rollouts/web*"]}
NODE = {
    "name": "n1",
    "labels": {"role": "gateway"},
    "annotations": {"brand": "x"},
    "description": "by the door",
}


async def describe(client: ApiCaller) -> None:
    """One node, and an app for it with a config and a secret."""
    await client.call("POST", "/v1/nodes", NODE)
    await client.call("POST", "/v1/configs", CONFIG)
    await client.call("POST", "/v1/secrets", SECRET)
    await client.call("POST", "/v1/apps", APP)

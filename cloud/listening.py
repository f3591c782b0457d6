"""The addresses at which a server listens and is reached."""

import asyncio
import contextlib
import functools
import ipaddress
import json
import logging
import resource
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from cloud.config import BadSettings, Settings
from cloud.core.names import is_host_name
from cloud.http.connection_limits import PORTS, ConnectionLimits, shares
from cloud.http.metrics import LimitRefusals
from cloud.http.port import ListeningPort, Refused
from cloud.http.protocol import BoundedProtocol
from cloud.link.installer import ServerAddress
from cloud.opened_hub import OpenedHub
from cloud.store.admin_token_file import ADMIN_TOKEN_FILE

logger = logging.getLogger(__name__)

BACKLOG = 2048
"""Connections that wait to be accepted, at most."""

GRACE_SECONDS = 5
"""How long requests under way may take once the server has to stop."""


TICKS_A_CHECK = 5
"""uvicorn's, of 0.1 s, from one look at all connections to the next."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running server is reached, and by what it is trusted; the ready file holds this."""

    api: str
    activation: str
    mqtt: str
    sync: str
    ca: str
    admin_token_file: str

    def as_json(self) -> str:
        """The ready file's text."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__}, indent=2) + "\n"


class WebServer(uvicorn.Server):
    """A web server as one task among others, on what *port* lets in."""

    def __init__(
        self, config: uvicorn.Config, port: ListeningPort, tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(config)
        self._port = port
        self._tls = tls
        self._accepting: asyncio.Task[None] | None = None
        self.servers = []  # uvicorn's own, which take whatever the system accepts

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `serve`."""
        yield

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve connections to *sockets* until `should_exit` is set."""
        make = functools.partial(
            BoundedProtocol, config=self.config, server_state=self.server_state, app_state={}
        )
        async with asyncio.TaskGroup() as group:
            [listening] = sockets or []
            self._accepting = group.create_task(
                self._port.accept_forever(listening, self._tls, make), name="accept"
            )
            await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accepting has begun already."""
        await self.lifespan.startup()
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """Check the connections, twice a second; return whether to exit."""
        if counter % TICKS_A_CHECK == 0:
            self._port.check()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let requests under way finish, then end the rest."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        await super().shutdown(sockets)
        self._port.close()


def raise_descriptor_limit() -> int:
    """Raise the limit of file descriptors as far as allowed; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # macOS allows less than its hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def within_descriptors(settings: Settings, descriptors: int) -> Settings:
    """*settings* with limits of connections that fit into so many file *descriptors*."""
    names = [f"max_{port}_connections" for port in PORTS]
    if not settings.broker:
        names.append("max_connections")
    wanted: dict[str, int] = {name: getattr(settings, name) for name in names}
    given: Mapping[str, Any] = shares(wanted, descriptors)
    if settings.has_managed_broker:  # another process, with as many descriptors
        names.append("max_connections")
        of_broker = {"max_connections": settings.max_connections}
        wanted, given = wanted | of_broker, {**given, **shares(of_broker, descriptors)}
    logger.log(
        logging.INFO if given == wanted else logging.WARNING,
        "%s file descriptors for connections: %s%s",
        "no end of" if descriptors == sys.maxsize else descriptors,
        ", ".join(f"{name} {given[name]}" for name in names),
        "" if given == wanted else "; fewer than are set, raise the limit of descriptors for more",
    )
    return replace(settings, **given)


def open_ports(
    settings: Settings,
    *,
    counted: LimitRefusals,
    new_id: Callable[[], str],
    on_refused_handshake: Refused,
) -> tuple[ListeningPort, ListeningPort, ListeningPort]:
    """The ports of API, activation and sync, with the limits of *settings*."""

    def port(name: str) -> ListeningPort:
        return ListeningPort(
            name,
            connection_limits(settings, name),
            counted=counted,
            new_id=new_id,
            trusted_proxies=settings.proxies,
            on_refused_handshake=on_refused_handshake,
        )

    api, activation, sync = map(port, PORTS)
    return api, activation, sync


def connection_limits(settings: Settings, port: str) -> ConnectionLimits:
    """Limits of the connections of *port*, one of `PORTS`, by *settings*."""
    return ConnectionLimits(
        connections=getattr(settings, f"max_{port}_connections"),
        per_address=settings.max_connections_per_address,
        handshake_seconds=settings.head_seconds,
        head_seconds=settings.head_seconds,
        body_seconds=settings.body_seconds,
        answer_seconds=settings.answer_seconds,
    )


def web_server(app: ASGIApp, tls: ssl.SSLContext | None, port: ListeningPort) -> WebServer:
    """A server of *app* on what `listen` opened; plain HTTP without *tls*."""
    config = uvicorn.Config(
        app,
        loop="none",
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=port.limits.idle_seconds,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    config.load()
    return WebServer(config, port, tls)


@contextlib.contextmanager
def listen(host: str, port: int, setting: str) -> Iterator[socket.socket]:
    """Take the port now, so that a taken one is a clear error and 0 a known number."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY on what it accepts.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(BACKLOG)
        except OSError as error:
            raise BadSettings(
                f"{setting}: cannot listen on {host}:{port}: {error.strerror}"
            ) from error
        listener.setblocking(False)  # noqa: FBT003
        yield listener


def server_names(settings: Settings) -> tuple[list[str], list[str]]:
    """Host names and addresses the server certificate is for."""
    names, addresses = {"localhost"}, {"127.0.0.1", "::1"}
    own = socket.gethostname().lower()
    if is_host_name(own):
        names.add(own)
    for name in (*settings.server_names, settings.host):
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            names.add(name.lower())
            continue
        if not address.is_unspecified:
            addresses.add(str(address))
    return sorted(names), sorted(addresses)


def addresses_of(
    settings: Settings, listeners: Sequence[socket.socket], opened: OpenedHub, data: Path
) -> Addresses:
    """By what a server that took its ports is reached, and trusted, from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    api, activation, sync = (listener.getsockname()[1] for listener in listeners)
    return Addresses(
        api=f"{'http' if settings.is_on_loopback else 'https'}://{host}:{api}",
        activation=f"https://{host}:{activation}",
        mqtt=settings.broker_for_nodes or f"mqtts://{host}:{opened.port}",
        sync=f"https://{host}:{sync}",
        ca=str((data / "ca" / "root.pem").resolve()),
        admin_token_file=str((data / ADMIN_TOKEN_FILE).resolve()),
    )


def install_address_of(
    settings: Settings, activation: socket.socket, opened: OpenedHub
) -> ServerAddress:
    """Addresses that nodes are installed with; the certificate is for all of these names."""
    host = _host_of(settings)
    port = activation.getsockname()[1]
    own = host.strip("[]"), opened.port
    return ServerAddress(f"https://{host}:{port}", *(opened.address or own))


def _host_of(settings: Settings) -> str:
    """The first of the names by which others reach this server, as URLs have it."""
    host = settings.server_names[0] if settings.server_names else settings.host
    if host in {"0.0.0.0", "::"}:  # noqa: S104
        host = socket.gethostname().lower()
    return f"[{host}]" if ":" in host else host


def dashboard_address_of(settings: Settings, api: socket.socket) -> str:
    """Where people reach the dashboard: the setting, or how nodes reach the activation port."""
    if settings.public_url:
        return settings.public_url
    scheme = "http" if settings.is_on_loopback else "https"
    return f"{scheme}://{_host_of(settings)}:{api.getsockname()[1]}"


def announce_ready(
    addresses: Addresses, file: Path | None, announce: Callable[[str], None]
) -> None:
    """Announce the addresses once, and write the ready file atomically."""
    if file is not None:
        partial = file.with_name(file.name + ".new")
        partial.write_text(addresses.as_json(), encoding="utf-8")
        partial.rename(file)
    announce(
        f"edgesync is ready: API {addresses.api}, activation {addresses.activation},"
        f" MQTT {addresses.mqtt}, sync {addresses.sync}, CA {addresses.ca}, administrator token in"
        f" {addresses.admin_token_file}"
    )

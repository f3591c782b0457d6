"""Where a server listens, and by what addresses it is reached."""

import contextlib
import ipaddress
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from cloud.config import BadSettings, Settings
from cloud.core.names import is_host_name
from cloud.http.peer import PeerProtocol
from cloud.link.installer import ServerAddress
from cloud.opening import OpenedHub

BACKLOG = 2048
"""Connections that wait to be accepted, at most."""

GRACE_SECONDS = 5
"""How long requests under way may take once the server is told to stop."""


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


class _Server(uvicorn.Server):
    """A web server as one task among others: signals are not its business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `serve`."""
        yield


def web_server(app: ASGIApp, tls: ssl.SSLContext | None) -> uvicorn.Server:
    """A server of *app* that takes what `listen` opened; plain HTTP without *tls*."""
    config = uvicorn.Config(
        app,
        loop="none",
        http=PeerProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    config.load()
    config.ssl = tls
    return _Server(config)


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
    settings: Settings, listeners: tuple[socket.socket, ...], opened: OpenedHub, data: Path
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
        admin_token_file=str((data / "admin.token").resolve()),
    )


def install_address_of(
    settings: Settings, activation: socket.socket, opened: OpenedHub
) -> ServerAddress:
    """What a machine is told to reach this server by; its certificate is for all these names."""
    host = settings.server_names[0] if settings.server_names else settings.host
    if host in {"0.0.0.0", "::"}:  # noqa: S104
        host = socket.gethostname().lower()
    in_url = f"[{host}]" if ":" in host else host
    port = activation.getsockname()[1]
    return ServerAddress(f"https://{in_url}:{port}", *(opened.address or (host, opened.port)))


def tell_ready(addresses: Addresses, file: Path | None, announce: Callable[[str], None]) -> None:
    """Say once where everything is, to people and, whole or not at all, to the ready file."""
    if file is not None:
        partial = file.with_name(file.name + ".new")
        partial.write_text(addresses.as_json(), encoding="utf-8")
        partial.rename(file)
    announce(
        f"edgesync is ready: API {addresses.api}, activation {addresses.activation},"
        f" MQTT {addresses.mqtt}, sync {addresses.sync}, CA {addresses.ca}, administrator token in"
        f" {addresses.admin_token_file}"
    )

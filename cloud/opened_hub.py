"""An open hub of any kind, and the common parts of hubs on a broker."""

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from broker.hub import Hub
from cloud.config import Settings
from cloud.errors import Unavailable
from cloud.http.metrics import Metrics
from cloud.link.measures import add_hub_metrics

BROKER_DIRECTORY = "broker"
"""The files of a managed broker in the data directory, written anew at each start."""

Check = Callable[[], Awaitable[None]]
"""Raises Unavailable while something is not ready."""


class HubClient(Hub, Protocol):
    """A hub that is a client of a broker; see `broker.client.ClientHub`."""

    @property
    def unsent_count(self) -> int:
        """Messages to nodes that were not sent, as the broker did not read."""
        ...

    @property
    def queued_count(self) -> int:
        """How many messages wait for `receive`."""
        ...

    async def adopt(self, client_id: str) -> bool:
        """Receive what the broker keeps for another server, which is gone, and end that."""
        ...


@dataclass(frozen=True, slots=True)
class OpenedHub:
    """A hub, where nodes reach it, and what has to be true for it to be ready."""

    hub: Hub
    address: tuple[str, int] | None
    """Host and port; None for a hub at this server's own names."""
    port: int
    checks: dict[str, Check]
    is_connected: Callable[[str], bool | None]
    """Whether a node has a connection; None where only the broker knows."""
    add_metrics: Callable[[Metrics], None]
    """Adds the metrics of the hub."""
    client: HubClient | None = None
    """The hub where it is a client of a broker."""
    server_id: str = ""
    """Name of this server to a broker that others share."""
    reload: Callable[[], Awaitable[None]] | None = None
    """Has a managed broker read certificate and revocation list again; connections stay."""


def add_client_metrics(hub: HubClient, metrics: Metrics) -> None:
    """Metrics of a server on a broker; the broker has its own of connections."""
    add_hub_metrics(metrics, lambda: hub.queued_count)
    metrics.limits.add_source(lambda: {"broker_unwritten_bytes": hub.unsent_count})


def attachment(hub: HubClient) -> Check:
    """Raises Unavailable while the broker is not connected."""

    async def check() -> None:
        if not hub.is_attached:
            raise Unavailable("the broker is not connected")

    return check


def server_id_of(settings: Settings, api_port: int) -> str:
    """Name of this server to a broker that others share."""
    return settings.server_id or f"edgesync-{socket.gethostname().lower()}-{api_port}"


def managed_crl_file(settings: Settings) -> Path:
    """Where a managed broker reads the list of revoked certificates."""
    return settings.crl_file or settings.data_dir.resolve() / BROKER_DIRECTORY / "crl.pem"

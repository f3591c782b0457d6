"""The hub on a cluster of NATS servers that the settings name."""

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime

from broker.configuration import SERVER_NAME
from broker.errors import MalformedCredentials
from broker.hub import Gate
from broker.nats_credentials import NatsCredentials
from certs.authority import Authority
from certs.files import new_broker_certificate
from certs.tls import client_context
from cloud.config import BadSettings, Settings
from cloud.core.broker_urls import broker_address, broker_addresses
from cloud.http.metrics import Metrics
from cloud.opened_hub import OpenedHub, add_client_metrics, attachment, server_id_of


@contextlib.asynccontextmanager
async def open_cluster_hub(
    settings: Settings,
    authority: Authority,
    gate: Gate,
    api_port: int,
    *,
    clock: Callable[[], datetime],
) -> AsyncIterator[OpenedHub]:
    """Stay connected to the cluster; *gate* is asked for each connection of a node.

    BadSettings if the client of NATS is not installed, or the credentials cannot be read.
    """
    try:
        from broker.nats_hub import NatsAddress, open_nats_hub
    except ImportError as error:
        raise BadSettings("broker: NATS needs edgesync[nats]") from error
    server_id = server_id_of(settings, api_port)
    files = new_broker_certificate(settings.data_dir / "ca", authority, SERVER_NAME, now=clock())
    address = NatsAddress(
        places=broker_addresses(settings.broker),
        server_id=server_id,
        tls=client_context(authority.root_pem, files.certificate_file, files.key_file),
        credentials=_credentials(settings),
    )
    host, port = broker_address("broker_for_nodes", settings.broker_for_nodes)
    async with open_nats_hub(address, gate, clock) as hub:

        def add_metrics(metrics: Metrics) -> None:
            add_client_metrics(hub, metrics)
            metrics.limits.add_source(lambda: {"broker_queued_messages": hub.dropped_count})

        yield OpenedHub(
            hub,
            (host, port),
            port,
            {"broker": attachment(hub)},
            lambda _: None,
            add_metrics,
            client=hub,
            server_id=server_id,
        )


def _credentials(settings: Settings) -> NatsCredentials:
    file = settings.broker_credentials_file
    try:
        return NatsCredentials.from_json(file.read_bytes() if file else b"")
    except (OSError, MalformedCredentials) as error:
        raise BadSettings(f"broker_credentials_file: {file}: {error}") from error

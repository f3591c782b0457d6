"""The hub on a broker that runs already."""

import contextlib
import socket
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial

from broker.client import BrokerAddress, open_client_hub
from broker.configuration import SERVER_NAME
from certs.authority import Authority
from certs.files import new_broker_certificate
from certs.tls import client_context
from cloud.config import Settings, broker_address
from cloud.opened_hub import OpenedHub, add_client_metrics, attachment


@contextlib.asynccontextmanager
async def open_broker_hub(
    settings: Settings, authority: Authority, api_port: int, *, now: datetime
) -> AsyncIterator[OpenedHub]:
    """Connect to the broker that the settings name; it may come later, and is not ready before."""
    broker = _broker(settings, authority, api_port, now)
    host, port = broker_address("broker_for_nodes", settings.broker_for_nodes)
    async with open_client_hub(broker) as hub:
        yield OpenedHub(
            hub,
            (host, port),
            port,
            {"broker": attachment(hub)},
            lambda _: None,
            partial(add_client_metrics, hub),
            client=hub,
            server_id=broker.client_id,
        )


def _broker(
    settings: Settings, authority: Authority, api_port: int, now: datetime
) -> BrokerAddress:
    host, port = broker_address("broker", settings.broker)
    files = new_broker_certificate(settings.data_dir / "ca", authority, SERVER_NAME, now=now)
    return BrokerAddress(
        host=host,
        port=port,
        client_id=settings.server_id or f"edgesync-{socket.gethostname().lower()}-{api_port}",
        tls=client_context(authority.root_pem, files.certificate_file, files.key_file),
    )

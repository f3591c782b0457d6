"""The hub on brokers that run already."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import partial

from broker.client import BrokerAddress, open_client_hub
from broker.configuration import SERVER_NAME
from certs.authority import Authority
from certs.files import new_broker_certificate
from certs.tls import client_context
from cloud.config import Settings
from cloud.core.broker_urls import broker_address, broker_addresses
from cloud.opened_hub import OpenedHub, add_client_metrics, attachment, server_id_of


@contextlib.asynccontextmanager
async def open_broker_hub(
    settings: Settings, authority: Authority, api_port: int, *, now: datetime
) -> AsyncIterator[OpenedHub]:
    """Connect to the brokers that the settings name; not ready before one of them is there."""
    broker, *others = _brokers(settings, authority, api_port, now)
    host, port = broker_address("broker_for_nodes", settings.broker_for_nodes)
    async with open_client_hub(broker, others=others) as hub:
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


def _brokers(
    settings: Settings, authority: Authority, api_port: int, now: datetime
) -> Sequence[BrokerAddress]:
    files = new_broker_certificate(settings.data_dir / "ca", authority, SERVER_NAME, now=now)
    client_id = server_id_of(settings, api_port)
    tls = client_context(authority.root_pem, files.certificate_file, files.key_file)
    return [
        BrokerAddress(host=host, port=port, client_id=client_id, tls=tls)
        for host, port in broker_addresses(settings.broker)
    ]

"""The hub on a Mosquitto that the server starts: its files, certificate and revocation list."""

import asyncio
import contextlib
import os
import pwd
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path

from broker.client import BrokerAddress, ClientLimits, open_client_hub
from broker.configuration import BrokerSettings, managed_files
from broker.errors import BrokerMissing, BrokerNotStarted
from broker.managed import find_mosquitto, open_managed_broker
from broker.ports import free_port
from certs.authority import Authority
from certs.pem_files import update_file, write_file
from cloud.config import BadSettings, Settings
from cloud.jobs.revocation_lists import RevocationLists
from cloud.opened_hub import (
    BROKER_DIRECTORY,
    OpenedHub,
    add_client_metrics,
    attachment,
    managed_crl_file,
)

_SOCKET = "socket"
_SOCKET_BYTES = 107
"""Longest path of a socket (unix(7))."""

_CLIENT_ID = "edgesync"
_ATTACH_SECONDS = 5.0
_LIMITS = ClientLimits(
    reconnect_least=timedelta(milliseconds=100), reconnect_most=timedelta(seconds=2)
)
"""It is on this machine, and comes back soon."""
_INSTALL = (
    "install it (Debian, Ubuntu: apt install mosquitto; Fedora: dnf install mosquitto;"
    " Alpine: apk add mosquitto; macOS: brew install mosquitto); the service of that package is not"
    " needed: systemctl disable --now mosquitto"
)


@contextlib.asynccontextmanager
async def open_managed_hub(
    settings: Settings, authority: Authority, revocations: RevocationLists
) -> AsyncIterator[OpenedHub]:
    """Start Mosquitto for the nodes, and connect to it.

    BadSettings if it is not installed or cannot use the port.
    """
    try:
        program = find_mosquitto()
    except BrokerMissing as error:
        raise _not_installed(error) from error
    directory = (settings.data_dir / BROKER_DIRECTORY).resolve()
    listening = directory / _SOCKET
    if len(os.fsencode(listening)) > _SOCKET_BYTES:
        raise BadSettings(f"data_dir: the path of {listening} is too long for a socket")
    directory.mkdir(mode=0o700, exist_ok=True)
    ca, lists = settings.data_dir.resolve() / "ca", managed_crl_file(settings)
    update_file(directory / "ca.pem", authority.trusted_pem.encode())
    write_file(lists, (await revocations.current()).pem)
    port = settings.mqtt_port or free_port(settings.host)
    described = BrokerSettings(
        directory=directory,
        node_address=settings.host,
        node_port=port,
        max_connections=settings.max_connections,
        certificate_file=ca / "server.pem",
        key_file=ca / "server.key",
        crl_file=lists,
        user=pwd.getpwuid(os.geteuid()).pw_name if os.geteuid() == 0 else "",
    )
    files = managed_files(described, Path(_SOCKET))
    broker = BrokerAddress(host="", port=0, client_id=_CLIENT_ID, tls=None, socket=listening)
    opening = open_managed_broker(program, directory, files, listening=listening)
    async with contextlib.AsyncExitStack() as stack:
        try:
            managed = await stack.enter_async_context(opening)
        except BrokerMissing as error:
            raise _not_installed(error) from error
        except BrokerNotStarted as error:
            raise BadSettings(
                f"mqtt_port: Mosquitto does not start with port {port}: {error.reason}"
            ) from error
        hub = await stack.enter_async_context(open_client_hub(broker, _LIMITS))
        with contextlib.suppress(TimeoutError):  # then it is not ready, and goes on to try
            async with asyncio.timeout(_ATTACH_SECONDS):
                await hub.wait_attached()
        yield OpenedHub(
            hub,
            None,
            port,
            {"broker": attachment(hub)},
            lambda _: None,
            partial(add_client_metrics, hub),
            client=hub,
            reload=managed.reload,
        )


def _not_installed(error: BrokerMissing) -> BadSettings:
    return BadSettings(f"broker: managed needs Mosquitto 2, and {error.reason}; {_INSTALL}")

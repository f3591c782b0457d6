"""A Mosquitto that is run as the server runs it."""

import os
import pwd
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from broker.client import BrokerAddress
from broker.configuration import BrokerSettings, managed_files
from broker.managed import START_SECONDS, ManagedBroker, find_mosquitto, open_managed_broker
from tests.broker.authority import HubAuthority
from tests.ports import free_port


@dataclass(slots=True)
class Managed:
    """The broker, where nodes reach it, and how a server does."""

    process: ManagedBroker
    port: int
    broker: BrokerAddress


def write_certificate(directory: Path, authority: HubAuthority, name: str = "server") -> None:
    pair = authority.issue(name, ["localhost"], is_server=True).read_bytes()
    for file in ("server.pem", "server.key"):
        (directory / file).write_bytes(pair)


@asynccontextmanager
async def running_managed(
    directory: Path,
    authority: HubAuthority,
    *,
    port: int = 0,
    revocation_list: bool = False,
    start_seconds: float = START_SECONDS,
) -> AsyncIterator[Managed]:
    shutil.copy(authority.root_file, directory / "ca.pem")
    write_certificate(directory, authority)
    port = port or free_port()
    settings = BrokerSettings(
        directory=directory,
        node_address="127.0.0.1",
        node_port=port,
        revocation_list=revocation_list,
        user=pwd.getpwuid(os.geteuid()).pw_name,
    )
    listening = directory / "socket"
    files = managed_files(settings, Path("socket"))
    program = find_mosquitto()
    opening = open_managed_broker(
        program, directory, files, listening=listening, start_seconds=start_seconds
    )
    async with opening as process:
        broker = BrokerAddress(host="", port=0, client_id="server", tls=None, socket=listening)
        yield Managed(process, port, broker)

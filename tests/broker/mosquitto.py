"""A real Mosquitto with the configuration that edgesync writes."""

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.client import BrokerAddress
from broker.configuration import SERVER_NAME, BrokerSettings, mosquitto_files
from tests.broker.authority import HubAuthority
from tests.broker.node import DEADLINE
from tests.deadlines import SLOWNESS
from tests.ports import free_port

NEEDS_MOSQUITTO = [
    pytest.mark.mosquitto,
    pytest.mark.skipif(
        shutil.which("mosquitto") is None and "CI" not in os.environ,
        reason="mosquitto is not installed",
    ),
]


class PortTaken(Exception):
    """It ended at once; another process listens there."""


@dataclass(slots=True)
class Mosquitto:
    """One broker on two free ports; its state survives a restart."""

    directory: Path
    authority: HubAuthority
    port: int
    server_port: int
    process: asyncio.subprocess.Process | None = None

    def broker(self, client_id: str) -> BrokerAddress:
        """How a server of that id reaches it."""
        return BrokerAddress(
            host="localhost",
            port=self.server_port,
            client_id=client_id,
            tls=self.authority.client_context(SERVER_NAME),
        )

    async def start(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.process = await asyncio.create_subprocess_exec(
            program, "-c", str(self.directory / "mosquitto.conf"), stderr=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(DEADLINE):
            while not (_answers(self.port) and _answers(self.server_port)):
                if self.process.returncode is not None:
                    raise PortTaken
                await asyncio.sleep(0.01 * SLOWNESS)

    async def stop(self, *, kill: bool = False) -> None:
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                (process.kill if kill else process.terminate)()
            await process.wait()


@contextlib.asynccontextmanager
async def running_mosquitto(directory: Path, authority: HubAuthority) -> AsyncIterator[Mosquitto]:
    (directory / "state").mkdir()
    (directory / "ca.pem").write_bytes(authority.root_file.read_bytes())
    pair = authority.issue("server", ["localhost"], is_server=True).read_bytes()
    for name in ("server.pem", "server.key"):
        (directory / name).write_bytes(pair)
    mosquitto = await _started(directory, authority)
    try:
        yield mosquitto
    finally:
        await mosquitto.stop()


async def _started(directory: Path, authority: HubAuthority) -> Mosquitto:
    """On ports that were free a moment ago; on others if another process took them."""
    while True:
        ports = [free_port(), free_port()]
        settings = BrokerSettings(
            directory=directory,
            node_address="127.0.0.1",
            node_port=ports[0],
            server_port=ports[1],
            revocation_list=False,
            user="root" if os.geteuid() == 0 else "",
        )
        for name, text in mosquitto_files(settings).items():
            (directory / name).write_text(text)
            (directory / name).chmod(0o600)
        mosquitto = Mosquitto(directory, authority, port=ports[0], server_port=ports[1])
        with contextlib.suppress(PortTaken):
            await mosquitto.start()
            return mosquitto


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

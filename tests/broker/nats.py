"""A cluster of real NATS servers on loopback, with the configuration that edgesync writes."""

import asyncio
import contextlib
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from broker.configuration import SERVER_NAME
from broker.nats_credentials import NatsCredentials
from broker.nats_files import NatsCluster, NatsNode, nats_files
from broker.nats_hub import NatsAddress
from tests.broker.authority import HubAuthority
from tests.deadlines import SLOWNESS, UNIT
from tests.ports import free_port

_FIRST_VERSION = (2, 10)
"""Has the auth callout; Debian 12 has 2.9."""


def _program() -> str | None:
    """The server on PATH, if it is new enough."""
    found = shutil.which("nats-server")
    if found is None:
        return None
    printed = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=60)
    version = re.search(r"v(\d+)\.(\d+)\.", printed.stdout)
    is_new = version is not None and (int(version[1]), int(version[2])) >= _FIRST_VERSION
    return found if is_new else None


PROGRAM = _program()
START_SECONDS = 30 * UNIT

NEEDS_NATS = [
    pytest.mark.nats,
    pytest.mark.skipif(
        PROGRAM is None,
        reason="nats-server 2.10 or newer is not on PATH (scripts/install-nats builds it)",
    ),
]


@dataclass(slots=True)
class Nats:
    """A cluster; its state survives a restart of a node."""

    directory: Path
    authority: HubAuthority
    cluster: NatsCluster
    processes: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """Where nodes connect to the first of the cluster."""
        return self.cluster.nodes[0].node_port

    def address(self, server_id: str, first: int = 1) -> NatsAddress:
        """How a server reaches it, and which of the cluster it tries first."""
        places = [("localhost", node.server_port) for node in self.cluster.nodes]
        return NatsAddress(
            places=places[first - 1 :] + places[: first - 1],
            server_id=server_id,
            tls=self.authority.client_context(SERVER_NAME),
            credentials=self.cluster.credentials,
        )

    async def start(self, number: int) -> None:
        assert PROGRAM is not None
        directory = self.directory / str(number)
        with (directory / "log").open("ab") as log:
            self.processes[number] = await asyncio.create_subprocess_exec(
                PROGRAM, "-c", str(directory / "nats.conf"), stdout=log, stderr=log
            )

    async def stop(self, number: int, *, kill: bool = False) -> None:
        process = self.processes.pop(number, None)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                (process.kill if kill else process.terminate)()
            try:
                async with asyncio.timeout(START_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()

    async def wait_listening(self, number: int) -> None:
        """Wait for the ports that open once the cluster has a leader."""
        node, log = self.cluster.nodes[number - 1], self.directory / str(number) / "log"
        async with asyncio.timeout(START_SECONDS):
            while not (_answers(node.node_port) and _answers(node.server_port)):
                assert self.processes[number].returncode is None, log.read_text()[-2000:]
                await asyncio.sleep(0.05 * SLOWNESS)


@contextlib.asynccontextmanager
async def running_nats(
    directory: Path, authority: HubAuthority, *, count: int
) -> AsyncIterator[Nats]:
    """Run *count* nodes, each with a folder of its number in *directory*."""
    nodes = [
        NatsNode(
            host="127.0.0.1",
            node_port=free_port(),
            server_port=free_port(),
            route_port=free_port(),
        )
        for _ in range(count)
    ]
    cluster = NatsCluster(
        directory=directory,
        nodes=nodes,
        credentials=NatsCredentials.new(),
        node_address="127.0.0.1",
    )
    pair = authority.issue("peer", ["localhost"], is_server=True, is_peer=True).read_bytes()
    for number in range(1, count + 1):
        own = directory / str(number)
        own.mkdir()
        files = {
            **nats_files(replace(cluster, directory=own), number),
            "ca.pem": authority.root_file.read_text(),
            "server.pem": pair.decode(),
            "server.key": pair.decode(),
        }
        for name, text in files.items():
            (own / name).write_text(text)
    nats = Nats(directory, authority, cluster)
    try:
        for number in range(1, count + 1):
            await nats.start(number)
        for number in range(1, count + 1):
            await nats.wait_listening(number)
        yield nats
    finally:
        for number in list(nats.processes):
            await nats.stop(number, kill=True)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

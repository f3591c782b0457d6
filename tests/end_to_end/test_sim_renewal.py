"""Simulated nodes renew by themselves, against the real server."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from agent_sim.activation import ActivationClaim
from agent_sim.agent import Agent, AgentSettings
from agent_sim.facts import SimulatedSource
from agent_sim.fleet import open_network
from agent_sim.link import Address
from agent_sim.renewal import Pauses
from agent_sim.state import CERTIFICATE, PREVIOUS, NodeDirectory, read_ca
from agent_sim.state import NodeIdentity as Given
from agent_sim.watch import utc_now
from tests.deadlines import SLOWNESS, UNIT
from tests.end_to_end.conftest import Identity, Server, running_server
from tests.end_to_end.fleet import make_past

AGES = {"young": 1, "old": 80, "away": 250, "lost-in-time": 250, "ahead": 20, "forgotten": 300}


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Identity]]:
    data = tmp_path_factory.mktemp("sim") / "data"
    return data, anyio.run(make_past, data, AGES)


@pytest.fixture(scope="module")
def server(past: tuple[Path, dict[str, Identity]]) -> Iterator[Server]:
    with running_server(past[0]) as running:
        yield running


@pytest.fixture(scope="module")
def nodes(past: tuple[Path, dict[str, Identity]]) -> dict[str, Identity]:
    return past[1]


def directory_of(identity: Identity, path: Path) -> NodeDirectory:
    """As if the node had been activated long ago."""
    directory = NodeDirectory(path)
    (path / "key.pem").write_bytes(identity.key.read_bytes())
    directory.save_identity(
        Given(identity.node_id, identity.cert.read_text(), identity.ca.read_text())
    )
    return directory


@asynccontextmanager
async def running(
    server: Server,
    directory: NodeDirectory,
    *,
    clock: Callable[[], datetime] = utc_now,
    first: float = 0.05,
) -> AsyncIterator[Agent]:
    settings = AgentSettings(
        broker=Address("localhost", server.mqtt_port),
        first_pause=0.05,
        longest_pause=0.2,
        renewal=Pauses(first=first, longest=first * 4, patience=10 * SLOWNESS),
    )
    async with open_network(server.activation, read_ca(Path(server.ca))) as network:
        agent = Agent(
            ActivationClaim(batch="", fingerprint=""),
            settings,
            directory,
            SimulatedSource(1, 1),
            network,
            random=Random(1),  # noqa: S311
            clock=clock,
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(agent.run())
            yield agent
            task.cancel()


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20 * UNIT):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.01)


def ends(directory: NodeDirectory) -> datetime:
    pem = (directory.path / CERTIFICATE).read_bytes()
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


def days_left(directory: NodeDirectory) -> int:
    return (ends(directory) - datetime.now(UTC)).days


async def test_a_node_renews_on_its_connection_and_connects_with_what_it_got(
    server: Server, nodes: dict[str, Identity], tmp_path: Path
) -> None:
    directory = directory_of(nodes["old"], tmp_path)
    assert days_left(directory) < 10
    async with running(server, directory) as agent:
        await eventually(lambda: agent.connections == 2 and agent.state.answered)
        await eventually(lambda: not (tmp_path / PREVIOUS).exists())
    assert days_left(directory) == 89
    assert agent.connections == 2


async def test_a_young_certificate_is_left_alone(
    server: Server, nodes: dict[str, Identity], tmp_path: Path
) -> None:
    directory = directory_of(nodes["young"], tmp_path)
    async with running(server, directory) as agent:
        await eventually(lambda: agent.state.answered)
    assert (agent.connections, days_left(directory)) == (1, 88)


async def test_a_node_that_was_off_for_too_long_comes_back_by_itself(
    server: Server, nodes: dict[str, Identity], tmp_path: Path
) -> None:
    directory = directory_of(nodes["away"], tmp_path)
    async with running(server, directory) as agent:
        await eventually(lambda: agent.state.answered)
    assert days_left(directory) == 89


async def test_a_node_whose_clock_has_stopped_comes_back_too(
    server: Server, nodes: dict[str, Identity], tmp_path: Path
) -> None:
    directory = directory_of(nodes["lost-in-time"], tmp_path)
    then = ends(directory).replace(year=ends(directory).year - 1)
    async with running(server, directory, clock=lambda: then) as agent:
        await eventually(lambda: agent.state.answered)
    assert days_left(directory) == 89


async def test_a_node_whose_clock_is_years_ahead_renews_once(
    server: Server, nodes: dict[str, Identity], tmp_path: Path
) -> None:
    directory = directory_of(nodes["ahead"], tmp_path)
    ahead = timedelta(days=14 * 365)
    async with running(server, directory, clock=lambda: utc_now() + ahead, first=0.0) as agent:
        await eventually(lambda: days_left(directory) == 89)
        await eventually(lambda: not (tmp_path / PREVIOUS).exists())
        await eventually(lambda: agent.state.answered >= agent.connections > 0)
        # It renews without a connection, so that the first one may have the next certificate.
        assert agent.connections <= 2
    assert days_left(directory) == 89


async def test_a_node_that_is_refused_goes_on_asking_with_pauses(
    server: Server, nodes: dict[str, Identity], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = directory_of(nodes["forgotten"], tmp_path)
    before = time.monotonic()
    async with running(server, directory, first=0.2):
        await eventually(lambda: caplog.text.count("forgotten not renewed") == 3)
    assert time.monotonic() - before > 0.3
    assert "180 days" in caplog.text
    assert days_left(directory) < -200


async def test_a_certificate_that_does_not_connect_gives_way_to_the_one_before(
    server: Server, nodes: dict[str, Identity], tmp_path: Path
) -> None:
    directory = directory_of(nodes["young"], tmp_path)
    good = (tmp_path / CERTIFICATE).read_bytes()
    mine = x509.load_pem_x509_certificate(good)
    unknown = (
        x509.CertificateBuilder()
        .subject_name(mine.subject)
        .issuer_name(mine.subject)
        .public_key(mine.public_key())
        .serial_number(1)
        .not_valid_before(mine.not_valid_before_utc)
        .not_valid_after(mine.not_valid_after_utc)
        .sign(directory.key(), hashes.SHA256())
    )
    directory.save_renewed(unknown.public_bytes(serialization.Encoding.PEM).decode())
    async with running(server, directory) as agent:
        await eventually(lambda: agent.state.answered)
    assert (tmp_path / PREVIOUS).read_bytes() == good

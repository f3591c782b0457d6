"""The shell of one node: real TLS, a real broker, files that stay."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sim.activation import ActivationClaim
from agent_sim.agent import Agent, AgentSettings, Network, ReconnectBackoff
from agent_sim.device import Intervals
from agent_sim.errors import StateError
from agent_sim.facts import SimulatedSource
from agent_sim.link import Address
from agent_sim.state import APPS, CERTIFICATE, NodeDirectory
from agent_sim.wire import WireFormat
from broker.topics import Channel
from tests.agent_sim.conftest import ActivationServer, Eventually, Responder, SimulatorBroker

NODE = "default.n1"


def new_agent(
    path: Path,
    network: Network,
    port: int,
    *,
    encoding: WireFormat = WireFormat.JSON,
    intervals: Intervals | None = None,
) -> Agent:
    settings = AgentSettings(
        broker=Address("127.0.0.1", port),
        encoding=encoding,
        intervals=intervals or Intervals(interval=0.2, stats_interval=0.1),
        apply_delay=0.01,
        activation_pause=0.05,
        first_pause=0.05,
        longest_pause=0.2,
    )
    claim = ActivationClaim(batch="b", fingerprint="n1")
    source = SimulatedSource(1, 1)
    return Agent(claim, settings, NodeDirectory(path), source, network, random=Random(1))  # noqa: S311


@asynccontextmanager
async def running(agent: Agent) -> AsyncIterator[Agent]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(agent.run(), name="agent")
        yield agent
        task.cancel()


@pytest.mark.mosquitto
@pytest.mark.parametrize("encoding", list(WireFormat))
async def test_a_new_node_comes_to_run_what_it_should(
    tmp_path: Path,
    network: Network,
    mosquitto: SimulatorBroker,
    responder: Responder,
    eventually: Eventually,
    encoding: WireFormat,
) -> None:
    responder.model.put_file("configuration", "conf")
    responder.model.put_app("web", ("configuration", "conf"), replica=2)
    # An interval no test waits for: what happens here is reported at once.
    intervals = Intervals(interval=1000, stats_interval=0.1)
    agent = new_agent(tmp_path, network, mosquitto.port, encoding=encoding, intervals=intervals)
    async with running(agent):
        await eventually(lambda: agent.state.is_converged and agent.state.held)
        await eventually(lambda: responder.received(NODE, Channel.STATS))
    last = responder.received(NODE, Channel.REPORT)[-1].content
    assert last["apps"] == [{"name": "web", "version": responder.model.versions["web"]}]
    assert list(last["appstats"][0]["instances"]) == ["web-0", "web-1"]
    assert (agent.node_id, agent.connections, agent.bad_messages) == (NODE, 1, 0)


@pytest.mark.mosquitto
async def test_a_node_is_activated_once_and_knows_what_it_holds(
    tmp_path: Path,
    network: Network,
    activation_server: ActivationServer,
    mosquitto: SimulatorBroker,
    responder: Responder,
    eventually: Eventually,
) -> None:
    responder.model.put_app("web")
    async with running(new_agent(tmp_path, network, mosquitto.port)) as agent:
        await eventually(lambda: agent.state.is_converged and agent.state.held)
    desires = len(responder.received(NODE, Channel.DESIRE))
    async with running(new_agent(tmp_path, network, mosquitto.port)) as again:
        await eventually(lambda: again.state.is_converged and again.state.held)
    assert len(activation_server.requests) == 1
    assert len(responder.received(NODE, Channel.DESIRE)) == desires
    runs = {report.meta["run"] for report in responder.received(NODE, Channel.REPORT)}
    assert len(runs) == 2


@pytest.mark.mosquitto
async def test_a_node_comes_back_to_a_broker_that_comes_back(
    tmp_path: Path,
    network: Network,
    mosquitto: SimulatorBroker,
    responder: Responder,
    eventually: Eventually,
) -> None:
    async with running(new_agent(tmp_path, network, mosquitto.port)) as agent:
        await eventually(lambda: agent.state.is_converged)
        mosquitto.stop()
        await eventually(lambda: not agent.is_connected)
        mosquitto.start()
        responder.model.put_app("web")
        await eventually(lambda: agent.state.is_converged and agent.state.held)
    assert agent.connections >= 2
    seqs = [report.meta["seq"] for report in responder.received(NODE, Channel.REPORT)]
    assert seqs == sorted(set(seqs))


@pytest.mark.mosquitto
async def test_what_cannot_be_read_is_counted_and_the_node_goes_on(
    tmp_path: Path,
    network: Network,
    mosquitto: SimulatorBroker,
    responder: Responder,
    eventually: Eventually,
) -> None:
    async with running(new_agent(tmp_path, network, mosquitto.port)) as agent:
        await eventually(lambda: agent.state.is_converged)
        responder.send(f"edge/v1/{NODE}/delta", b"\x00 neither one nor the other")
        await eventually(lambda: agent.bad_messages == 1)
        responder.model.put_app("web")
        await eventually(lambda: agent.state.is_converged and agent.state.held)


async def test_activation_is_tried_until_it_works(
    tmp_path: Path,
    network: Network,
    activation_server: ActivationServer,
    silent_port: int,
    eventually: Eventually,
) -> None:
    honest = activation_server.answer
    activation_server.answer = lambda _: (401, {"code": "RequestAccessDenied", "message": "no"})
    async with running(new_agent(tmp_path, network, silent_port)) as agent:
        await eventually(lambda: len(activation_server.requests) == 2)
        assert agent.name == "n1"
        activation_server.answer = honest
        await eventually(lambda: agent.node_id)
    assert agent.name == NODE


@pytest.mark.parametrize("name", [APPS, CERTIFICATE])
async def test_a_damaged_file_ends_the_node_and_is_named(
    tmp_path: Path,
    network: Network,
    silent_port: int,
    eventually: Eventually,
    name: str,
) -> None:
    async with running(new_agent(tmp_path, network, silent_port)) as agent:
        await eventually(lambda: agent.node_id)
    (tmp_path / name).write_text("damaged")
    with pytest.raises((StateError, ExceptionGroup)) as caught:
        await new_agent(tmp_path, network, silent_port).run()
    error: BaseException = caught.value
    if isinstance(error, ExceptionGroup):
        [error] = error.exceptions
    assert isinstance(error, StateError)
    assert error.path == tmp_path / name


@given(st.integers(0, 2**32), st.lists(st.just(0.0), min_size=12, max_size=12))
def test_pauses_double_up_to_the_longest(seed: int, lasted: list[float]) -> None:
    backoff = ReconnectBackoff(1, 180, Random(seed))  # noqa: S311
    pauses = [backoff.next(seconds) for seconds in lasted]
    for number, pause in enumerate(pauses):
        whole = min(2.0**number, 180)
        assert whole / 2 <= pause <= whole


def test_a_connection_that_lasted_starts_the_pauses_anew() -> None:
    backoff = ReconnectBackoff(1, 180, Random(1))  # noqa: S311
    for _ in range(5):
        backoff.next(0)
    assert backoff.next(10) > 10
    assert backoff.next(1000) <= 1

"""Many nodes in one process."""

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from agent_sim.activation import ActivationClaim
from agent_sim.agent import AgentSettings, Network
from agent_sim.device import Intervals
from agent_sim.facts import SimulatedSource
from agent_sim.fleet import AgentFleet, FleetResult, Member
from agent_sim.link import Address
from agent_sim.model import NodeUsage
from agent_sim.state import read_ca
from agent_sim.wire import WireFormat
from tests.agent_sim.authority import SimulatorAuthority
from tests.agent_sim.conftest import ActivationServer, Eventually, Responder, SimulatorBroker


def members(count: int, path: Path, port: int) -> list[Member]:
    settings = AgentSettings(
        broker=Address("127.0.0.1", port),
        intervals=Intervals(interval=1, stats_interval=0.5),
        apply_delay=0.01,
        first_pause=0.05,
        longest_pause=0.2,
    )
    return [
        Member(
            ActivationClaim(batch="b", fingerprint=f"n{index}"),
            replace(settings, encoding=list(WireFormat)[index % 2]),
            SimulatedSource(index, 1),
            path / f"n{index}",
        )
        for index in range(count)
    ]


async def run(fleet: AgentFleet, stop: asyncio.Event, results: list[FleetResult]) -> None:
    results.append(await fleet.run(stop))


@pytest.mark.mosquitto
async def test_a_fleet_converges_and_ends_on_request(
    tmp_path: Path,
    network: Network,
    mosquitto: SimulatorBroker,
    responder: Responder,
    eventually: Eventually,
) -> None:
    responder.model.put_file("secret", "key")
    responder.model.put_app("web", ("secret", "key"))
    fleet = AgentFleet(members(20, tmp_path, mosquitto.port), network, Random(1))  # noqa: S311
    stop, results = asyncio.Event(), list[FleetResult]()
    async with asyncio.TaskGroup() as group:
        group.create_task(run(fleet, stop, results), name="fleet")
        await eventually(lambda: all(agent.state.held for agent in fleet.agents))
        await eventually(lambda: fleet.result().converged == 20)
        stop.set()
    [result] = results
    assert (result.nodes, result.activated, result.connected, result.converged) == (20,) * 4
    assert result.reports >= 60
    assert result.errors == 0
    assert "20 converged" in str(result)


async def test_a_server_that_is_not_there_costs_nothing_but_time(
    tmp_path: Path, network: Network, silent_port: int
) -> None:
    fleet = AgentFleet(members(3, tmp_path, silent_port), network, Random(1))  # noqa: S311
    result = await fleet.run(asyncio.Event(), duration=0.5)
    assert (result.connected, result.connections) == (0, 0)


async def test_an_activation_server_that_refuses_ends_nothing(
    tmp_path: Path, network: Network, activation_server: ActivationServer, silent_port: int
) -> None:
    activation_server.answer = lambda _: (404, {"code": "ResourceNotFound", "message": "no batch"})
    fleet = AgentFleet(members(3, tmp_path, silent_port), network, Random(1))  # noqa: S311
    result = await fleet.run(asyncio.Event(), duration=0.5)
    assert (result.nodes, result.activated) == (3, 0)


class Broken(SimulatedSource):
    """A bug in the making."""

    def usage(self) -> NodeUsage:
        raise ZeroDivisionError


@pytest.mark.mosquitto
async def test_a_bug_in_one_node_ends_the_fleet_loudly(
    tmp_path: Path, network: Network, mosquitto: SimulatorBroker
) -> None:
    healthy = members(3, tmp_path, mosquitto.port)
    ill = replace(healthy[1], source=Broken(1, 1))
    fleet = AgentFleet([healthy[0], ill, healthy[2]], network, Random(1))  # noqa: S311
    with pytest.raises(ExceptionGroup) as caught:
        await fleet.run(asyncio.Event())
    assert caught.group_contains(ZeroDivisionError)


def test_the_trust_of_a_fleet_is_its_ca_alone(authority: SimulatorAuthority) -> None:
    assert len(read_ca(authority.root_file).get_ca_certs()) == 1

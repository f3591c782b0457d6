"""Faults that simulated nodes show: who has which, and what a server sees of each."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sim.activation import ActivationClaim
from agent_sim.agent import AgentSettings, Network
from agent_sim.device import Intervals
from agent_sim.errors import FaultRuleError
from agent_sim.events import InstancesExited, Save
from agent_sim.facts import SimulatedSource
from agent_sim.faults import CAUSE, FaultKind, FaultRule, NodeFaults, read_rule, rules_by_node
from agent_sim.fleet import AgentFleet, Member
from agent_sim.link import Address
from agent_sim.model import HeldApp
from broker.topics import Channel
from tests.agent_sim.conftest import Eventually, Responder, SimulatorBroker
from tests.agent_sim.node import SimulatedNode, of, published
from tests.agent_sim.server_model import ServerModel

# -- rules -----------------------------------------------------------------------------------------


def test_a_rule_names_app_version_and_share() -> None:
    rule = read_rule(FaultKind.FAIL, "web@3:20%")
    assert rule == FaultRule(FaultKind.FAIL, "web", "3", Fraction(1, 5))
    assert rule.matches(HeldApp("web", "3", {}))
    assert not rule.matches(HeldApp("web", "4", {}))
    assert not rule.matches(HeldApp("db", "3", {}))


def test_a_rule_without_a_version_is_about_all() -> None:
    assert read_rule(FaultKind.SLOW, "web:0.5%").matches(HeldApp("web", "17", {}))


@pytest.mark.parametrize(
    "text", ["", "web", "web@3", "web@3:20", "web@:20%", "@3:20%", "web@3:0%", "web@3:101%"]
)
def test_what_is_not_a_rule_is_refused_by_its_text(text: str) -> None:
    with pytest.raises(FaultRuleError) as caught:
        read_rule(FaultKind.FAIL, text)
    assert caught.value.text == text


NAMES = st.lists(st.text("abc0", min_size=1, max_size=6), min_size=1, max_size=40, unique=True)
SHARES = st.integers(1, 100)


@given(NAMES, SHARES, st.integers(0, 3))
def test_a_rule_gets_its_share_of_the_nodes_whatever_their_order(
    names: list[str], percent: int, seed: int
) -> None:
    rule = FaultRule(FaultKind.FAIL, "web", "3", Fraction(percent, 100))
    chosen = rules_by_node([rule], names, seed)
    assert chosen == rules_by_node([rule], sorted(names), seed)
    share = sum(bool(rules) for rules in chosen.values())
    assert share == max(1, round(len(names) * Fraction(percent, 100)))


@given(NAMES, SHARES, SHARES)
def test_a_larger_share_includes_a_smaller_one(names: list[str], one: int, other: int) -> None:
    def nodes(percent: int) -> set[str]:
        rule = FaultRule(FaultKind.FLAP, "web", "", Fraction(percent, 100))
        return {name for name, rules in rules_by_node([rule], names, 1).items() if rules}

    assert nodes(min(one, other)) <= nodes(max(one, other))


def test_seed_and_kind_choose_the_nodes() -> None:
    names = [f"n{index}" for index in range(100)]

    def nodes(kind: FaultKind, seed: int) -> set[str]:
        rule = FaultRule(kind, "web", "", Fraction(1, 2))
        return {name for name, rules in rules_by_node([rule], names, seed).items() if rules}

    assert nodes(FaultKind.FAIL, 1) != nodes(FaultKind.FAIL, 2)
    assert nodes(FaultKind.FAIL, 1) != nodes(FaultKind.SLOW, 1)


# -- instances that exit ---------------------------------------------------------------------------


def test_instances_that_exit_are_started_again_and_counted(
    node: SimulatedNode, server: ServerModel
) -> None:
    node.obey(server)
    version = server.versions["web"]
    actions = node.happen(InstancesExited("web", version))
    [saved] = of(actions, Save)
    assert [app.restarts for app in saved.apps] == [1]
    [report] = published(actions, Channel.REPORT)
    [stats] = report.content["appstats"]
    assert stats["status"] == "Pending"
    assert {one["restarts"] for one in stats["instances"].values()} == {1}
    node.obey(server)
    assert node.state.is_converged


def test_an_exit_of_what_is_not_running_is_nothing(
    node: SimulatedNode, server: ServerModel
) -> None:
    node.obey(server)
    exits = [InstancesExited("web", "0"), InstancesExited("db", server.versions["web"])]
    assert node.happen(*exits) == []


# -- on a broker -----------------------------------------------------------------------------------


@asynccontextmanager
async def fleet_with(
    faults: Sequence[FaultRule], path: Path, network: Network, port: int
) -> AsyncIterator[AgentFleet]:
    """Two nodes; the first has the *faults*."""
    settings = AgentSettings(
        broker=Address("127.0.0.1", port),
        intervals=Intervals(interval=1000, stats_interval=0),
        apply_delay=0.01,
        first_pause=0.05,
        longest_pause=0.2,
    )
    faulty = NodeFaults(tuple(faults), vanish_seconds=0.3, slow_seconds=1000, flap_seconds=0.05)
    members = [
        Member(
            ActivationClaim(batch="b", fingerprint=name),
            replace(settings, faults=own),
            SimulatedSource(1, 1),
            path / name,
        )
        for name, own in (("n0", faulty), ("n1", NodeFaults()))
    ]
    fleet, stop = AgentFleet(members, network, Random(1)), asyncio.Event()  # noqa: S311
    async with asyncio.TaskGroup() as group:
        group.create_task(fleet.run(stop), name="fleet")
        yield fleet
        stop.set()


@pytest.mark.mosquitto
async def test_a_fleet_shows_each_fault_on_the_nodes_that_have_it(
    tmp_path: Path,
    network: Network,
    mosquitto: SimulatorBroker,
    responder: Responder,
    eventually: Eventually,
) -> None:
    for name in ("fails", "vanishes", "slow", "flaps"):
        responder.model.put_app(name)
    versions = responder.model.versions
    whole = Fraction(1)
    rules = [
        FaultRule(FaultKind.FAIL, "fails", versions["fails"], whole),
        FaultRule(FaultKind.VANISH, "vanishes", versions["vanishes"], whole),
        FaultRule(FaultKind.SLOW, "slow", versions["slow"], whole),
        FaultRule(FaultKind.FLAP, "flaps", versions["flaps"], whole),
    ]
    async with fleet_with(rules, tmp_path, network, mosquitto.port) as fleet:
        faulty, healthy = fleet.agents
        await eventually(lambda: healthy.state.held and healthy.state.is_converged)
        await eventually(lambda: faulty.state.held and not faulty.is_connected)
        sent = len(responder.received("default.n0", Channel.REPORT))
        await eventually(lambda: faulty.connections == 2)
        await eventually(lambda: faulty.state.held["flaps"].restarts >= 2)
        await eventually(lambda: len(responder.received("default.n0", Channel.REPORT)) > sent)
        assert healthy.connections == 1

        seen: dict[str, list[object]] = {}
        for report in responder.received("default.n0", Channel.REPORT):
            for one in report.content["appstats"]:
                seen.setdefault(one["name"], []).append((one["status"], one["cause"]))
        assert seen["fails"][-1] == ("Failed", CAUSE)
        assert set(seen["slow"]) == {("Pending", "")}
        assert ("Running", "") in seen["vanishes"]

        # Another version of the same app has none of the faults.
        for name in ("fails", "slow"):
            responder.model.put_app(name)
        await eventually(
            lambda: (
                {"fails", "slow"}
                <= {own.name for own in faulty.state.held.values() if own.status == "Running"}
            )
        )


@pytest.mark.mosquitto
async def test_a_node_that_vanished_reports_nothing_before_it_is_back(
    tmp_path: Path,
    network: Network,
    mosquitto: SimulatorBroker,
    responder: Responder,
    eventually: Eventually,
) -> None:
    responder.model.put_app("web")
    rule = FaultRule(FaultKind.VANISH, "web", "", Fraction(1))
    async with fleet_with([rule], tmp_path, network, mosquitto.port) as fleet:
        faulty = fleet.agents[0]
        await eventually(lambda: faulty.connections == 2 and faulty.state.is_converged)
    named = [report.content["apps"] for report in responder.received("default.n0", Channel.REPORT)]
    assert named[0] == []
    first = next(index for index, apps in enumerate(named) if apps)
    statuses = [
        report.content["appstats"][0]["status"]
        for report in responder.received("default.n0", Channel.REPORT)[first:]
    ]
    assert "Pending" not in statuses

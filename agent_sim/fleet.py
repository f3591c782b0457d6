"""Many nodes in one process.

A server that cannot be reached costs nothing but time. An agent that dies of anything else is a
bug, or a directory that cannot be used: it ends the whole fleet with an ExceptionGroup.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from agent_sim.activation import ActivationClaim, open_client
from agent_sim.agent import Agent, AgentSettings, Clock, Network
from agent_sim.facts import FactSource
from agent_sim.state import NodeDirectory
from agent_sim.watch import MachineClock, utc_now

CONNECTING = 16
"""Nodes that connect, or activate, at the same moment."""

START_SECONDS = 0.02
"""Time that each node adds to the start of a fleet, up to one interval."""


@dataclass(frozen=True, slots=True)
class Member:
    """One node of a fleet."""

    claim: ActivationClaim
    settings: AgentSettings
    source: FactSource
    path: Path


@dataclass(frozen=True, slots=True)
class FleetResult:
    """How a fleet was doing at its end."""

    nodes: int
    activated: int
    connected: int
    converged: int
    connections: int
    reports: int
    errors: int

    def __str__(self) -> str:
        return (
            f"{self.nodes} nodes: {self.activated} activated, {self.connected} connected, "
            f"{self.converged} converged; {self.connections} connections, {self.reports} reports, "
            f"{self.errors} errors"
        )


@asynccontextmanager
async def open_network(
    url: str, trust: ssl.SSLContext, clock: Clock = utc_now
) -> AsyncIterator[Network]:
    """Open what agents share, *clock* too.

    Threads still busy connecting are left to their time limit.
    """
    executor = ThreadPoolExecutor(CONNECTING, thread_name_prefix="connect")
    try:
        watch = MachineClock(url, trust, clock)
        async with open_client(url, watch.over(trust)) as client:
            yield Network(client, asyncio.Semaphore(CONNECTING), executor, watch)
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


class AgentFleet:
    """Owns its agents; `result` may be asked at any time."""

    def __init__(self, members: Sequence[Member], network: Network, random: Random) -> None:
        self._random = random
        self._settings = [member.settings for member in members]
        self.agents = [
            Agent(
                member.claim,
                member.settings,
                NodeDirectory(member.path),
                member.source,
                network,
                random=Random(random.random()),  # noqa: S311  # jitter
            )
            for member in members
        ]

    async def run(self, stop: asyncio.Event, duration: float = 0.0) -> FleetResult:
        """Run until *stop* is set, or for *duration* seconds unless it is 0."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._start(agent), name=agent.name) for agent in self.agents
            ]
            with suppress(TimeoutError):
                async with asyncio.timeout(duration or None):
                    await stop.wait()
            result = self.result()
            for task in tasks:
                task.cancel()
        return result

    async def _start(self, agent: Agent) -> None:
        interval = min((each.intervals.interval for each in self._settings), default=0.0)
        spread = min(interval, START_SECONDS * len(self.agents))
        await asyncio.sleep(self._random.uniform(0, spread))
        await agent.run()

    def result(self) -> FleetResult:
        """How the fleet is doing now."""
        agents = self.agents
        return FleetResult(
            nodes=len(agents),
            activated=sum(agent.node_id is not None for agent in agents),
            connected=sum(agent.is_connected for agent in agents),
            converged=sum(agent.state.is_converged for agent in agents),
            connections=sum(agent.connections for agent in agents),
            reports=sum(agent.state.seq for agent in agents),
            errors=sum(agent.state.errors + agent.bad_messages for agent in agents),
        )

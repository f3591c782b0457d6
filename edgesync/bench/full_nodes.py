"""Nodes of the simulator, one after the other: from no certificate to the first app running."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

from agent_sim.activation import ActivationClaim
from agent_sim.agent import Agent, AgentSettings
from agent_sim.device import Intervals
from agent_sim.facts import SimulatedSource
from agent_sim.fleet import open_network
from agent_sim.link import Address
from agent_sim.state import NodeDirectory, read_ca

_PATIENCE_SECONDS = 30.0


async def run_full_nodes(
    ready: Mapping[str, str], token: str, directory: Path, count: int
) -> list[tuple[float, float]]:
    """Seconds until each was activated, and until it was agreed that its app runs."""
    broker = urlsplit(ready["mqtt"])
    settings = AgentSettings(
        broker=Address(broker.hostname or "", broker.port or 0),
        intervals=Intervals(20.0, 0.0),
        apply_delay=0.0,
    )
    took = []
    async with open_network(ready["activation"], read_ca(Path(ready["ca"]))) as network:
        for number in range(count):
            agent = Agent(
                ActivationClaim(batch="bench", fingerprint=f"full-{number}", token=token),
                settings,
                NodeDirectory(directory / str(number)),
                SimulatedSource(number + 1, 1),
                network,
                random=Random(number),  # noqa: S311  # jitter
            )
            took.append(await _until_running(agent))
    return took


async def _until_running(agent: Agent) -> tuple[float, float]:
    """Seconds until it was activated, and until it was agreed that its app runs."""
    began = time.monotonic()
    activated = 0.0
    async with asyncio.timeout(_PATIENCE_SECONDS), asyncio.TaskGroup() as group:
        task = group.create_task(agent.run())
        while not (agent.state.held and agent.state.is_converged):
            if not activated and agent.node_id is not None:
                activated = time.monotonic() - began
            await asyncio.sleep(0.002)
        running = time.monotonic() - began
        task.cancel()
    return activated or running, running

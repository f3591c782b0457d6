"""A line about a node in a list: its apps in numbers, its agent, its machine, its usage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cloud.core.deploys import DeployStatus
from cloud.core.desired import Desired
from cloud.core.running import NOT_UP, RunningApp, RunState

SUMMARY_LIMIT = 500
"""Nodes on a page whose items have summaries."""


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """What is stored of a node for its line: of *cpu* thousandths of a core, of *memory* bytes.

    The parts are ten-thousandths of what there is. *host* is the machine as reported, or several
    by host name.
    """

    deploy: str = DeployStatus.PENDING.value
    agent: str = ""
    cpu: int | None = None
    memory: int | None = None
    cpu_part: int | None = None
    memory_part: int | None = None
    host: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NodeSummary:
    """The line: of *wanted* apps so many are *running* as wanted, and so many have *failed*."""

    figures: NodeFigures
    wanted: int
    running: int
    failed: int

    def fact(self, *names: str) -> str:
        """The first of those facts about the machine that is known; empty where none is.

        Of several machines it is that of the first.
        """
        host = self.figures.host
        if host and all(isinstance(value, Mapping) for value in host.values()):
            host = next(iter(host.values()))
        found = (host.get(name) for name in names)
        return next((fact for fact in found if isinstance(fact, str) and fact), "")


def node_summary(
    figures: NodeFigures, desired: Desired, reported: Sequence[RunningApp]
) -> NodeSummary:
    """The line of a node that should run *desired* and has *reported* these apps."""
    states = {(app.name, app.version): app.state for app in reported}
    found = [states.get((app.name, app.version)) for app in desired.apps]
    return NodeSummary(
        figures,
        wanted=len(found),
        running=sum(state == RunState.RUNNING for state in found),
        failed=sum(state in NOT_UP for state in found),
    )

"""A plan: the effect of a change and the nodes it affects, before it is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cloud.core.comparison import Change

NAMES_SHOWN = 10
"""Nodes that a plan names."""


class PlanAction(StrEnum):
    """The outcome for the thing."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Reach:
    """How many of the *total* nodes of a namespace would be sent another desired state.

    *offline* of them are not there now (core/readiness) and get it when they return. *names* are a
    few of them.
    """

    touched: int
    offline: int
    total: int
    names: Sequence[str] = ()

    @property
    def share(self) -> float:
        """Part of all nodes that are touched, from 0 to 1."""
        return self.touched / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class AppChange:
    """An app that changes on so many *nodes*: its version *before* and *after*; None: not there.

    A version that is not given yet is empty.
    """

    name: str
    before: str | None
    after: str | None
    nodes: int


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """A stage of a rollout that would begin, and its nodes by now."""

    name: str
    nodes: int


@dataclass(frozen=True, slots=True)
class PlannedRollout:
    """A rollout that would begin; *first* are the first nodes to be admitted, as many as shown."""

    app: str
    policy: str
    stages: Sequence[PlannedStage]
    first: Sequence[str]

    @property
    def words(self) -> str:
        """The same in words."""
        stages = ", ".join(f"{stage.name} ({stage.nodes})" for stage in self.stages)
        return f"{self.app} goes out by policy {self.policy} in stages {stages}"


@dataclass(frozen=True, slots=True)
class NodeGains:
    """The apps that a node would run and does not yet, and those that it would not run any more."""

    name: str
    gained: Sequence[str]
    lost: Sequence[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """The effect of one change. *size* is bytes of JSON that nodes would fetch, all together.

    *reach* leaves out nodes that get another version by one of *rollouts*.
    It changes *count* things of the *kind*; where these are nodes, *gains* has some of them.
    """

    kind: str
    name: str
    action: PlanAction
    changes: Sequence[Change]
    reach: Reach
    apps: Sequence[AppChange]
    size: int
    asks: bool
    rollouts: Sequence[PlannedRollout] = ()
    count: int = 1
    gains: Sequence[NodeGains] = ()

    @property
    def message(self) -> str:
        """The same in a sentence."""
        if self.action is PlanAction.NONE and not self.reach.touched:
            return f"{self._thing} is like that already: nothing would change."
        rollouts = "; ".join(one.words for one in self.rollouts)
        reach = self.reach
        if not reach.touched and rollouts:
            return f"Would {self.action} {self._thing}: {rollouts}."
        if not reach.touched:
            return f"Would {self.action} {self._thing}; no node is affected."
        text = f"Would {self.action} {self._thing} and touch {reach.touched} of {reach.total} nodes"
        if reach.offline:
            text += f"; {reach.offline} of them are offline and get it when they return"
        if rollouts:
            text += f"; {rollouts}"
        if self.asks:
            text += ". That exceeds the limit of the guard and needs confirmation"
        return f"{text}."

    @property
    def _thing(self) -> str:
        return (
            f"{self.count} {self.kind}s" if self.count > 1 else f"{self.kind} {self.name}".strip()
        )

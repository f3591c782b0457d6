"""What a transaction knows of what runs in a fleet and of what its nodes use; see `interface`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cloud.core.readiness import State
from cloud.core.running import RunningApp
from cloud.core.usage import UsagePoint


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many nodes are to be told of changes, how many calls of callbacks to be made."""

    nodes: int
    deliveries: int


class FleetVerbs(Protocol):
    """Counted by indexes; no report is read for it."""

    # what nodes say they run
    def running_apps(self, namespace: str, name: str) -> Sequence[RunningApp]:
        """What the node was last noted to run, in the order of names and versions."""
        ...

    def put_running(
        self, namespace: str, name: str, apps: Sequence[RunningApp], digest: str
    ) -> None:
        """Note what the node runs, and the *digest* of it; only what differs is written.

        The node has to have a report.
        """
        ...

    def count_running(self, namespace: str, app: str) -> Mapping[tuple[str, str], int]:
        """How many nodes report *app*, by version and `RunState`."""
        ...

    def count_selected(self, namespace: str, selector: str) -> int:
        """How many nodes an app with *selector* is for; remembered, asking again is free."""
        ...

    def count_away(
        self, namespace: str, selector: str, app: str, version: str, now: datetime
    ) -> int:
        """How many of the selected nodes do not run *app* at *version*, and are offline at *now*.

        So are those that never reported. Looks at each selected node.
        """
        ...

    # what nodes used
    def usage_points(self, namespace: str, name: str, since: datetime) -> Sequence[UsagePoint]:
        """Those after *since*, the oldest first."""
        ...

    def put_usage_point(self, namespace: str, name: str, slot: int, point: UsagePoint) -> None:
        """Put *point* in the place of what was at *slot*; NotFound if there is no such node."""
        ...

    def set_usage_step(self, namespace: str, name: str, number: int) -> None:
        """Note that the step of that *number* has had its point."""
        ...

    # a namespace at a glance
    def count_states_in(self, namespace: str, now: datetime) -> Mapping[State, int]:
        """As `count_states`, of one namespace."""
        ...

    def count_ends_in(self, namespace: str, bounds: Sequence[datetime]) -> Sequence[int]:
        """How many nodes have their last certificate end before each of *bounds*."""
        ...

    def count_activations(self, namespace: str, since: datetime) -> int:
        """How many devices activated last after *since*."""
        ...

    def count_waiting_in(self, namespace: str) -> Waiting:
        """As `count_waiting`, of one namespace."""
        ...

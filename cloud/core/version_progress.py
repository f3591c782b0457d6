"""Progress of a version of an app, counted over the nodes it is for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cloud.core.app import App
from cloud.core.running import NOT_UP, RunState

VERSIONS_SHOWN = 20
"""Versions of one app that are counted apart; the rarest are left out."""


FAILURES_SHOWN = 5
"""Nodes that failed with a version, and why, that are shown of one app."""


CAUSES_SHOWN = 20
"""Causes of failures that are counted; the rarest are left out."""


@dataclass(frozen=True, slots=True)
class CauseCount:
    """A group of causes (`running.cause_group`), and how many nodes failed for it."""

    cause: str
    nodes: int


@dataclass(frozen=True, slots=True)
class NodeFailure:
    """A node that failed with the wanted version of an app, and its reason."""

    node: str
    cause: str


@dataclass(frozen=True, slots=True)
class VersionProgress:
    """*app* as it is wanted now: for how many nodes, and what those reported.

    *versions* counts all nodes that report the app, by the version that they run, the most first.
    """

    app: App
    selected: int
    running: int
    failed: int
    versions: Sequence[tuple[str, int]]

    @property
    def pending(self) -> int:
        """Nodes that have neither."""
        return max(self.selected - self.running - self.failed, 0)


def version_progress(
    app: App,
    selected: int,
    counts: Mapping[tuple[str, str], int],
    wanted: Mapping[str, int] | None = None,
) -> VersionProgress:
    """The progress of *app*, for *selected* nodes; *counts* are reports by version and state.

    *wanted* are those with the version for the node, by state, where nodes have different ones.
    """
    if wanted is None:
        wanted = {state: count for (one, state), count in counts.items() if one == app.version}
    versions: dict[str, int] = {}
    for (version, state), count in counts.items():
        if state not in {RunState.REFUSED, RunState.ROLLED_BACK}:
            versions[version] = versions.get(version, 0) + count
    most_first = sorted(versions.items(), key=lambda each: (-each[1], each[0]))
    return VersionProgress(
        app,
        selected,
        wanted.get(RunState.RUNNING, 0),
        sum(wanted.get(state, 0) for state in NOT_UP),
        most_first[:VERSIONS_SHOWN],
    )

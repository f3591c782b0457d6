"""Rollouts as they stand: their stages, and on whom they wait.

To find that out is a pass over all nodes of the app. The driver makes one in each step; what it
finds is kept for those who look at the rollout meanwhile.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloud.core.rollout import AssignmentState, Rollout, default_assignment
from cloud.core.rollout_plan import tolerated_failures
from cloud.core.rollout_policy import RolloutStage
from cloud.core.rollout_turns import RolloutWait
from cloud.operations.rollout_drive import PlannedStep

WAITS_SHOWN = 20
"""Nodes on which a rollout waits that are named."""

KEPT_FOR = timedelta(seconds=10)
"""How long the driver's last look counts: longer than it pauses between two steps."""


@dataclass(frozen=True, slots=True)
class SeenStage:
    """A stage, and its nodes by state."""

    stage: RolloutStage
    nodes: Mapping[AssignmentState, int]


@dataclass(frozen=True, slots=True)
class SeenRollout:
    """A rollout as it stands: its stages, and the first *waits* of *waiting* nodes.

    The stages of one that a newer one of the app has followed have no nodes any more. *tolerated*
    is how many nodes may fail.
    """

    rollout: Rollout
    stages: Sequence[SeenStage]
    waits: Sequence[RolloutWait]
    waiting: int
    total: int
    failed: int
    tolerated: int


def seen_of(planned: PlannedStep, *, is_kept: bool = False) -> SeenRollout:
    """The rollout as it stands before the step that is *planned*, or after that where *is_kept*."""
    rollout = planned.after if is_kept else planned.rollout
    rows = planned.assignments_after if is_kept else planned.assignments
    default = default_assignment(rollout, "", 0).state
    step, counts = planned.step, [Counter[AssignmentState]() for _ in rollout.rules.all_stages]
    for node, index in step.stage_of.items():
        row = rows.get(node)
        counts[index][row.state if row else default] += 1
    stages = zip(rollout.rules.all_stages, counts, strict=True)
    total = len(step.stage_of)
    return SeenRollout(
        rollout,
        [SeenStage(stage, count) for stage, count in stages],
        step.waits[:WAITS_SHOWN],
        len(step.waits),
        total,
        failed=sum(count[AssignmentState.FAILED] for count in counts),
        tolerated=tolerated_failures(rollout, total),
    )


def replaced(rollout: Rollout) -> SeenRollout:
    """A rollout that a newer one of the app has followed."""
    stages = [SeenStage(stage, {}) for stage in rollout.rules.all_stages]
    return SeenRollout(rollout, stages, (), 0, 0, 0, tolerated_failures(rollout, 0))


class SeenRollouts:
    """Owns how rollouts stood when they were driven here last; for several threads."""

    def __init__(self) -> None:
        self._kept: Mapping[tuple[str, str], SeenRollout] = {}
        self._looked: datetime | None = None

    def keep(self, found: Iterable[SeenRollout], now: datetime) -> None:
        """Keep what was *found* of all rollouts that are driven, at *now*."""
        self._kept = {(one.rollout.namespace, one.rollout.name): one for one in found}
        self._looked = now

    def of(self, rollout: Rollout, now: datetime) -> SeenRollout | None:
        """How *rollout* stood last; None if that is long ago, or the rollout has changed since."""
        kept = self._kept.get((rollout.namespace, rollout.name))
        is_recent = self._looked is not None and abs(now - self._looked) < KEPT_FOR
        return kept if kept and is_recent and kept.rollout == rollout else None

"""What operators do with a rollout; RolloutConflict where its state forbids that."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec.structs import replace

from cloud.core.rollout import Assignment, AssignmentState, Rollout, RolloutState
from cloud.core.rollout_plan import is_approved, rolling_back, with_approval
from cloud.errors import RolloutConflict

_HELD = {RolloutState.SCHEDULED, RolloutState.RUNNING, RolloutState.WAITING_FOR_APPROVAL}


def paused(rollout: Rollout, cause: str, now: datetime) -> Rollout:
    """*rollout* without further admissions, until it is resumed."""
    _check(rollout, "pause", _HELD)
    return replace(rollout, state=RolloutState.PAUSED, cause=cause, updated=now)


def resumed(
    rollout: Rollout, assignments: Iterable[Assignment], now: datetime
) -> tuple[Rollout, Sequence[Assignment]]:
    """*rollout* going on, and the assignments that change with that.

    Nodes that failed have another deadline to be healthy in.
    """
    _check(rollout, "resume", {RolloutState.PAUSED})
    is_early = rollout.starts is not None and now < rollout.starts
    state = RolloutState.SCHEDULED if is_early else RolloutState.RUNNING
    again = [
        replace(row, state=AssignmentState.SENT, sent=now, healthy=None, cause="")
        for row in assignments
        if row.state is AssignmentState.FAILED
    ]
    return replace(rollout, state=state, has_failed=False, cause="", updated=now), again


def approved(rollout: Rollout, actor: str, now: datetime) -> Rollout:
    """*rollout* with the approval of *actor* for the stage that it waits to begin."""
    _check(rollout, "approve", {RolloutState.WAITING_FOR_APPROVAL})
    rollout = with_approval(rollout, rollout.stage, actor, now)
    return replace(rollout, state=RolloutState.RUNNING)


def promoted(rollout: Rollout, failures: int, actor: str, now: datetime) -> Rollout:
    """*rollout* in its next stage, which *actor* approves; nodes of the stages before go on.

    The *failures* so far are accepted. A rollout that waits for approval begins that stage.
    """
    _check(rollout, "promote", {*_HELD, RolloutState.PAUSED})
    last = len(rollout.rules.all_stages) - 1
    is_begun = is_approved(rollout, rollout.stage)
    stage = min(rollout.stage + 1, last) if is_begun else rollout.stage
    if stage == rollout.stage and is_begun and not failures:
        raise RolloutConflict(rollout.name, "in its last stage", "promote")
    for index in range(stage + 1):
        if not is_approved(rollout, index):
            rollout = with_approval(rollout, index, actor, now)
    return replace(
        rollout,
        state=RolloutState.RUNNING,
        stage=stage,
        stage_since=now,
        starts=None,
        accepted_failures=failures,
        has_failed=False,
        cause="",
        updated=now,
    )


def started(rollout: Rollout, starts: datetime | None, now: datetime) -> Rollout:
    """*rollout*, which is scheduled, beginning at *starts* instead; None for now."""
    _check(rollout, "start", {RolloutState.SCHEDULED})
    return replace(rollout, starts=starts or now, updated=now)


def hurried(rollout: Rollout, now: datetime) -> Rollout:
    """*rollout* without soak times and windows from now on."""
    _check(rollout, "hurry", {*_HELD, RolloutState.PAUSED})
    return replace(rollout, is_emergency=True, updated=now)


def aborted(rollout: Rollout, cause: str, now: datetime) -> Rollout:
    """*rollout* at its end: each node keeps the version that it should run now.

    It has failed if more nodes failed than its policy allows, and is aborted otherwise.
    """
    _check(rollout, "abort", {state for state in RolloutState if state.is_open})
    state = RolloutState.FAILED if rollout.has_failed else RolloutState.ABORTED
    return replace(rollout, state=state, cause=cause or rollout.cause, updated=now, ended=now)


def sent_back(rollout: Rollout, cause: str, now: datetime) -> Rollout:
    """*rollout* on the way back, by an operator."""
    _check(rollout, "rollback", {*_HELD, RolloutState.PAUSED})
    return rolling_back(rollout, now, cause)


def _check(rollout: Rollout, action: str, states: set[RolloutState]) -> None:
    if rollout.state not in states:
        raise RolloutConflict(rollout.name, rollout.state.value, action)

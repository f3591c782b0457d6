"""The beginning of a rollout, and what becomes of the assignments of the one before."""

from datetime import datetime

from cloud.core.rollout import Assignment, AssignmentState, Rollout, RolloutState, rollout_name
from cloud.core.rollout_policy import RolloutPolicy


def new_rollout(
    policy: RolloutPolicy,
    app: str,
    *,
    base: str,
    target: str,
    now: datetime,
    actor: str = "",
    starts: datetime | None = None,
    is_emergency: bool = False,
) -> Rollout:
    """The rollout of version *target* of *app* by *policy*; it begins at *starts*, or now."""
    return Rollout(
        namespace=policy.namespace,
        name=rollout_name(app, target),
        app=app,
        policy=policy.name,
        rules=policy.spec,
        base=base,
        target=target,
        state=RolloutState.SCHEDULED if starts else RolloutState.RUNNING,
        created=now,
        updated=now,
        actor=actor,
        stage_since=None if starts else now,
        starts=starts,
        is_emergency=is_emergency,
    )


def carried_over(row: Assignment, base: str) -> Assignment | None:
    """The assignment in the next rollout of a node that had *row* in this one; None for none.

    The node keeps the version that it should run. If it was not healthy with that for long enough,
    its previous version stays the one that a rollback brings back.
    """
    state = row.state
    version = row.previous if state is AssignmentState.ADMITTED else row.version
    is_good = state in {AssignmentState.UPDATED, AssignmentState.RETURNED}
    is_down = row.is_unavailable and state is not AssignmentState.ADMITTED
    if version == base and not is_down:
        return None
    return Assignment(
        node=row.node,
        app=row.app,
        version=version,
        previous=version if is_good else row.previous,
        state=AssignmentState.WAITING,
        sent=(row.sent or row.admitted) if is_down else None,
    )

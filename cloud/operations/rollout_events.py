"""Events of rollouts: each change of state."""

from datetime import datetime

from cloud.core.event import ROLLOUT_EVENTS, Event
from cloud.core.rollout import Rollout, RolloutState
from cloud.store.transaction import Transaction

_MESSAGES = {
    RolloutState.SCHEDULED: "is scheduled",
    RolloutState.RUNNING: "is running",
    RolloutState.PAUSED: "is paused",
    RolloutState.WAITING_FOR_APPROVAL: "waits for approval",
    RolloutState.ROLLING_BACK: "brings nodes back to their previous version",
    RolloutState.DONE: "is done",
    RolloutState.FAILED: "was ended after too many nodes had failed",
    RolloutState.ROLLED_BACK: "has brought all nodes back to their previous version",
    RolloutState.SUPERSEDED: "was superseded by a newer version",
    RolloutState.ABORTED: "was aborted",
}


def record_rollout_event(tx: Transaction, rollout: Rollout, *, now: datetime) -> None:
    """Record that *rollout* is in another state, or another stage."""
    stage = rollout.rules.all_stages[rollout.stage].name
    message = f"rollout {rollout.name} {_MESSAGES[rollout.state]}"
    if rollout.state in {RolloutState.RUNNING, RolloutState.WAITING_FOR_APPROVAL}:
        message = f"{message} (stage {stage})"
    if rollout.cause:
        message = f"{message}: {rollout.cause}"
    data = {
        "app": rollout.app,
        "version": rollout.target,
        "base": rollout.base,
        "state": rollout.state.value,
        "stage": stage,
        "cause": rollout.cause,
    }
    tx.record_event(
        Event(
            ROLLOUT_EVENTS[rollout.state],
            rollout.namespace,
            "rollout",
            rollout.name,
            now,
            message,
            data,
        )
    )

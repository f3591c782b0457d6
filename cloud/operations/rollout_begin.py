"""The beginning of rollouts: when an app under a policy gets another version."""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from cloud.core.app import App
from cloud.core.rollout import AssignmentState, Rollout, RolloutState
from cloud.core.rollout_policy import RolloutPolicy, governing
from cloud.core.rollout_start import carried_over, new_rollout
from cloud.operations.pinned_versions import unpin_unused
from cloud.operations.rollout_events import record_rollout_event
from cloud.store.transaction import Transaction

ROLLOUTS_KEPT = 20
"""Rollouts of one app that are stored, the newest."""


@dataclass(frozen=True, slots=True)
class RolloutOrder:
    """How the rollouts that a change causes begin: at *starts* (None: now), or as an emergency."""

    starts: datetime | None = None
    is_emergency: bool = False


AT_ONCE = RolloutOrder()


def begin_rollout(
    tx: Transaction, namespace: str, before: App | None, after: App, *, now: datetime
) -> bool:
    """Roll out *after*, which is stored in the place of *before*, if a policy governs it.

    It supersedes the rollout before. False where none does: then the version goes to all nodes.
    """
    newest = tx.newest_rollout(namespace, after.name)
    policies = tx.resources(RolloutPolicy, namespace)
    policy = governing(policies, after.name, after.labels)
    if newest is not None and newest.state.is_open:
        _end(tx, newest, now)
    if policy is None:
        if newest is not None:
            tx.delete_assignments(namespace, after.name)
            tx.unpin_versions(namespace, after.name, ())
        return False
    base = _base(newest, before)
    if newest is not None:
        _carry_over(tx, namespace, after.name, base)
    rollout = new_rollout(policy, after.name, base=base, target=after.version, now=now)
    tx.put_rollout(rollout)
    tx.delete_old_rollouts(namespace, after.name, ROLLOUTS_KEPT)
    unpin_unused(tx, namespace, after.name)
    record_rollout_event(tx, rollout, now=now)
    return True


def order_rollouts(
    tx: Transaction, namespace: str, order: RolloutOrder, actor: str, *, now: datetime
) -> None:
    """Let the rollouts that began in this transaction, at *now*, follow *order*; *actor* did it."""
    for rollout in tx.rollouts_in([RolloutState.RUNNING]):
        if rollout.namespace != namespace or rollout.created != now:
            continue
        starts = order.starts
        tx.put_rollout(
            msgspec.structs.replace(
                rollout,
                actor=actor,
                starts=starts,
                state=RolloutState.SCHEDULED if starts else RolloutState.RUNNING,
                stage_since=None if starts else now,
                is_emergency=order.is_emergency,
            )
        )


def _base(newest: Rollout | None, before: App | None) -> str:
    """The version of nodes that the new rollout has not reached; empty for none."""
    if before is None:
        return ""
    if newest is not None and before.version in {newest.base, newest.target}:
        return newest.default_version
    return before.version


def _carry_over(tx: Transaction, namespace: str, app: str, base: str) -> None:
    """Keep the version of each node that has another one than *base*."""
    rows = tx.assignments(namespace, app)
    if not rows:
        return
    carried = [carried for row in rows.values() if (carried := carried_over(row, base))]
    tx.delete_assignments(namespace, app)
    tx.put_assignments(namespace, carried)
    unsent = [row.node for row in rows.values() if row.state is AssignmentState.ADMITTED]
    tx.mark_names_pending(namespace, unsent)


def _end(tx: Transaction, rollout: Rollout, now: datetime) -> None:
    ended = msgspec.structs.replace(
        rollout,
        state=RolloutState.SUPERSEDED,
        updated=now,
        ended=now,
        revision=rollout.revision + 1,
    )
    tx.put_rollout(ended)
    record_rollout_event(tx, ended, now=now)

"""Driving a rollout: what its scheduler decides is planned in a read, and kept in a short write.

A step is kept only if neither the rollout nor an assignment that it changes is another one than it
was planned from: of several servers that drive a rollout one is first, the others plan anew.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import msgspec

from cloud.core.app import AppVersion
from cloud.core.audit import SERVER, Attempt
from cloud.core.rollout import Assignment, AssignmentState, Rollout, RolloutState, is_default
from cloud.core.rollout_plan import RolloutStep, next_step
from cloud.errors import InUse, NotFound
from cloud.operations.pinned_versions import unpin_unused
from cloud.operations.restored_versions import restore_version
from cloud.operations.rollout_events import record_rollout_event
from cloud.operations.rollout_evidence import assignment_of
from cloud.operations.rollout_nodes import rollout_nodes
from cloud.store.parts.assignments import StoredAssignments
from cloud.store.transaction import Transaction

logger = logging.getLogger(__name__)

FEW = 100
"""Assignments that are looked up node by node, rather than all of the app; 1 ms."""

_OFFERED = AssignmentState.OFFERED

DRIVEN = (
    RolloutState.SCHEDULED,
    RolloutState.RUNNING,
    RolloutState.PAUSED,
    RolloutState.WAITING_FOR_APPROVAL,
    RolloutState.ROLLING_BACK,
)
"""States in which a rollout goes on by itself, or judges what nodes report."""


@dataclass(frozen=True)
class PlannedStep:
    """A step of *rollout*, and the assignments that it was planned from."""

    rollout: Rollout
    step: RolloutStep
    assignments: StoredAssignments

    @property
    def is_change(self) -> bool:
        """Return whether it changes anything."""
        return bool(self.step.changes) or self.step.rollout != self.rollout

    @property
    def after(self) -> Rollout:
        """The rollout as it is stored once the step is kept."""
        return msgspec.structs.replace(self.step.rollout, revision=self.rollout.revision + 1)

    @cached_property
    def assignments_after(self) -> Mapping[str, Assignment]:
        """The assignments that are stored once the step is kept."""
        rows, after = {**self.assignments, **self.step.changes}, self.step.rollout
        if after.state is not RolloutState.DONE:
            return {name: row for name, row in rows.items() if row is not None}
        return {name: row for name, row in rows.items() if row and not is_default(after, row)}


def driven_rollouts(tx: Transaction) -> Sequence[Rollout]:
    """The newest rollout of each app that has something left to do."""
    found = list(tx.rollouts_in(DRIVEN))
    for namespace, app in tx.apps_in_progress():
        newest = tx.newest_rollout(namespace, app)
        if newest is not None and newest.state is RolloutState.DONE:
            found.append(newest)
    return found


def plan_step(
    tx: Transaction, rollout: Rollout, *, now: datetime, watched: datetime | None = None
) -> PlannedStep:
    """The step of *rollout* at *now*; nodes can be heard since *watched* (None: always)."""
    assignments = tx.assignments(rollout.namespace, rollout.app)
    nodes = rollout_nodes(tx, rollout, assignments, now=now, watched=watched)
    if nodes is None:
        ended = msgspec.structs.replace(
            rollout,
            state=RolloutState.ABORTED,
            cause="the app was deleted",
            updated=now,
            ended=now,
        )
        return PlannedStep(rollout, RolloutStep(ended, {}, (), {}), assignments)
    return PlannedStep(rollout, next_step(rollout, nodes, assignments, now), assignments)


def keep_step(tx: Transaction, planned: PlannedStep, *, now: datetime) -> bool:
    """Keep what was planned, and have nodes sent what they should run; False if it is outdated."""
    before = planned.rollout
    after, left = planned.after, planned.assignments_after
    put = [left[name] for name in planned.step.changes if name in left]
    gone = [name for name in planned.assignments if name not in left]
    names = {*planned.step.changes, *gone}
    if tx.rollout(before.namespace, before.name) != before or _is_outdated(tx, planned, names):
        return False
    if put:
        tx.put_assignments(before.namespace, put)
    if gone:
        # Those that are not among them cannot have been put meanwhile: steps are kept one by one.
        tx.delete_assignments(before.namespace, before.app, gone if left else None)
    if after.state is RolloutState.DONE and before.state is not RolloutState.DONE:
        _mark_unselected(tx, after)
    _mark_resent(tx, planned)
    tx.put_rollout(after)
    if (after.state, after.stage) != (before.state, before.stage):
        record_rollout_event(tx, after, now=now)
    if not after.state.is_open and before.state.is_open:
        unpin_unused(tx, after.namespace, after.app)
    return True


def restore_base(tx: Transaction, rollout: Rollout, *, now: datetime) -> bool:
    """Make the base version of *rollout*, which goes back, the app's current one, as an undo does.

    So the next change of the app begins with it. False where there is nothing to do.
    """
    current = tx.app(rollout.namespace, rollout.app)
    if current is None or current.version != rollout.target or not rollout.base:
        return False
    reason = f"rollout {rollout.name} goes back: {rollout.cause}"
    attempt = Attempt(SERVER, "app.undo", now, rollout.namespace, rollout.app, reason=reason)
    try:
        restore_version(tx, rollout.namespace, rollout.app, rollout.base, attempt)
    except (NotFound, InUse) as error:
        logger.warning("app %s keeps version %s: %s", rollout.app, rollout.target, error)
        return False
    return True


def _is_outdated(tx: Transaction, planned: PlannedStep, names: Collection[str]) -> bool:
    """Return whether the assignment of one of *names* is not what that was planned from."""
    rollout, before = planned.rollout, planned.assignments
    if len(names) > FEW and len(names) > len(before) // 4:
        if tx.are_assignments(rollout.namespace, rollout.app, before):
            return False
        now = tx.assignments(rollout.namespace, rollout.app)
        return any(now.get(name) != before.get(name) for name in names)
    tx.expect_nodes([(rollout.namespace, name) for name in names])
    for name in names:
        if assignment_of(tx, rollout.namespace, name, rollout.app) != before.get(name):
            return True
    return False


def _mark_resent(tx: Transaction, planned: PlannedStep) -> None:
    """Have the nodes sent what they should run that should run another version than before."""
    rollout, names = planned.rollout, _resent(planned)
    app = tx.catalog(rollout.namespace).app_at(AppVersion(rollout.app, rollout.target))
    if app is not None and names and planned.step.stage_of.keys() == set(names):
        tx.mark_selected_pending(rollout.namespace, app.selector)
    else:
        tx.mark_names_pending(rollout.namespace, names)


def _resent(planned: PlannedStep) -> Sequence[str]:
    """The nodes that should run another version than before, or are offered it now."""

    before, after = (
        Assignment("", "", rollout.default_version, "", AssignmentState.WAITING)
        for rollout in (planned.rollout, planned.step.rollout)
    )
    resent = []
    for name, row in planned.step.changes.items():
        was, will = planned.assignments.get(name, before), row or after
        is_other_offer = (was.state is _OFFERED) is not (will.state is _OFFERED)
        if was.version != will.version or is_other_offer:
            resent.append(name)
    return resent


def _mark_unselected(tx: Transaction, rollout: Rollout) -> None:
    """Update the nodes that the version before selected, where this one selects others."""
    catalog = tx.catalog(rollout.namespace)
    base = catalog.app_at(AppVersion(rollout.app, rollout.base)) if rollout.base else None
    target = catalog.app_at(AppVersion(rollout.app, rollout.target))
    if base is not None and (target is None or base.selector != target.selector):
        tx.mark_selected_pending(rollout.namespace, base.selector)

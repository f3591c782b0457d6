"""Rollouts as operators see them and act on them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from cloud.core.listing import ListOptions, Page
from cloud.core.rollout import (
    Assignment,
    AssignmentState,
    Rollout,
    RolloutState,
    default_assignment,
)
from cloud.core.rollout_actions import (
    aborted,
    approved,
    hurried,
    paused,
    promoted,
    resumed,
    sent_back,
    started,
)
from cloud.core.rollout_stages import stages_of
from cloud.core.rollout_turns import RolloutWait, WaitReason
from cloud.core.tokens import Role
from cloud.errors import Forbidden, NotFound
from cloud.operations.rollout_drive import DRIVEN, plan_step
from cloud.operations.rollout_events import record_rollout_event
from cloud.operations.rollout_nodes import rollout_nodes
from cloud.operations.seen_rollouts import SeenRollout, SeenRollouts, replaced, seen_of
from cloud.store.transaction import Transaction

_FIRST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RolloutActor:
    """Who acts on a rollout: a name, and the role."""

    name: str
    role: Role


def existing_rollout(tx: Transaction, namespace: str, name: str) -> Rollout:
    """The rollout of that name, or the newest one of the app of that name; NotFound for none."""
    found = tx.rollout(namespace, name) or tx.newest_rollout(namespace, name)
    if found is None:
        raise NotFound("rollout", name)
    return found


def list_rollouts(
    tx: Transaction, namespace: str, options: ListOptions, app: str = ""
) -> Page[Rollout]:
    """List the rollouts of the namespace, or of one app, the oldest first."""
    return tx.list_rollouts(namespace, options, app)


def list_open_rollouts(tx: Transaction, namespace: str, app: str = "") -> Page[Rollout]:
    """All rollouts of the namespace, or of one app, that have not ended, the oldest first."""
    found = [
        rollout
        for rollout in tx.rollouts_in(DRIVEN)
        if rollout.namespace == namespace and app in {"", rollout.app}
    ]
    return Page(found, len(found), None)


def see_rollout(
    tx: Transaction, namespace: str, name: str, seen: SeenRollouts, *, now: datetime
) -> SeenRollout:
    """The rollout of that name, or of the app of that name, as it stands at *now*.

    As it is *seen* by its driver, where that is up to date.
    """
    rollout = existing_rollout(tx, namespace, name)
    if known := seen.of(rollout, now):
        return known
    newest = tx.newest_rollout(namespace, rollout.app)
    if newest is None or newest.name != rollout.name:
        return replaced(rollout)
    return seen_of(plan_step(tx, rollout, now=now))


def assignments_of(
    tx: Transaction, namespace: str, name: str, *, now: datetime
) -> tuple[Rollout, Sequence[Assignment]]:
    """The rollout, and what it has assigned to nodes, by their names; none once another follows.

    Of one that is done, also the nodes that need no assignment any more.
    """
    rollout = existing_rollout(tx, namespace, name)
    newest = tx.newest_rollout(namespace, rollout.app)
    if newest is None or newest.name != rollout.name:
        return rollout, []
    rows = dict(tx.assignments(namespace, rollout.app))
    if rollout.state is RolloutState.DONE:
        ordered = rollout_nodes(tx, rollout, now=now) or ()
        for node, stage in stages_of(rollout.rules, ordered, rows).items():
            rows.setdefault(node, default_assignment(rollout, node, stage))
    return rollout, [rows[node] for node in sorted(rows)]


def page_of_nodes(rows: Sequence[Assignment], options: ListOptions) -> Page[Assignment]:
    """The page that *options* asks for, of *rows* in the order of their nodes."""
    left = [row for row in rows if not options.after or row.node > options.after[1]]
    shown = left[: options.limit] if options.limit else left
    after = (_FIRST, shown[-1].node) if len(shown) < len(left) else None
    return Page(shown, len(rows), after)


def waits_of_node(
    tx: Transaction, namespace: str, node: str, apps: Sequence[str], *, now: datetime
) -> Mapping[str, RolloutWait]:
    """What *node* waits for, by app, of those of *apps* whose version is rolled out."""
    found = {}
    for app in apps:
        rollout = tx.newest_rollout(namespace, app)
        if rollout is None or not (rollout.state.is_open or rollout.state is RolloutState.DONE):
            continue
        wait = _wait_of(tx, rollout, node, now)
        if wait is not None:
            found[app] = wait
    return found


@dataclass(frozen=True, slots=True)
class RolloutCounts:
    """The rollouts of all namespaces that have not ended, and their nodes, by state."""

    states: Counter[RolloutState]
    nodes: Counter[AssignmentState]


def count_rollouts(tx: Transaction) -> RolloutCounts:
    """Count the rollouts that have not ended."""
    found = tx.rollouts_in(DRIVEN)
    nodes = Counter[AssignmentState]()
    for rollout in found:
        rows = tx.assignments(rollout.namespace, rollout.app).values()
        nodes.update(row.state for row in rows)
    return RolloutCounts(Counter(rollout.state for rollout in found), nodes)


def pause_rollout(
    tx: Transaction, namespace: str, name: str, by: RolloutActor, cause: str, *, now: datetime
) -> Rollout:
    """Admit no further nodes until it is resumed."""
    return _act(
        tx, namespace, name, now, lambda rollout: paused(rollout, cause or f"by {by.name}", now)
    )


def resume_rollout(tx: Transaction, namespace: str, name: str, *, now: datetime) -> Rollout:
    """Go on; nodes that failed have another deadline."""

    def change(rollout: Rollout) -> Rollout:
        rows = tx.assignments(namespace, rollout.app).values()
        after, again = resumed(rollout, rows, now)
        tx.put_assignments(namespace, again)
        return after

    return _act(tx, namespace, name, now, change)


def approve_rollout(
    tx: Transaction, namespace: str, name: str, by: RolloutActor, *, now: datetime
) -> Rollout:
    """Let the stage begin that waits for approval; Forbidden without the role of its policy."""

    def change(rollout: Rollout) -> Rollout:
        _check_approver(rollout, by)
        return approved(rollout, by.name, now)

    return _act(tx, namespace, name, now, change)


def promote_rollout(
    tx: Transaction, namespace: str, name: str, by: RolloutActor, *, now: datetime
) -> Rollout:
    """Begin the next stage now, and accept failures so far; Forbidden as `approve_rollout`."""

    def change(rollout: Rollout) -> Rollout:
        _check_approver(rollout, by)
        rows: Mapping[str, Assignment] = tx.assignments(namespace, rollout.app)
        failures = sum(row.state is AssignmentState.FAILED for row in rows.values())
        return promoted(rollout, failures, by.name, now)

    return _act(tx, namespace, name, now, change)


def abort_rollout(
    tx: Transaction, namespace: str, name: str, by: RolloutActor, cause: str, *, now: datetime
) -> Rollout:
    """End it: each node keeps the version that it has."""
    return _act(
        tx, namespace, name, now, lambda rollout: aborted(rollout, cause or f"by {by.name}", now)
    )


def roll_back(
    tx: Transaction, namespace: str, name: str, by: RolloutActor, cause: str, *, now: datetime
) -> Rollout:
    """Bring each node that got the version back to its previous one."""
    return _act(
        tx, namespace, name, now, lambda rollout: sent_back(rollout, cause or f"by {by.name}", now)
    )


def start_rollout(
    tx: Transaction, namespace: str, name: str, starts: datetime | None, *, now: datetime
) -> Rollout:
    """Begin one that is scheduled at *starts* instead; None for now."""
    return _act(tx, namespace, name, now, lambda rollout: started(rollout, starts, now))


def hurry_rollout(tx: Transaction, namespace: str, name: str, *, now: datetime) -> Rollout:
    """Skip soak times and windows from now on."""
    return _act(tx, namespace, name, now, lambda rollout: hurried(rollout, now))


def _act(
    tx: Transaction,
    namespace: str,
    name: str,
    now: datetime,
    change: Callable[[Rollout], Rollout],
) -> Rollout:
    before = existing_rollout(tx, namespace, name)
    after = msgspec.structs.replace(change(before), revision=before.revision + 1)
    tx.put_rollout(after)
    if after.state is not before.state or after.stage != before.stage:
        record_rollout_event(tx, after, now=now)
    return after


def _check_approver(rollout: Rollout, by: RolloutActor) -> None:
    needed = Role(rollout.rules.approver.value)
    if not by.role.includes(needed):
        raise Forbidden(f"approving takes the role {needed}, the token has the role {by.role}")


def _wait_of(tx: Transaction, rollout: Rollout, node: str, now: datetime) -> RolloutWait | None:
    planned = plan_step(tx, rollout, now=now)
    own = next((wait for wait in planned.step.waits if wait.node == node), None)
    if own is not None or not rollout.state.is_open:
        return own
    row, index = planned.assignments.get(node), planned.step.stage_of.get(node)
    if (row is not None and row.has_target) or index is None or index <= rollout.stage:
        return None
    stages = rollout.rules.all_stages
    detail = f"stage {stages[index].name}, now in stage {stages[rollout.stage].name}"
    return RolloutWait(node, WaitReason.STAGE, detail)

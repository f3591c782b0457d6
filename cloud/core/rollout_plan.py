"""The scheduler of rollouts: who gets the version now, who goes back, and on whom a rollout waits.

Pure: `next_step` computes from a rollout, its nodes, their assignments and the time what changes.
Evidence reaches it by the assignments (`rollout_evidence.after_report`), and by when each node was
heard last. The same inputs give the same step, in the same order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from cloud.core.rollout import Assignment, AssignmentState, Rollout, RolloutState, StageApproval
from cloud.core.rollout_evidence import failed
from cloud.core.rollout_policy import Approval, FailureAction
from cloud.core.rollout_stages import RolloutNode
from cloud.core.rollout_turns import RolloutTurns, RolloutWait, WaitReason

_ENDED_IN_STAGE = {AssignmentState.UPDATED, AssignmentState.FAILED, AssignmentState.SKIPPED}


@dataclass(frozen=True, slots=True)
class RolloutStep:
    """What changes: the rollout, and the assignments by node (None: the node has none any more).

    *waits* are the nodes on which the stages begun so far, or the return, wait. *stage_of* is the
    index of the stage of each node.
    """

    rollout: Rollout
    changes: Mapping[str, Assignment | None]
    waits: Sequence[RolloutWait]
    stage_of: Mapping[str, int]


def next_step(
    rollout: Rollout,
    ordered: Sequence[RolloutNode],
    assignments: Mapping[str, Assignment],
    now: datetime,
) -> RolloutStep:
    """The step of *rollout* at *now*; *ordered* are all nodes that its app selects (`in_order`).

    *assignments* are by the names of nodes. A rollout that has ended does not change; one that is
    done still gives nodes that were skipped their version.
    """
    turns = RolloutTurns(rollout, ordered, assignments, now)
    if rollout.state not in _DRIVEN:
        return RolloutStep(rollout, {}, (), turns.stage_of)
    if rollout.state is RolloutState.SCHEDULED:
        if rollout.starts and now < rollout.starts:
            turns.wait_all(WaitReason.SCHEDULE, "its time has not come", rollout.starts)
            return RolloutStep(rollout, turns.changes, turns.waits, turns.stage_of)
        rollout = replace(rollout, state=RolloutState.RUNNING, stage_since=now, updated=now)
    _settle(turns, rollout)
    after = _STEPS[rollout.state](rollout, turns)
    return RolloutStep(after, turns.changes, turns.waits, turns.stage_of)


def rolling_back(rollout: Rollout, now: datetime, cause: str) -> Rollout:
    """*rollout* on the way back because of *cause*."""
    return replace(rollout, state=RolloutState.ROLLING_BACK, updated=now, cause=cause)


def is_approved(rollout: Rollout, stage: int) -> bool:
    """Return whether the stage of that index may begin."""
    rule = rollout.rules.all_stages[stage]
    given = any(approval.stage == stage for approval in rollout.approvals)
    return rule.approval is not Approval.REQUIRED or given


def with_approval(rollout: Rollout, stage: int, actor: str, now: datetime) -> Rollout:
    """*rollout* with the approval of that stage by *actor*; the same object if it has one."""
    if any(approval.stage == stage for approval in rollout.approvals):
        return rollout
    approvals = (*rollout.approvals, StageApproval(stage, actor, now))
    return replace(rollout, approvals=approvals, updated=now)


def tolerated_failures(rollout: Rollout, nodes: int) -> int:
    """Failed nodes of *nodes* with which the rollout goes on."""
    return rollout.rules.failure.tolerated(nodes) + rollout.accepted_failures


def _settle(turns: RolloutTurns, rollout: Rollout) -> None:
    """Judge what nodes were sent: who was healthy for long enough, and whose time is over."""
    soaks = [soak_of(rollout, index) for index in range(len(rollout.rules.all_stages))]
    for node in turns.ordered if turns.rows else ():
        row = turns.rows.get(node.name)
        if row is None:
            continue
        if row.state is AssignmentState.ADMITTED and not node.is_online:
            turns.withdraw(row)
        elif row.state is AssignmentState.SENT:
            judged = _judged(row, node, rollout, soaks[row.stage], turns.now)
            if judged is not row:
                turns.put(judged)


def _judged(
    row: Assignment, node: RolloutNode, rollout: Rollout, soak: timedelta, now: datetime
) -> Assignment:
    """*row*, which was sent, as it stands at *now*; *soak* is the soak time of its stage."""
    sent = row.sent or now
    heard = max(sent, node.last_report or sent, row.healthy or sent)
    if row.healthy is not None and heard > sent and heard >= row.healthy + soak:
        return replace(row, state=AssignmentState.UPDATED)
    deadline = rollout.rules.deadline_time
    if now - node.silent_since(sent) > deadline:
        return failed(row, f"no report for {rollout.rules.deadline} after it was sent the version")
    if row.healthy is None and now - max(sent, node.watched or sent) > deadline:
        return failed(row, f"not healthy {rollout.rules.deadline} after it was sent the version")
    return row


def soak_of(rollout: Rollout, stage: int) -> timedelta:
    """How long a node of that stage has to be healthy."""
    if rollout.is_emergency:
        return timedelta()
    return rollout.rules.all_stages[stage].soak_time


def _pause(rollout: Rollout, turns: RolloutTurns) -> Rollout:
    turns.wait_all(WaitReason.PAUSE, rollout.cause)
    return rollout


def _straggle(rollout: Rollout, turns: RolloutTurns) -> Rollout:
    """Give nodes that were skipped their version, once all stages are done."""
    turns.admit(rollout, {node.name: 0 for node in turns.ordered if node.name in turns.rows}, 0)
    return rollout


def _go_on(rollout: Rollout, turns: RolloutTurns) -> Rollout:
    """Admit the nodes whose turn it is, by stages as far as these are complete."""
    if cause := _broken_bound(rollout, turns):
        return _fail(rollout, turns, cause)
    stages = rollout.rules.all_stages
    stage_of = turns.stage_of
    rollout = replace(rollout, state=RolloutState.RUNNING)
    while True:
        index = rollout.stage
        members = [node for node in turns.ordered if stage_of[node.name] == index]
        is_waiting = bool(turns.ordered) and not is_approved(rollout, index)
        turns.waits.clear()
        turns.admit(rollout, stage_of, index - 1 if is_waiting else index)
        if is_waiting:
            for node in members or turns.ordered:
                turns.wait(node.name, WaitReason.APPROVAL, f"stage {stages[index].name}")
            return replace(rollout, state=RolloutState.WAITING_FOR_APPROVAL)
        states = turns.states(members)
        if cause := _dead_end(rollout, states):
            return _fail(rollout, turns, cause)
        if not _is_complete(rollout, states, turns):
            return rollout
        if index == len(stages) - 1:
            return _ended(rollout, turns)
        rollout = replace(rollout, stage=index + 1, stage_since=turns.now, updated=turns.now)


def _ended(rollout: Rollout, turns: RolloutTurns) -> Rollout:
    """*rollout* after its last stage; done once no node of any stage is under way."""
    states = turns.states(turns.ordered)
    if any(state not in _ENDED_IN_STAGE for state in states):
        return rollout
    if states and all(state is AssignmentState.SKIPPED for state in states):
        return rollout  # every node is offline: nothing shows that the version works
    now = turns.now
    return replace(rollout, state=RolloutState.DONE, updated=now, ended=now, cause="")


def _is_complete(
    rollout: Rollout, states: Sequence[AssignmentState | None], turns: RolloutTurns
) -> bool:
    """Return whether so many nodes are healthy that the next stage may begin.

    A stage without nodes is complete. So is one whose nodes were all skipped, once any node of the
    rollout is healthy with the version.
    """
    total, _ = _counted(rollout, states)
    if states and all(state is AssignmentState.SKIPPED for state in states):
        return any(row.state is AssignmentState.UPDATED for row in turns.rows.values())
    updated = states.count(AssignmentState.UPDATED)
    return updated >= rollout.rules.all_stages[rollout.stage].required.at_least(total)


def _dead_end(rollout: Rollout, states: Sequence[AssignmentState | None]) -> str:
    """Why the present stage cannot become complete any more; empty where it can."""
    stage = rollout.rules.all_stages[rollout.stage]
    total, lost = _counted(rollout, states)
    if total - lost >= stage.required.at_least(total):
        return ""
    return f"{lost} of {total} nodes of stage {stage.name} failed"


def _counted(rollout: Rollout, states: Sequence[AssignmentState | None]) -> tuple[int, int]:
    """Nodes that the success of the present stage is a share of, and how many of them failed.

    Without those that were skipped, and failures that an operator accepted.
    """
    lost = states.count(AssignmentState.FAILED)
    accepted = min(lost, rollout.accepted_failures)
    total = len(states) - states.count(AssignmentState.SKIPPED)
    return total - accepted, lost - accepted


def _broken_bound(rollout: Rollout, turns: RolloutTurns) -> str:
    """Why too many nodes failed; empty where they are not too many."""
    lost = [row for row in turns.rows.values() if row.state is AssignmentState.FAILED]
    if len(lost) <= tolerated_failures(rollout, len(turns.ordered)):
        return ""
    nodes = "1 node" if len(lost) == 1 else f"{len(lost)} nodes"
    return f"{nodes} failed, of {rollout.rules.failure.max} allowed"


def _fail(rollout: Rollout, turns: RolloutTurns, cause: str) -> Rollout:
    rollout = replace(rollout, has_failed=True)
    if rollout.rules.failure.action is FailureAction.ROLLBACK:
        return _go_back(rolling_back(rollout, turns.now, cause), turns)
    turns.waits.clear()
    rollout = replace(rollout, state=RolloutState.PAUSED, updated=turns.now, cause=cause)
    return _pause(rollout, turns)


def _go_back(rollout: Rollout, turns: RolloutTurns) -> Rollout:
    """Bring each node that got the version back to its previous one, within the budget."""
    turns.waits.clear()
    turns.bring_back(rollout)
    rows = turns.rows.values()
    if any(row.has_target or row.state is AssignmentState.RETURNING for row in rows):
        return rollout
    now = turns.now
    return replace(rollout, state=RolloutState.ROLLED_BACK, updated=now, ended=now)


_STEPS = {
    RolloutState.RUNNING: _go_on,
    RolloutState.WAITING_FOR_APPROVAL: _go_on,
    RolloutState.PAUSED: _pause,
    RolloutState.ROLLING_BACK: _go_back,
    RolloutState.DONE: _straggle,
}
_DRIVEN = {RolloutState.SCHEDULED, *_STEPS}

"""Whose turn it is in one step of a rollout: offline nodes, windows, consent and the budget."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from itertools import islice

import msgspec
from msgspec.structs import replace

from cloud.core.rollout import Assignment, AssignmentState, Rollout
from cloud.core.rollout_policy import OfflineNodes
from cloud.core.rollout_stages import RolloutNode, group_of, stages_of
from cloud.core.rollout_windows import opens_at

OFFLINE = "is offline"
"""Cause of a node that was skipped because it was not connected when its turn came."""

UNSENT = "was not sent the version yet"

_NAMES_SHOWN = 3

_Down = dict[str, dict[str, None]]
"""Nodes that are not available, by the group of the budget, in the order of the rollout."""


class WaitReason(StrEnum):
    """What keeps a node from getting, or having, its version."""

    SCHEDULE = "schedule"
    PAUSE = "pause"
    APPROVAL = "approval"
    STAGE = "stage"
    OFFLINE = "offline"
    WINDOW = "window"
    CONSENT = "consent"
    BUDGET = "budget"
    SENDING = "sending"
    HEALTH = "health"
    SOAK = "soak"
    RETURN = "return"


class RolloutWait(msgspec.Struct, frozen=True, gc=False):
    """*node* waits; *detail* is what for in words, *until* when that ends by itself, if it does."""

    node: str
    reason: WaitReason
    detail: str = ""
    until: datetime | None = None


class RolloutTurns:
    """Owns the assignments while a step is worked out.

    Those of nodes that the app does not select any more go.
    """

    def __init__(
        self,
        rollout: Rollout,
        ordered: Sequence[RolloutNode],
        rows: Mapping[str, Assignment],
        now: datetime,
    ) -> None:
        self.ordered = ordered
        # The assignments after what was decided so far, in the order of their nodes.
        self.rows = {node.name: rows[node.name] for node in ordered if node.name in rows}
        self.now = now
        # What differs from what is stored; None for an assignment that goes.
        self.changes: dict[str, Assignment | None] = dict.fromkeys(sorted(rows.keys() - self.rows))
        self.waits: list[RolloutWait] = []
        self._rules = rollout.rules
        self._stages = rollout.rules.all_stages
        self._rollout = rollout
        # The group of each node; without a label of the budget all are of one.
        self._groups: Mapping[str, str] = {}
        sizes: Mapping[str, int] = {"": len(ordered)}
        if self._rules.budget.by:
            self._groups = {node.name: group_of(rollout.rules, node) for node in ordered}
            sizes = Counter(self._groups.values())
        # How many of each group may be unavailable.
        self._room = {group: self._rules.budget.unavailable(sizes[group]) for group in sizes}
        # Whether the budget holds no node up.
        self._has_room_for_all = all(self._room[group] >= sizes[group] for group in sizes)

    @cached_property
    def stage_of(self) -> Mapping[str, int]:
        """The index of the stage of each node, by the assignments when that is asked first."""
        return stages_of(self._rules, self.ordered, self.rows)

    def states(self, nodes: Sequence[RolloutNode]) -> Sequence[AssignmentState | None]:
        """How each of *nodes* stands; None without an assignment."""
        rows = self.rows
        return [row.state if (row := rows.get(node.name)) else None for node in nodes]

    def put(self, row: Assignment) -> None:
        """Give a node this assignment."""
        self.rows[row.node] = self.changes[row.node] = row

    def wait(
        self, name: str, reason: WaitReason, detail: str = "", until: datetime | None = None
    ) -> None:
        """Record that the node of that name waits."""
        self.waits.append(RolloutWait(name, reason, detail, until))

    def wait_all(self, reason: WaitReason, detail: str, until: datetime | None = None) -> None:
        """Record that every node waits that has not come to an end."""
        for node, state in zip(self.ordered, self.states(self.ordered), strict=True):
            if state not in _OVER:
                self.wait(node.name, reason, detail, until)

    def withdraw(self, row: Assignment) -> None:
        """Take the version back from a node that was not sent it; it keeps its own."""
        before = replace(
            row, version=row.previous, state=AssignmentState.WAITING, admitted=None, cause=""
        )
        if row.previous == self._rollout.default_version:
            self._drop(row.node)
        else:
            self.put(before)

    def admit(self, rollout: Rollout, stage_of: Mapping[str, int], last: int) -> None:
        """Give the version to all nodes up to the stage *last* whose turn it is."""
        base, now = rollout.base, self.now
        fresh = Assignment("", rollout.app, base, base, AssignmentState.WAITING)
        stages = range(len(self._stages))
        # Of many nodes at once, hence not made from nothing for each, and with few calls below.
        admitted = [_admitted(rollout, fresh, index, now) for index in stages]
        is_always = self._is_always(rollout)
        down = {} if is_always else self._unavailable()
        rows, changes, waits, sending = self.rows, self.changes, self.waits, WaitReason.SENDING
        for node in self.ordered:
            name = node.name
            index = stage_of.get(name)
            if index is None or index > last:
                continue
            row = rows.get(name)
            if row is not None and row.state not in _CANDIDATES:
                self._wait_for(rollout, row)
            elif row is None and is_always and node.is_online:
                rows[name] = changes[name] = replace(admitted[index], node=name)
                waits.append(RolloutWait(name, sending, UNSENT))
            else:
                row = row or replace(fresh, node=name)
                if self._may_apply(rollout, node, row) and self._has_budget(row, down):
                    self._take(name, down)
                    self.put(_admitted(rollout, row, index, now))
                    self._wait_for(rollout, rows[name])

    def bring_back(self, rollout: Rollout) -> None:
        """Let nodes return to their previous version within the budget, the failed ones first."""
        for row in list(self.rows.values()):
            if row.state is AssignmentState.ADMITTED:
                self.withdraw(row)
        found = (self.rows.get(node.name) for node in self.ordered)
        touched = [row for row in found if row is not None and row.has_target]
        down = self._unavailable()
        for row in sorted(touched, key=lambda row: not row.is_unavailable):
            if self._has_room(row.node, down):
                self._take(row.node, down)
                self.put(_returning(row, self.now))
            else:
                self.wait(row.node, WaitReason.BUDGET, self._others(row.node, down))
        for row in self.rows.values():
            if row.state is AssignmentState.RETURNING:
                self.wait(row.node, WaitReason.RETURN, f"has not reported version {row.previous}")

    def _is_always(self, rollout: Rollout) -> bool:
        """Return whether each node that is online may apply the version when its stage has come."""
        is_any_time = rollout.is_emergency or not self._rules.windows
        return is_any_time and self._rules.consent is None and self._has_room_for_all

    def _drop(self, name: str) -> None:
        del self.rows[name]
        self.changes[name] = None

    def _may_apply(self, rollout: Rollout, node: RolloutNode, row: Assignment) -> bool:
        if not node.is_online:
            self._pass_over(row)
            return False
        if not rollout.is_emergency:
            opening = opens_at(self._rules.windows, node.labels, self.now)
            if opening is not None:
                moment, zone = opening
                self._offer(node, row)
                self.wait(node.name, WaitReason.WINDOW, f"outside its window ({zone})", moment)
                return False
        return self._has_consent(node, row)

    def _pass_over(self, row: Assignment) -> None:
        if self._rules.offline is OfflineNodes.WAIT:
            self.wait(row.node, WaitReason.OFFLINE, OFFLINE)
            if row.state is AssignmentState.SKIPPED:
                self.put(replace(row, state=AssignmentState.WAITING, cause=""))
        else:
            self._skip(row, OFFLINE)

    def _skip(self, row: Assignment, cause: str) -> None:
        self.wait(row.node, WaitReason.OFFLINE if cause == OFFLINE else WaitReason.BUDGET, cause)
        if (row.state, row.cause) != (AssignmentState.SKIPPED, cause):
            self.put(replace(row, state=AssignmentState.SKIPPED, cause=cause))

    def _offer(self, node: RolloutNode, row: Assignment) -> None:
        if node.knows_offers and row.state is not AssignmentState.OFFERED:
            offered = row.offered or self.now
            self.put(replace(row, state=AssignmentState.OFFERED, offered=offered, cause=""))

    def _has_consent(self, node: RolloutNode, row: Assignment) -> bool:
        rule = self._rules.consent
        if rule is None or not node.knows_offers or row.accepted:
            return True
        self._offer(node, row)
        latest = (row.offered or self.now) + rule.longest
        if self.now >= latest or (row.deferred and self.now >= row.deferred):
            return True
        until = min(row.deferred, latest) if row.deferred else latest
        detail = f"deferred by the device: {row.reason}" if row.deferred else "not accepted yet"
        self.wait(node.name, WaitReason.CONSENT, detail, until)
        return False

    def _has_budget(self, row: Assignment, down: _Down) -> bool:
        if self._has_room(row.node, down):
            return True
        lost: _Down = {}
        if self._rules.budget.by:
            group = self._groups.get(row.node, "")
            lost[group] = {one: None for one in down[group] if self._has_failed(one)}
        if not self._has_room(row.node, lost):
            self._skip(row, f"failed before in its group: {self._others(row.node, lost)}")
        else:
            self.wait(row.node, WaitReason.BUDGET, self._others(row.node, down))
        return False

    def _has_failed(self, name: str) -> bool:
        return self.rows[name].state is AssignmentState.FAILED

    def _has_room(self, name: str, down: _Down) -> bool:
        """Return whether fewer others of the node's group are *down* than may be."""
        group = self._groups.get(name, "")
        taken = down.get(group, {})
        return len(taken) - (name in taken) < self._room[group]

    def _take(self, name: str, down: _Down) -> None:
        down.setdefault(self._groups.get(name, ""), {})[name] = None

    def _others(self, name: str, down: _Down) -> str:
        """The first others of the node's group that are *down*, in words."""
        group = self._groups.get(name, "")
        found = list(islice((one for one in down[group] if one != name), _NAMES_SHOWN + 1))
        more = ", ..." if len(found) > _NAMES_SHOWN else ""
        shown = ", ".join(sorted(found[:_NAMES_SHOWN])) + more
        return f"{self._rules.budget.by}={group}: {shown}" if self._rules.budget.by else shown

    def _unavailable(self) -> _Down:
        """Nodes of each group that may not work because of the rollout.

        One that does not report on its way back counts no more: others would wait for it for ever.
        """
        found: _Down = {}
        nodes = {node.name: node for node in self.ordered}
        for name, row in self.rows.items():
            if not row.is_unavailable:
                continue
            if row.state is AssignmentState.RETURNING:
                since = nodes[name].silent_since(row.admitted or self.now)
                if self.now - since > self._rules.deadline_time:
                    continue
            self._take(name, found)
        return found

    def _wait_for(self, rollout: Rollout, row: Assignment) -> None:
        """Record what is missing of a node that was admitted."""
        if row.state is AssignmentState.ADMITTED:
            self.wait(row.node, WaitReason.SENDING, UNSENT)
        elif row.state is AssignmentState.SENT and row.healthy is None:
            until = row.sent + self._rules.deadline_time if row.sent else None
            self.wait(row.node, WaitReason.HEALTH, "has not reported the version healthy", until)
        elif row.state is AssignmentState.SENT and row.healthy:
            soak = self._stages[row.stage].soak_time
            self.wait(row.node, WaitReason.SOAK, "is healthy", row.healthy + soak)


_CANDIDATES = {AssignmentState.WAITING, AssignmentState.OFFERED, AssignmentState.SKIPPED}
_OVER = {AssignmentState.UPDATED, AssignmentState.FAILED, AssignmentState.RETURNED}


def _admitted(rollout: Rollout, row: Assignment, stage: int, now: datetime) -> Assignment:
    return replace(
        row,
        version=rollout.target,
        state=AssignmentState.ADMITTED,
        stage=stage,
        admitted=now,
        sent=None,
        healthy=None,
        restarts=0,
        cause="",
    )


def _returning(row: Assignment, now: datetime) -> Assignment:
    return replace(
        row,
        version=row.previous,
        state=AssignmentState.RETURNING,
        admitted=now,
        sent=None,
        healthy=None,
    )

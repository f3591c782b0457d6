"""Which node is of which stage of a rollout, and of which group of its budget."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from cloud.core.names import node_id
from cloud.core.rollout import Assignment, AssignmentState, order_key
from cloud.core.rollout_policy import RolloutPolicySpec, RolloutStage
from cloud.core.selectors import Selector, matches, parse_selector


class RolloutNode(msgspec.Struct, frozen=True, gc=False):
    """A node that the app of a rollout selects, as the scheduler sees it.

    *last_report* is when its last report was received, None if it never reported, or if nothing
    depends on it: the node was not sent a version whose outcome is open. *is_online*: it is
    connected and applies what it is sent. *knows_offers*: its agent can be offered a version before
    it may apply it, and the rollout offers it. *watched* is since when its reports can reach the
    server, None for always: silence counts from then.
    """

    namespace: str
    name: str
    labels: Mapping[str, str]
    is_online: bool
    last_report: datetime | None = None
    knows_offers: bool = False
    watched: datetime | None = None

    def silent_since(self, moment: datetime) -> datetime:
        """Since when the node was not heard, of the time after *moment*."""
        return max(moment, self.last_report or moment, self.watched or moment)


def in_order(namespace: str, names: Iterable[str]) -> Sequence[str]:
    """Nodes of these *names* in the order in which a stage admits them: random, always the same."""
    return sorted(names, key=lambda name: order_key(node_id(namespace, name)))


def stages_of(
    rules: RolloutPolicySpec,
    ordered: Sequence[RolloutNode],
    assignments: Mapping[str, Assignment],
) -> Mapping[str, int]:
    """The index of the stage of each of the nodes *ordered*.

    A node that was admitted stays in its stage; any other is of the first stage that takes its
    labels and has room.
    """
    stages, fixed = rules.all_stages, {}
    room = [room_of(stage, len(ordered)) for stage in stages]
    for node in ordered if assignments else ():
        row = assignments.get(node.name)
        if row is not None and row.state in _ADMITTED:
            fixed[node.name] = min(row.stage, len(stages) - 1)
            room[fixed[node.name]] -= 1
    # The last stage takes all that no other does.
    others = [parse_selector(stage.selector) for stage in stages[:-1]]
    found = {}
    for node in ordered:
        index = fixed.get(node.name)
        found[node.name] = _first(others, room, node) if index is None else index
    return found


def room_of(stage: RolloutStage, total: int) -> int:
    """Nodes of *total* that the stage takes at most; a share is at least one node."""
    return max(1, stage.amount.at_most(total))


def group_of(rules: RolloutPolicySpec, node: RolloutNode) -> str:
    """The group of the budget that *node* is of."""
    return node.labels.get(rules.budget.by, "") if rules.budget.by else ""


_ADMITTED = {
    AssignmentState.ADMITTED,
    AssignmentState.SENT,
    AssignmentState.UPDATED,
    AssignmentState.FAILED,
    AssignmentState.RETURNING,
    AssignmentState.RETURNED,
}


def _first(others: Sequence[Selector], room: list[int], node: RolloutNode) -> int:
    """The index of the first of the *others*, or of the stage after them."""
    for index, terms in enumerate(others):
        if room[index] > 0 and (not terms or matches(terms, node.labels)):
            room[index] -= 1
            return index
    return len(others)

"""Answers about plans."""

from cloud.core.plan import Plan
from cloud.rest.answers import Answer, ChangeAnswer


class PlanNodesAnswer(Answer):
    """Nodes that would be sent another desired state; `share` is their part of all, from 0 to 1."""

    total: int
    touched: int
    offline: int
    share: float
    names: list[str]


class PlanAppAnswer(Answer):
    """An app that would change on so many nodes; an empty version is not given yet."""

    name: str
    before: str | None
    after: str | None
    nodes: int


class PlanAnswer(Answer):
    """The effect of a call; nothing was changed. `confirm`: it would have to be confirmed."""

    dry_run: bool
    kind: str
    name: str
    action: str
    changes: list[ChangeAnswer]
    nodes: PlanNodesAnswer
    apps: list[PlanAppAnswer]
    bytes: int
    confirm: bool
    message: str


def plan_answer(plan: Plan) -> PlanAnswer:
    """The answer for a *plan*."""
    reach = plan.reach
    return PlanAnswer(
        dry_run=True,
        kind=plan.kind,
        name=plan.name,
        action=plan.action,
        changes=[ChangeAnswer(one.path, one.before, one.after) for one in plan.changes],
        nodes=PlanNodesAnswer(
            total=reach.total,
            touched=reach.touched,
            offline=reach.offline,
            share=round(reach.share, 4),
            names=list(reach.names),
        ),
        apps=[PlanAppAnswer(one.name, one.before, one.after, one.nodes) for one in plan.apps],
        bytes=plan.size,
        confirm=plan.asks,
        message=plan.message,
    )

"""Answers about plans."""

from cloud.answers.common import ChangeAnswer
from cloud.answers.plans import (
    NodeGainsAnswer,
    PlanAnswer,
    PlanAppAnswer,
    PlannedRolloutAnswer,
    PlannedStageAnswer,
    PlanNodesAnswer,
)
from cloud.core.plan import Plan


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
        rollouts=[
            PlannedRolloutAnswer(
                one.app,
                one.policy,
                [PlannedStageAnswer(stage.name, stage.nodes) for stage in one.stages],
                list(one.first),
            )
            for one in plan.rollouts
        ],
        message=plan.message,
        count=plan.count,
        gains=[NodeGainsAnswer(one.name, [*one.gained], [*one.lost]) for one in plan.gains],
    )

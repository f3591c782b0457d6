"""The rollouts that a change would begin: their stages, and who is in the first one."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from cloud.core.desired import Catalog
from cloud.core.plan import NAMES_SHOWN, PlannedRollout, PlannedStage
from cloud.core.rollout import Rollout
from cloud.core.rollout_stages import in_order, stages_of
from cloud.operations.rollout_nodes import rollout_nodes
from cloud.store.transaction import Transaction


def planned_rollouts(
    tx: Transaction, namespace: str, before: Catalog, *, now: datetime
) -> Sequence[PlannedRollout]:
    """The rollouts that began in this transaction, since the catalog was *before*."""
    known = {own.rollout.name for own in before.governed.values()}
    governed = sorted(tx.catalog(namespace).governed.items())
    return [_planned(tx, own.rollout, now) for _, own in governed if own.rollout.name not in known]


def _planned(tx: Transaction, rollout: Rollout, now: datetime) -> PlannedRollout:
    ordered = in_order(rollout_nodes(tx, rollout, now=now) or ())
    rows = tx.assignments(rollout.namespace, rollout.app)
    stage_of = stages_of(rollout.rules, ordered, rows)
    counts = Counter(stage_of.values())
    stages = [
        PlannedStage(stage.name, counts[index])
        for index, stage in enumerate(rollout.rules.all_stages)
    ]
    first = min(counts, default=0)
    names = [node.name for node in ordered if stage_of[node.name] == first]
    return PlannedRollout(rollout.app, rollout.policy, stages, names[:NAMES_SHOWN])

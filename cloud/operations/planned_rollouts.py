"""The rollouts that a change would begin: their stages, and who is in the first one."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from cloud.core.app import AppVersion
from cloud.core.desired import Catalog
from cloud.core.plan import NAMES_SHOWN, PlannedRollout, PlannedStage
from cloud.core.rollout import Rollout
from cloud.core.rollout_stages import room_of, stages_of
from cloud.core.selectors import parse_selector
from cloud.operations.rollout_nodes import rollout_nodes
from cloud.store.transaction import Transaction


def planned_rollouts(
    tx: Transaction, namespace: str, before: Catalog, *, now: datetime
) -> Sequence[PlannedRollout]:
    """The rollouts that began in this transaction, since the catalog was *before*."""
    return [_planned(tx, rollout, now) for rollout in _begun(tx, namespace, before)]


def nodes_at_once(tx: Transaction, namespace: str, before: Catalog) -> int:
    """Nodes that these rollouts reach before any evidence: those of the first stage of each.

    Nodes that are in several of them count several times.
    """
    return sum(_in_first_stage(tx, rollout) for rollout in _begun(tx, namespace, before))


def _begun(tx: Transaction, namespace: str, before: Catalog) -> Sequence[Rollout]:
    known = {own.rollout.name for own in before.governed.values()}
    governed = sorted(tx.catalog(namespace).governed.items())
    return [own.rollout for _, own in governed if own.rollout.name not in known]


def _in_first_stage(tx: Transaction, rollout: Rollout) -> int:
    """Nodes of the first stage that has any."""
    app = tx.catalog(rollout.namespace).app_at(AppVersion(rollout.app, rollout.target))
    if app is None or not app.selector:
        return 0
    total = tx.count_matching(rollout.namespace, app.selector)
    for stage in rollout.rules.all_stages:
        terms = (*app.selector, *parse_selector(stage.selector))
        if found := tx.count_matching(rollout.namespace, terms):
            return min(found, room_of(stage, total))
    return 0


def _planned(tx: Transaction, rollout: Rollout, now: datetime) -> PlannedRollout:
    ordered = rollout_nodes(tx, rollout, now=now) or ()
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

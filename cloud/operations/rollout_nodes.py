"""The nodes of a rollout, as its scheduler sees them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from cloud.core.app import AppVersion
from cloud.core.rollout import Assignment, AssignmentState, Rollout
from cloud.core.rollout_stages import RolloutNode
from cloud.store.transaction import Transaction


def rollout_nodes(
    tx: Transaction,
    rollout: Rollout,
    assignments: Mapping[str, Assignment] = MappingProxyType({}),
    *,
    now: datetime,
    watched: datetime | None = None,
) -> Sequence[RolloutNode] | None:
    """The nodes that the version of *rollout* selects, in its order; None without such an app.

    Nodes can be heard since *watched* (None: always). When they reported last is looked up where
    their *assignments* depend on it.
    """
    app = tx.catalog(rollout.namespace).app_at(AppVersion(rollout.app, rollout.target))
    if app is None:
        return None
    rules = rollout.rules
    return tx.fleet_nodes(
        rollout.namespace,
        app.selector,
        now=now,
        watched=watched,
        judged=[name for name, row in assignments.items() if row.state in _JUDGED],
        with_offers=bool(rules.windows) or rules.consent is not None,
    )


_JUDGED = {AssignmentState.SENT, AssignmentState.RETURNING}
"""States that end by a report, or by silence."""

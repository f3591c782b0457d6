"""The nodes of a rollout, as its scheduler sees them."""

from collections.abc import Sequence
from datetime import datetime

from cloud.core.app import AppVersion
from cloud.core.rollout import Rollout
from cloud.core.rollout_stages import RolloutNode
from cloud.store.transaction import Transaction


def rollout_nodes(
    tx: Transaction, rollout: Rollout, *, now: datetime, watched: datetime | None = None
) -> Sequence[RolloutNode] | None:
    """The nodes that the version of *rollout* selects; None where there is no such app any more.

    Nodes can be heard since *watched* (None: always).
    """
    app = tx.catalog(rollout.namespace).app_at(AppVersion(rollout.app, rollout.target))
    if app is None:
        return None
    return tx.fleet_nodes(rollout.namespace, app.selector, now=now, watched=watched)

"""The nodes of a rollout, as its scheduler sees them."""

from collections.abc import Sequence
from datetime import datetime

from cloud.core.app import AppVersion
from cloud.core.readiness import STALE_AFTER_INTERVALS
from cloud.core.rollout import Rollout
from cloud.core.rollout_stages import FleetNode, RolloutNode
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
    found = tx.fleet_nodes(rollout.namespace, app.selector)
    return [_node_of(rollout.namespace, one, now, watched) for one in found]


def _node_of(
    namespace: str, node: FleetNode, now: datetime, watched: datetime | None
) -> RolloutNode:
    is_online = False
    if node.heard is not None and not node.is_shut_out:
        last = max(node.heard, watched or node.heard)
        is_online = now < last + STALE_AFTER_INTERVALS * node.interval
    return RolloutNode(
        namespace,
        node.name,
        node.labels,
        is_online,
        node.last_report,
        knows_offers=node.knows_offers,
        watched=watched,
    )

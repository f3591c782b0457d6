"""The nodes of a rollout, as its scheduler sees them."""

from collections.abc import Sequence
from datetime import datetime

from cloud.core.app import AppVersion
from cloud.core.core_configuration import Mode
from cloud.core.listing import ListOptions
from cloud.core.node import SeenNode
from cloud.core.readiness import STALE_AFTER_INTERVALS
from cloud.core.rollout import Rollout
from cloud.core.rollout_stages import RolloutNode
from cloud.store.transaction import Transaction


def rollout_nodes(
    tx: Transaction, rollout: Rollout, *, now: datetime, watched: datetime | None = None
) -> Sequence[RolloutNode] | None:
    """The nodes that the version of *rollout* selects; None where there is no such app any more."""
    app = tx.catalog(rollout.namespace).app_at(AppVersion(rollout.app, rollout.target))
    if app is None:
        return None
    if not app.selector:
        return []
    options = ListOptions(selector=app.spec.selector)
    seen = tx.list_seen_nodes(rollout.namespace, options).items
    knowing = tx.nodes_knowing_offers(rollout.namespace) if _makes_offers(rollout) else frozenset()
    return [_node_of(one, now, watched, knows_offers=one.node.name in knowing) for one in seen]


def _makes_offers(rollout: Rollout) -> bool:
    return bool(rollout.rules.windows) or rollout.rules.consent is not None


def _node_of(
    seen: SeenNode, now: datetime, watched: datetime | None, *, knows_offers: bool
) -> RolloutNode:
    node, heard = seen.node, seen.heard
    is_online = False
    if heard is not None and not seen.is_revoked and node.mode is not Mode.LOCAL:
        last = max(heard.last, watched or heard.last)
        is_online = now < last + STALE_AFTER_INTERVALS * heard.cadence.interval
    return RolloutNode(
        node.namespace,
        node.name,
        node.labels,
        is_online,
        heard.report if heard else None,
        knows_offers,
        watched,
    )

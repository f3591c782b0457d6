"""What nodes are offered by rollouts, and their answers."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from cloud.core.app import App
from cloud.core.offers import NodeOffer, OfferReport
from cloud.core.rollout_offers import OfferedVersion, answered, offered_versions
from cloud.store.transaction import Transaction


def offered_to(tx: Transaction, namespace: str, name: str) -> Sequence[OfferedVersion]:
    """The versions that rollouts offer to the node; looked up only where some app is governed."""
    governed = tx.catalog(namespace).governed
    if not governed:
        return ()
    rollouts = {app: own.rollout for app, own in governed.items()}
    return offered_versions(rollouts, tx.assignments_of_node(namespace, name).values())


def offers_of(
    tx: Transaction, namespace: str, name: str, labels: Mapping[str, str], *, now: datetime
) -> Sequence[NodeOffer]:
    """The offers for the node, which has *labels*."""
    return [one.offer(labels, now) for one in offered_to(tx, namespace, name)]


def offered_apps(tx: Transaction, namespace: str, name: str) -> Sequence[App]:
    """The apps at the versions that the node is offered; what is not stored is left out."""
    governed = tx.catalog(namespace).governed
    found = [
        governed[one.assignment.app].versions.get(one.rollout.target)
        for one in offered_to(tx, namespace, name)
    ]
    return [app for app in found if app is not None]


def record_answers(
    tx: Transaction, namespace: str, name: str, reported: Sequence[OfferReport]
) -> bool:
    """Keep the answers of the node to what it is offered; return whether any is another one.

    Without any offer among *reported* nothing is looked up.
    """
    if not reported:
        return False
    changed = []
    for one in offered_to(tx, namespace, name):
        after = answered(one.assignment, one.rollout.target, reported)
        if after is not one.assignment:
            changed.append(after)
    tx.put_assignments(namespace, changed)
    return bool(changed)

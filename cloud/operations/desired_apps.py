"""The apps that a node should run, at the versions that are for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from cloud.core.app import App
from cloud.core.desired import NOTHING_ASSIGNED, Assigned
from cloud.core.node import Node
from cloud.store.parts.assignments import NO_ASSIGNMENTS, NodeAssignments
from cloud.store.parts.row_sets import NodePlace
from cloud.store.transaction import Transaction


def assigned_to(tx: Transaction, namespace: str, name: str) -> Assigned:
    """What rollouts have assigned to the node; looked up only where some app is governed."""
    is_governed = bool(tx.catalog(namespace).governed)
    return tx.assigned_versions(namespace, name) if is_governed else NOTHING_ASSIGNED


def assigned_to_each(tx: Transaction, nodes: Sequence[NodePlace]) -> Sequence[NodeAssignments]:
    """The same of each of *nodes* (namespace, name), with the assignments."""
    found: list[NodeAssignments] = []
    for namespace, places in groupby(nodes, itemgetter(0)):
        own = list(places)
        is_governed = bool(tx.catalog(namespace).governed)
        found += tx.assigned_to_each(own) if is_governed else [NO_ASSIGNMENTS] * len(own)
    return found


def desired_apps(tx: Transaction, node: Node) -> Sequence[App]:
    """The apps for *node*, the oldest first; one whose content is not stored is left out."""
    catalog = tx.catalog(node.namespace)
    desired = catalog.desired_state(node.labels, assigned_to(tx, node.namespace, node.name))
    found = (catalog.app_at(app) for app in desired.apps)
    return [app for app in found if app is not None]


@dataclass(frozen=True, slots=True)
class WantedVersion:
    """The version of an app that nodes should run; where it *is_governed*, some may have others."""

    version: str
    is_governed: bool


def wanted_by_most(tx: Transaction, app: App) -> WantedVersion:
    """The version of *app* for nodes to which no rollout has assigned one; empty for none."""
    governed = tx.catalog(app.namespace).governed.get(app.name)
    if governed is None:
        return WantedVersion(app.version, is_governed=False)
    return WantedVersion(governed.default_version, is_governed=True)


def wanted_on(tx: Transaction, app: App, node: str) -> str:
    """The version of *app* for *node*, if its selector matches; empty for none."""
    own = wanted_by_most(tx, app)
    if not own.is_governed:
        return own.version
    return tx.assigned_versions(app.namespace, node).get(app.name, own.version)

"""Which system apps the nodes of a namespace are given, and what they consist of."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from cloud.core.app import App
from cloud.core.config import Config
from cloud.core.desired import AppVersion, Desired
from cloud.core.names import NODE_NAME_LABEL
from cloud.core.node import Node
from cloud.core.selectors import parse_selector
from cloud.core.system_apps import (
    SystemApps,
    SystemAppsHistory,
    SystemAppsSpec,
    checked_system_apps,
    held_apps,
    listed_anew,
    system_apps,
    system_config,
)
from cloud.store.interface import Transaction

_EVERY_NODE = NODE_NAME_LABEL
_NOTHING = SystemAppsHistory(SystemAppsSpec())
_NEVER = datetime.min.replace(tzinfo=UTC)


def read_system_apps(tx: Transaction, namespace: str) -> SystemApps:
    """What nodes are given; nothing where nobody said anything."""
    return tx.system_apps(namespace) or SystemApps(namespace, _NOTHING, "0", _NEVER)


def put_system_apps(
    tx: Transaction, namespace: str, spec: SystemAppsSpec, *, now: datetime
) -> SystemApps:
    """Give the nodes of the namespace *spec*; who has what it does not list is left alone."""
    checked, before = checked_system_apps(spec), read_system_apps(tx, namespace)
    if checked == before.spec:
        return before
    after = SystemApps(namespace, listed_anew(before, checked), tx.next_version(), now)
    tx.put_system_apps(after)
    tx.mark_selected_pending(namespace, parse_selector(_EVERY_NODE))
    return after


def desired_of(
    tx: Transaction,
    namespace: str,
    name: str,
    labels: Mapping[str, str],
    reported: Sequence[AppVersion] | None,
) -> Desired:
    """All that the node with *labels* should run, which has the system apps *reported*.

    The node itself is looked at only where its namespace gives nodes system apps.
    """
    catalog = tx.catalog(namespace)
    desired = catalog.desired_state(labels)
    node = tx.node(namespace, name) if catalog.system else None
    if catalog.system is None or node is None:
        return desired
    given = system_apps(catalog.system, node, reported)
    return replace(desired, sysapps=tuple(AppVersion(app.name, app.version) for app in given))


def system_parts(tx: Transaction, node: Node) -> tuple[Sequence[App], Sequence[Config]]:
    """The system apps that the node may ask for, and the configs that those it is given use."""
    system = tx.catalog(node.namespace).system
    if system is None:
        return (), ()
    reported = _reported(tx, node)
    apps = list(system_apps(system, node, reported))
    configs = [system_config(system, node, app) for app in apps]
    held = apps or list(held_apps(system, node, reported))
    return held, [config for config in configs if config is not None]


def given_system_apps(tx: Transaction, node: Node) -> Sequence[App]:
    """The system apps that the node is given."""
    system = tx.catalog(node.namespace).system
    return list(system_apps(system, node, _reported(tx, node))) if system else ()


def _reported(tx: Transaction, node: Node) -> Sequence[AppVersion] | None:
    stored = tx.report(node.namespace, node.name)
    return stored.report.reported.sysapps if stored else None

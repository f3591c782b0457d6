"""The system apps of the nodes of a namespace, and their content."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from cloud.core.app import App, AppVersion
from cloud.core.config import Config
from cloud.core.desired import Assigned, Desired
from cloud.core.names import NODE_NAME_LABEL
from cloud.core.node import Node
from cloud.core.report import Report
from cloud.core.selectors import parse_selector
from cloud.core.sources import runs_containers
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
from cloud.operations.desired_apps import assigned_to
from cloud.store.transaction import Transaction

_EVERY_NODE = NODE_NAME_LABEL
_NOTHING = SystemAppsHistory(SystemAppsSpec())
_NEVER = datetime.min.replace(tzinfo=UTC)


def read_system_apps(tx: Transaction, namespace: str) -> SystemApps:
    """The system apps of nodes; none by default."""
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
    report: Report | None,
    assigned: Assigned | None = None,
) -> Desired:
    """All that the node with *labels* should run, which has the system apps that *report* names.

    What is *assigned* to it is looked up where it is left out. The node itself is looked at only
    where its namespace gives nodes system apps.
    """
    catalog = tx.catalog(namespace)
    if assigned is None:
        assigned = assigned_to(tx, namespace, name)
    desired = catalog.desired_state(labels, assigned)
    node = tx.node(namespace, name) if catalog.system else None
    if catalog.system is None or node is None:
        return desired
    given = system_apps(catalog.system, node, _managed(catalog.system, report))
    return replace(desired, sysapps=tuple(AppVersion(app.name, app.version) for app in given))


def system_parts(tx: Transaction, node: Node) -> tuple[Sequence[App], Sequence[Config]]:
    """The system apps that the node may ask for, and the configs that those it is given use."""
    system = tx.catalog(node.namespace).system
    if system is None:
        return (), ()
    apps = list(given_system_apps(tx, node))
    configs = [system_config(system, node, app) for app in apps]
    report = _last_report(tx, node)
    held = apps or list(held_apps(system, node, report.reported.sysapps if report else None))
    return held, [config for config in configs if config is not None]


def given_system_apps(tx: Transaction, node: Node) -> Sequence[App]:
    """The system apps that the node is given."""
    system = tx.catalog(node.namespace).system
    return system_apps_of(tx, system, node) if system else ()


def system_apps_of(tx: Transaction, system: SystemApps, node: Node) -> Sequence[App]:
    """The system apps that the list *system* gives the node, by its last report."""
    managed = _managed(system, _last_report(tx, node))
    return list(system_apps(system, node, managed))


def _managed(system: SystemApps, report: Report | None) -> Sequence[AppVersion] | None:
    """The system apps by *report*; None where the server does not manage those of the node.

    An agent in native mode would take its own parts down for images that it cannot run.
    """
    if report is None:
        return None
    is_managed = system.spec.include_native or runs_containers(report)
    return report.reported.sysapps if is_managed else None


def _last_report(tx: Transaction, node: Node) -> Report | None:
    stored = tx.report(node.namespace, node.name)
    return stored.report if stored else None

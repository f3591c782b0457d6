"""Operations of nodes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cloud.core.app import App
from cloud.core.desired import NO_APPS, Catalog
from cloud.core.field_selectors import FIELD, NODE_FIELDS, nearest, parse_field_selector
from cloud.core.listing import ListOptions, Page
from cloud.core.names import check_node_name
from cloud.core.node import Node, NodeSpec, SeenNode, checked_node_spec
from cloud.core.node_summary import NodeFigures, NodeSummary, node_summary
from cloud.core.report import StoredReport
from cloud.errors import Invalid, NotFound
from cloud.operations.desired_apps import assigned_to, desired_apps
from cloud.operations.revocation import revoke_access
from cloud.operations.running import record_running_again
from cloud.operations.system_apps import given_system_apps
from cloud.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class ReportedNode(SeenNode):
    """A node, and its last report."""

    report: StoredReport | None = None


def create_node(
    tx: Transaction, namespace: str, name: str, spec: NodeSpec, *, now: datetime
) -> SeenNode:
    """Add a node; Invalid if the name is taken."""
    check_node_name("name", namespace, name)
    checked = checked_node_spec(name, spec)
    if tx.node(namespace, name) is not None:
        raise Invalid("name", "this name is already in use")
    node = Node(namespace, name, checked, now, now)
    tx.put_node(node)
    tx.mark_pending([node])
    return SeenNode(node, None, is_revoked=False)


def update_node(
    tx: Transaction, namespace: str, name: str, spec: NodeSpec, *, now: datetime
) -> SeenNode:
    """Describe the node anew; other labels can mean other apps."""
    was_seen = read_node(tx, namespace, name)
    changed = update_nodes(tx, [(was_seen.node, spec)], now=now)
    return replace(was_seen, node=changed[0]) if changed else was_seen


def update_nodes(
    tx: Transaction, specs: Iterable[tuple[Node, NodeSpec]], *, now: datetime
) -> Sequence[Node]:
    """Describe each of the nodes anew by its spec; those that differ, as they are now.

    All are put before anything is looked up: their rows are written, and read, in sets.
    """
    relabelled, changed = [], []
    for before, spec in specs:
        after = replace(before, spec=checked_node_spec(before.name, spec), updated=now)
        if after.spec == before.spec:
            continue
        tx.put_node(after)
        changed.append(after)
        if after.labels != before.labels:
            relabelled.append(after)
    for node in relabelled:
        record_running_again(tx, node)
    tx.mark_pending(relabelled)
    return changed


def delete_node(tx: Transaction, namespace: str, name: str, *, now: datetime) -> Node:
    """Delete the node, revoke its certificates and install commands, make its record inactive.

    The device may activate again as long as that record is there (docs/decisions, 6).
    """
    node = existing_node(tx, namespace, name)
    tx.delete_node(namespace, name)
    revoke_access(tx, namespace, name, now=now)
    for record in tx.records_of_node(namespace, name):
        if record.active:
            tx.put_record(replace(record, active=False, updated=now))
    return node


def revoke_node(tx: Transaction, namespace: str, name: str, *, now: datetime) -> Node:
    """Revoke the node's certificates and install commands, and leave all else.

    Its record stays active, so that no device activates in its place before an operator resets that
    (docs/decisions, 8). Again changes nothing.
    """
    node = existing_node(tx, namespace, name)
    revoke_access(tx, namespace, name, now=now)
    return node


def read_node(tx: Transaction, namespace: str, name: str) -> SeenNode:
    """Look at one node."""
    found = tx.seen_node(namespace, name)
    if found is None:
        raise NotFound("node", name)
    return found


def read_reported_node(tx: Transaction, namespace: str, name: str) -> ReportedNode:
    """Look at one node, and at its last report."""
    now_seen = read_node(tx, namespace, name)
    stored = tx.report(namespace, name)
    return ReportedNode(
        now_seen.node, now_seen.heard, now_seen.is_revoked, now_seen.encryption, stored
    )


def list_nodes(tx: Transaction, namespace: str, options: ListOptions) -> Page[SeenNode]:
    """List the nodes of the namespace.

    Invalid for fields of an app that is not there and that no node reports.
    """
    catalog = _catalog_of_fields(tx, namespace, options.field_selector)
    return tx.list_seen_nodes(namespace, options, catalog)


def summaries_of(
    tx: Transaction, namespace: str, found: Sequence[SeenNode]
) -> Sequence[NodeSummary]:
    """A line about each of the nodes that were *found* in a list, in their order."""
    names = [seen.node.name for seen in found]
    catalog = tx.catalog(namespace)
    figures, apps = tx.node_figures(namespace, names), tx.running_apps_of(namespace, names)
    tx.expect_nodes([(namespace, name) for name in names])
    return [
        node_summary(
            figures.get(name, NodeFigures()),
            catalog.desired_state(seen.node.labels, assigned_to(tx, namespace, name)),
            apps[name],
        )
        for name, seen in zip(names, found, strict=True)
    ]


def _catalog_of_fields(tx: Transaction, namespace: str, text: str) -> Catalog:
    """The apps that the field selector *text* may name.

    Invalid for an app that is not there and that no node reports.
    """
    named = {term.app for term in parse_field_selector(text, NODE_FIELDS) if term.app}
    if not named:
        return NO_APPS
    catalog = tx.catalog(namespace)
    for name in sorted(named - catalog.apps.keys()):
        if not tx.is_reported_app(namespace, name):
            likely = nearest(name, list(catalog.apps))
            hint = f"; did you mean {likely}?" if likely else ""
            raise Invalid(FIELD, f"there is no app {name[:80]!r}{hint}")
    return catalog


def apps_of_node(tx: Transaction, namespace: str, name: str) -> Sequence[App]:
    """Every app the node should run, at its version; the system apps that it is given first."""
    node = existing_node(tx, namespace, name)
    return [*given_system_apps(tx, node), *desired_apps(tx, node)]


def existing_node(tx: Transaction, namespace: str, name: str) -> Node:
    """The node of that name; NotFound if there is none."""
    node = tx.node(namespace, name)
    if node is None:
        raise NotFound("node", name)
    return node

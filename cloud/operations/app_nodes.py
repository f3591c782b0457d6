"""The nodes of an app: its state on each, and why it failed there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from cloud.core.app import App, AppVersion
from cloud.core.deploys import CAUSE_LIMIT
from cloud.core.field_selectors import APPS
from cloud.core.listing import ListOptions, Page
from cloud.core.node import SeenNode
from cloud.core.report import failure_of, read_report, refusal_of
from cloud.core.running import NOT_UP, AppStatus, RunningApp, RunState
from cloud.core.version_progress import CAUSES_SHOWN, CauseCount
from cloud.operations.apps import existing_app
from cloud.operations.desired_apps import wanted_by_most, wanted_on
from cloud.operations.nodes import list_nodes
from cloud.store.transaction import Transaction

_OF_SELECTED = (AppStatus.RUNNING, AppStatus.FAILED, AppStatus.PENDING)


@dataclass(frozen=True, slots=True)
class AppNode:
    """A node, and how it stands with an app: *version* runs there or was tried, empty if none.

    *cause* is why it failed.
    """

    seen: SeenNode
    status: AppStatus
    version: str
    cause: str


def nodes_of_app(
    tx: Transaction, namespace: str, name: str, status: AppStatus | None, options: ListOptions
) -> Page[AppNode]:
    """The nodes that stand so with the app; without a *status* all that it is for.

    *options* select among them.
    """
    app = existing_app(tx, namespace, name)
    wanted = ",".join([status] if status else _OF_SELECTED)
    terms = [f"{APPS}{name} in ({wanted})"]
    if options.field_selector.strip():
        terms.append(options.field_selector)
    found = list_nodes(tx, namespace, replace(options, field_selector=",".join(terms)))
    return found.each(lambda seen: _standing(tx, app, seen))


def causes_of_app(tx: Transaction, app: App) -> Sequence[CauseCount]:
    """Why nodes failed with the wanted version of *app*, the causes of most nodes first."""
    wanted = wanted_by_most(tx, app)
    found = tx.count_causes(
        app.namespace, app.name, wanted.version, CAUSES_SHOWN, is_governed=wanted.is_governed
    )
    return [CauseCount(cause, nodes) for cause, nodes in found]


def cause_on(tx: Transaction, app: App, node: str) -> str:
    """Why the version of *app* for *node* failed there, by its last report; empty: it did not."""
    stored = tx.report(app.namespace, node)
    if stored is None:
        return ""
    wanted = AppVersion(app.name, wanted_on(tx, app, node))
    stats = read_report(msgspec.json.decode(stored.report.document), stored.report.order).stats
    own = next((one for one in stats or () if one.name == app.name), None)
    return (failure_of(wanted, own) or refusal_of(wanted, own))[:CAUSE_LIMIT]


def _standing(tx: Transaction, app: App, seen: SeenNode) -> AppNode:
    rows = [row for row in tx.running_apps(app.namespace, seen.node.name) if row.name == app.name]
    own = wanted_on(tx, app, seen.node.name)
    wanted = next((row for row in rows if row.version == own), None)
    status = _status(wanted, rows)
    version = next((row.version for row in rows if row.state == RunState.RUNNING), "")
    if not version and rows:
        version = rows[0].version
    is_failed = status in {AppStatus.FAILED, AppStatus.ROLLED_BACK}
    cause = cause_on(tx, app, seen.node.name) if is_failed else ""
    return AppNode(seen, status, version, cause)


def _status(wanted: RunningApp | None, rows: Sequence[RunningApp]) -> AppStatus:
    """How a node stands whose rows of the app are *rows*, *wanted* that of the wanted version."""
    if wanted is not None and wanted.state == RunState.RUNNING:
        return AppStatus.RUNNING
    if wanted is not None and wanted.state == RunState.ROLLED_BACK:
        return AppStatus.ROLLED_BACK
    if wanted is not None and wanted.state in NOT_UP:
        return AppStatus.FAILED
    if any(row.state == RunState.UNSELECTED for row in rows):
        return AppStatus.UNSELECTED
    return AppStatus.PENDING

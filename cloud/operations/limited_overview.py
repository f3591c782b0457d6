"""Overview and progress of apps for who may see some nodes alone: each figure is a list's total."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from cloud.core.app import App
from cloud.core.field_selectors import APPS, EXPIRES, STATE
from cloud.core.listing import ListOptions
from cloud.core.readiness import NodeState
from cloud.core.running import AppStatus
from cloud.core.times import time_text
from cloud.core.version_progress import FAILURES_SHOWN, NodeFailure, VersionProgress
from cloud.operations.app_nodes import nodes_of_app
from cloud.operations.apps import existing_app
from cloud.operations.nodes import list_nodes
from cloud.operations.overview import APPS_SHOWN, ENDS_WITHIN, Ends, Overview, by_change
from cloud.store.parts.pending_nodes import PendingCounts
from cloud.store.transaction import Transaction


def limited_overview(
    tx: Transaction, namespace: str, nodes: str, *, now: datetime
) -> tuple[Mapping[NodeState, int], Overview]:
    """The states of the nodes that the selector *nodes* selects, and the overview of those.

    Of the apps that changed last it has those for any of the nodes. What is of batches, callbacks
    and channels is of none of them.
    """

    def count(field: str) -> int:
        return _count(tx, namespace, nodes, field, now)

    states = {state: count(f"{STATE}={state}") for state in NodeState}
    ended, *ending = (count(f"{EXPIRES}<{time_text(now + left)}") for left in ENDS_WITHIN)
    newest = sorted(tx.catalog(namespace).apps.values(), key=by_change, reverse=True)
    apps = [_progress(tx, app, nodes, now) for app in newest[:APPS_SHOWN]]
    waiting = PendingCounts(tx.count_waiting_among(namespace, nodes, now), 0, 0)
    return states, Overview(
        apps=[one for one in apps if one.selected],
        activations_of_day=0,
        activations_of_hour=0,
        ends=Ends(ended, *(found - ended for found in ending)),
        waiting=waiting,
        refused=(),
    )


def limited_rollout(
    tx: Transaction, namespace: str, name: str, nodes: str, *, now: datetime
) -> tuple[VersionProgress, Sequence[NodeFailure], int]:
    """How far the app has come on these nodes, the first that failed, and how many are offline."""
    progress = _progress(tx, existing_app(tx, namespace, name), nodes, now)
    options = ListOptions(nodes, limit=FAILURES_SHOWN, now=now, sort="name")
    failed = nodes_of_app(tx, namespace, name, AppStatus.FAILED, options)
    away = f"{STATE} in ({NodeState.OFFLINE},{NodeState.NEVER})"
    pending = f"{APPS}{name} in ({AppStatus.PENDING},{AppStatus.FAILED})"
    offline = _count(tx, namespace, nodes, f"{pending},{away}", now)
    failures = [NodeFailure(one.seen.node.name, one.cause) for one in failed.items]
    return progress, failures, offline


def _progress(tx: Transaction, app: App, nodes: str, now: datetime) -> VersionProgress:
    def count(*statuses: AppStatus) -> int:
        field = f"{APPS}{app.name} in ({','.join(statuses)})"
        return _count(tx, app.namespace, nodes, field, now)

    running, failed = count(AppStatus.RUNNING), count(AppStatus.FAILED)
    selected = count(AppStatus.RUNNING, AppStatus.FAILED, AppStatus.PENDING)
    return VersionProgress(app, selected, running, failed, ())


def _count(tx: Transaction, namespace: str, nodes: str, field: str, now: datetime) -> int:
    return list_nodes(tx, namespace, ListOptions(nodes, field, limit=1, now=now)).total

"""Overview of a namespace: states of its nodes, progress of its apps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloud.core.app import App
from cloud.core.version_progress import (
    FAILURES_SHOWN,
    NodeFailure,
    VersionProgress,
    version_progress,
)
from cloud.operations.app_nodes import cause_on
from cloud.operations.apps import existing_app
from cloud.operations.desired_apps import wanted_by_most
from cloud.store.parts.pending_nodes import PendingCounts
from cloud.store.transaction import Transaction

APPS_SHOWN = 20
"""Apps of an overview: those that changed last."""

BATCHES_SHOWN = 5
"""Batches of an overview that refused devices: those that refused most."""

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
ENDS_WITHIN = (timedelta(), _DAY, 7 * _DAY, 30 * _DAY)
"""The times from now of `Ends`."""


@dataclass(frozen=True, slots=True)
class Ends:
    """How many nodes have no certificate any more, and how many end within so long from now.

    Each but *ended* has those before it in it.
    """

    ended: int
    day: int
    week: int
    month: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The overview of a namespace, beside its nodes.

    *apps* are those that changed last, newest first; *refused* are the batches that refused most
    devices in the last day, and how many each.
    """

    apps: Sequence[VersionProgress]
    activations_of_day: int
    activations_of_hour: int
    ends: Ends
    waiting: PendingCounts
    refused: Sequence[tuple[str, int]]


def rollout_of_app(tx: Transaction, namespace: str, name: str) -> VersionProgress:
    """How far the app has come."""
    return _rollout(tx, existing_app(tx, namespace, name))


def failures_of_app(tx: Transaction, app: App) -> Sequence[NodeFailure]:
    """The first nodes by name that failed with the wanted version of *app*, with their causes."""
    wanted = wanted_by_most(tx, app)
    names = tx.failed_nodes(
        app.namespace, app.name, wanted.version, FAILURES_SHOWN, is_governed=wanted.is_governed
    )
    return [NodeFailure(name, cause_on(tx, app, name)) for name in names]


def count_offline(tx: Transaction, app: App, *, now: datetime) -> int:
    """How many of the nodes that should run *app* and do not are offline; looks at each of them."""
    wanted = wanted_by_most(tx, app)
    return tx.count_away(
        app.namespace,
        app.spec.selector,
        app.name,
        wanted.version,
        now,
        is_governed=wanted.is_governed,
    )


def overview(tx: Transaction, namespace: str, *, now: datetime) -> Overview:
    """Look at *namespace* as it is at *now*."""
    apps = sorted(tx.catalog(namespace).apps.values(), key=by_change, reverse=True)
    ended, *ending = tx.count_ends_in(namespace, [now + left for left in ENDS_WITHIN])
    return Overview(
        apps=[_rollout(tx, app) for app in apps[:APPS_SHOWN]],
        activations_of_day=tx.count_activations(namespace, now - _DAY),
        activations_of_hour=tx.count_activations(namespace, now - _HOUR),
        ends=Ends(ended, *(count - ended for count in ending)),
        waiting=tx.count_waiting_in(namespace),
        refused=tx.count_refused_devices(namespace, now - _DAY, BATCHES_SHOWN),
    )


def _rollout(tx: Transaction, app: App) -> VersionProgress:
    selected = tx.count_selected(app.namespace, app.spec.selector)
    counts = tx.count_running(app.namespace, app.name)
    own = wanted_by_most(tx, app)
    if not own.is_governed:
        return version_progress(app, selected, counts)
    wanted = tx.count_wanted(app.namespace, app.name, own.version)
    return version_progress(app, selected, counts, wanted)


def by_change(app: App) -> tuple[int, str]:
    """Apps in the order of their last change: versions are numbers that only grow."""
    return len(app.version), app.version

"""`/metrics`: for monitoring, with a token for all namespaces."""

import math
from collections.abc import Callable, Mapping
from datetime import datetime

from prometheus_client import Gauge
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cloud.core.permissions import Permission
from cloud.core.rollout import AssignmentState, RolloutState
from cloud.core.tokens import EVERYWHERE
from cloud.http.metrics import Metrics
from cloud.http.routing import CheckedRoute
from cloud.operations.expiry import forecast
from cloud.operations.rollouts import count_rollouts
from cloud.rest.auth import caller_of
from cloud.store.transaction import Store

PATH = "/metrics"

REMEMBERED = 15.0
"""Seconds that a count of the nodes by state is cached: it takes 0.2 s of 100,000 nodes."""


def metrics_route(metrics: Metrics) -> Route:
    """Forbidden for tokens of one namespace: what is counted is of all."""

    async def show_metrics(request: Request) -> Response:
        caller_of(request).check(Permission("read", "metrics", ""), EVERYWHERE)
        return await metrics.response()

    return CheckedRoute(PATH, show_metrics)


def add_certificate_metrics(
    metrics: Metrics,
    store: Store,
    clock: Callable[[], datetime],
    ends: Callable[[], Mapping[str, datetime]],
) -> None:
    """How long the certificates of nodes last, and those of the server by name, from *ends*."""
    nodes = Gauge(
        "edgesync_node_certificates",
        "Nodes by what is left of the certificate that ends last, up to the bound in the label.",
        ["left"],
        registry=metrics.registry,
    )
    own = Gauge(
        "edgesync_certificate_not_after_timestamp_seconds",
        "When a certificate of the server or its authority ends.",
        ["certificate"],
        registry=metrics.registry,
    )

    async def look() -> None:
        now = clock()
        counts = await store.read(lambda tx: forecast(tx, now=now))
        for left, count in counts.items():
            nodes.labels(left).set(count)
        for name, moment in ends().items():
            own.labels(name).set(moment.timestamp())

    metrics.add_source(look)


def add_store_metrics(
    metrics: Metrics, store: Store, clock: Callable[[], datetime], timer: Callable[[], float]
) -> None:
    """Nodes by state, what waits in the database, and the length of the audit log.

    States are counted anew when the last count is older than REMEMBERED, by *timer*: it looks at
    every report.
    """
    nodes = Gauge(
        "edgesync_nodes",
        f"Nodes of all namespaces by state, as of {REMEMBERED:.0f} seconds ago at most.",
        ["state"],
        registry=metrics.registry,
    )
    to_tell = Gauge(
        "edgesync_push_queue_nodes",
        "Nodes for which something has changed, that no server has looked at since.",
        registry=metrics.registry,
    )
    deliveries = Gauge(
        "edgesync_callback_queue_deliveries",
        "Calls of callbacks that are still to be made.",
        registry=metrics.registry,
    )
    rollouts = Gauge(
        "edgesync_rollouts",
        "Rollouts that have not ended, by state.",
        ["state"],
        registry=metrics.registry,
    )
    rollout_nodes = Gauge(
        "edgesync_rollout_nodes",
        "Nodes that rollouts which have not ended admitted, skipped or brought back, by state.",
        ["state"],
        registry=metrics.registry,
    )
    messages = Gauge(
        "edgesync_notification_queue_messages",
        "Notifications that are still to be sent.",
        registry=metrics.registry,
    )
    unreadable = Gauge(
        "edgesync_secrets_unreadable",
        "Secrets whose values cannot be read from their sources.",
        registry=metrics.registry,
    )
    entries = {"": 0.0}
    metrics.add_counter(
        "edgesync_audit_entries", "Entries that the audit log ever had.", lambda: entries
    )
    counted = -math.inf

    async def look() -> None:
        nonlocal counted
        if timer() - counted >= REMEMBERED:
            counted, now = timer(), clock()
            counts = await store.read(lambda tx: tx.count_states(now))
            for state, count in counts.items():
                nodes.labels(state.value).set(count)
        waiting, head = await store.read(lambda tx: (tx.count_waiting(), tx.audit_head()))
        open_rollouts = await store.read(count_rollouts)
        for phase in RolloutState:
            if phase.is_open:
                rollouts.labels(phase.value).set(open_rollouts.states[phase])
        for own in AssignmentState:
            rollout_nodes.labels(own.value).set(open_rollouts.nodes[own])
        unreadable.set(await store.read(lambda tx: tx.count_unreadable_secrets()))
        to_tell.set(waiting.nodes)
        deliveries.set(waiting.deliveries)
        messages.set(waiting.messages)
        entries[""] = head.number

    metrics.add_source(look)

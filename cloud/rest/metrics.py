"""`/metrics`: for whoever watches the server, with a token for all namespaces."""

from collections.abc import Callable, Mapping
from datetime import datetime

from prometheus_client import Gauge
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cloud.core.tokens import EVERYWHERE, Role
from cloud.http.metrics import Metrics
from cloud.operations.expiry import forecast
from cloud.rest.auth import caller_of
from cloud.store.interface import Store

PATH = "/metrics"


def metrics_route(metrics: Metrics) -> Route:
    """Forbidden for tokens of one namespace: what is counted is of all."""

    async def tell(request: Request) -> Response:
        caller = caller_of(request)
        caller.check_role(Role.VIEWER)
        caller.check_namespace(EVERYWHERE)
        return await metrics.response()

    return Route(PATH, tell)


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

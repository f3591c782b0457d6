"""Metrics in the text format of Prometheus: a registry of this server's own.

Modules create their metrics on `registry`. Values that are looked up only at a scrape are a
source; values that are counted anyway are read where they are counted.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Metric,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.http.answers import EVENT_STREAM

Source = Callable[[], Awaitable[None]]
"""Sets metrics to what is true now."""

Counted = Callable[[], Mapping[str, float]]
"""Current values by the one label; without a label the key is empty."""

# Without a creation time beside each counter and histogram.
disable_created_metrics()  # type: ignore[no-untyped-call]

REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


class LimitRefusals:
    """Counts what was refused because of a limit, by the name of the bound in docs/limits.md."""

    def __init__(self) -> None:
        self._counts: dict[str, float] = {}
        # Counted elsewhere, by the name of the bound.
        self._sources: list[Counted] = []

    def declare(self, *bounds: str) -> None:
        """Report each of *bounds* from the start, as 0."""
        for bound in bounds:
            self._counts.setdefault(bound, 0)

    def count(self, bound: str, amount: int = 1) -> None:
        """Count *amount* refusals at *bound*."""
        self._counts[bound] = self._counts.get(bound, 0) + amount

    def add_source(self, counted: Counted) -> None:
        """Add counts that are kept elsewhere."""
        self._sources.append(counted)

    def counts(self) -> Mapping[str, float]:
        """All refusals so far, by bound."""
        total = dict(self._counts)
        for counted in self._sources:
            for bound, count in counted().items():
                total[bound] = total.get(bound, 0) + count
        return total


class Metrics:
    """The metrics of a server; no label may have a value for each node."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.limits = LimitRefusals()
        self.add_counter(
            "edgesync_limits_refusals",
            "Refusals because of a limit, by the bound as docs/limits.md names it.",
            self.limits.counts,
            label="bound",
        )
        # Read one after the other, in the order they were added, at each scrape.
        self._sources: list[Source] = []
        self.requests = Counter(
            "edgesync_http_requests",
            "Requests by the route that answered, and the class of the status.",
            ["listener", "method", "route", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "edgesync_http_request_seconds",
            "Time from the head of a request to the end of its answer.",
            ["listener", "route"],
            buckets=REQUEST_BUCKETS,
            registry=self.registry,
        )

    def add_process(self) -> None:
        """Export memory, CPU time and open files of this process under the customary names."""
        ProcessCollector(registry=self.registry)

    def add_source(self, source: Source) -> None:
        """Have *source* asked before each answer; what it raises is the answer's error."""
        self._sources.append(source)

    def add_counter(self, name: str, text: str, counted: Counted, *, label: str = "") -> None:
        """Tell what is counted elsewhere, and only rises; *name* without `_total`."""
        self.registry.register(_SourceCollector(CounterMetricFamily, name, text, label, counted))

    def add_gauge(self, name: str, text: str, counted: Counted, *, label: str = "") -> None:
        """Tell what is known elsewhere."""
        self.registry.register(_SourceCollector(GaugeMetricFamily, name, text, label, counted))

    async def response(self) -> Response:
        """All metrics as of now."""
        for source in self._sources:
            await source()
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class _SourceCollector(Collector):
    """A family of metrics that is made at each scrape."""

    def __init__(self, kind: Any, name: str, text: str, label: str, counted: Counted) -> None:
        self._kind = kind
        self._name = name
        self._text = text
        self._label = label
        self._counted = counted

    def collect(self) -> Iterable[Metric]:
        """The family, of one metric for each value of the label."""
        family = self._kind(self._name, self._text, labels=[self._label] if self._label else [])
        for value, count in self._counted().items():
            family.add_metric([value] if self._label else [], count)
        yield family


class RequestMetrics:
    """Counts and times the requests of one *listener* by their routes.

    A path that leads nowhere has no route: what callers make up is no label.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, listener: str, routes: Mapping[Any, str]
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.listener = listener
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, then count it; one whose caller went away has the status 499."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, began = 499, time.perf_counter()
        ended: float | None = None

        async def send_noting(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                if Headers(raw=message["headers"]).get("content-type", "") == EVENT_STREAM:
                    ended = time.perf_counter()  # a stream lasts as long as its client
            await send(message)

        try:
            await self.app(scope, receive, send_noting)
        finally:
            seconds = (ended or time.perf_counter()) - began
            route = self.routes.get(scope.get("endpoint"), "")
            method = scope["method"] if scope["method"] in _METHODS else ""
            self.metrics.requests.labels(self.listener, method, route, f"{status // 100}xx").inc()
            self.metrics.request_seconds.labels(self.listener, route).observe(seconds)

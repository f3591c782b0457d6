"""What the links count and time."""

from datetime import timedelta
from typing import Any

import pytest

from broker.messages import Encoding, Message
from broker.topics import Channel
from cloud.errors import Denied, NotFound, TooManyRequests, Unavailable
from cloud.http.metrics import Metrics
from cloud.link.exchange import Exchange
from cloud.link.inbox import NodeInbox
from cloud.link.measures import Measures, add_connection_metrics, add_hub_metrics
from cloud.store.transaction import Store
from tests.link.conftest import NOW, FakeHub, ServerLink, describe


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


async def test_the_time_from_telling_a_node_to_its_running_is_measured(
    store: Store, metrics: Metrics
) -> None:
    await store.write(describe)
    now = NOW
    exchange = Exchange(store, lambda: now, measures=Measures(metrics))

    async def receive(*apps: dict[str, Any]) -> None:
        named = [{"name": app["name"], "version": app["version"]} for app in apps]
        message = Message("report", {"apps": named, "appstats": list(apps)})
        await exchange.ask(exchange.read("default.n1", Channel.REPORT, message, Encoding.JSON, now))

    def ended(outcome: str) -> float | None:
        return value(metrics, "edgesync_deploys_total", outcome=outcome)

    app = await store.read(lambda tx: tx.app("default", "web"))
    assert app is not None
    held = {"name": "web", "version": app.version}
    await receive()
    now += timedelta(seconds=3)
    await receive({**held, "status": "Pending"})
    assert (ended("converged"), ended("failed")) == (0, 0)
    now += timedelta(seconds=3)
    await receive({**held, "status": "Failed"})
    assert (ended("converged"), ended("failed")) == (0, 1)
    await receive({**held, "status": "Failed"})
    now += timedelta(seconds=3)
    for _ in range(2):
        await receive({**held, "status": "Running"})
    assert (ended("converged"), ended("failed")) == (1, 1)
    assert value(metrics, "edgesync_convergence_seconds_count") == 1
    assert value(metrics, "edgesync_convergence_seconds_sum") == 9


async def test_what_is_not_stored_is_not_counted(store: Store, metrics: Metrics) -> None:
    await store.write(describe)

    class FullStore:
        """A store that cannot be written."""

        read, read_short = store.read, store.read_short

        async def write(self, work: Any) -> Any:
            raise Unavailable("full")

        write_concurrent = write

    exchange = Exchange(FullStore(), lambda: NOW, measures=Measures(metrics))
    message = Message("report", {"apps": []})
    question = exchange.read("default.n1", Channel.REPORT, message, Encoding.JSON, NOW)
    with pytest.raises(Unavailable):
        await exchange.ask(question)
    assert value(metrics, "edgesync_convergence_seconds_count") == 0


async def test_groups_are_counted_with_how_long_they_waited(
    hub: FakeHub, store: Store, metrics: Metrics
) -> None:
    await store.write(describe)
    inbox = NodeInbox(hub, Exchange(store, lambda: NOW), measures=Measures(metrics))
    message = Message("report", {"apps": []})
    await inbox.handle([hub.inbound(Channel.REPORT, message) for _ in range(3)])
    labels = {"link": "mqtt", "channel": "report", "outcome": "ok"}
    assert value(metrics, "edgesync_messages_total", **labels) == 3
    assert value(metrics, "edgesync_ingest_group_messages_sum") == 3
    assert value(metrics, "edgesync_ingest_group_messages_count") == 1
    assert value(metrics, "edgesync_ingest_lag_seconds_count") == 1
    lag = value(metrics, "edgesync_ingest_lag_seconds_sum")
    assert lag is not None
    assert 0 < lag < 60


async def test_messages_over_https_are_counted_too(link: ServerLink) -> None:
    await link.post("/v1/sync/report", {"apps": []})
    await link.post("/v1/sync/report", {"apps": 3})
    metrics = link.exchange.measures.metrics
    for outcome in ("ok", "refused"):
        labels = {"link": "https", "channel": "report", "outcome": outcome}
        assert value(metrics, "edgesync_messages_total", **labels) == 1
    labels = {"listener": "sync", "method": "POST", "route": "/v1/sync/report"}
    assert value(metrics, "edgesync_http_requests_total", **labels, status="2xx") == 1
    assert value(metrics, "edgesync_http_requests_total", **labels, status="4xx") == 1


def test_attempts_are_counted_by_what_came_of_them(metrics: Metrics) -> None:
    measures = Measures(metrics)
    for error in (Denied("x"), TooManyRequests(1.0), Denied("y"), RuntimeError("z")):
        with pytest.raises(type(error)), measures.activation():
            raise error
    for attempt in (measures.activation, measures.renewal):
        with attempt():
            pass
    results = {"ok": 1, "RequestAccessDenied": 2, TooManyRequests.code: 1, "UnknownError": 1}
    for result, count in results.items():
        assert value(metrics, "edgesync_activations_total", result=result) == count
    measures.renewed(None)
    measures.renewed(NotFound("node", "n1"))
    for link, result in (("https", "ok"), ("mqtt", "ok"), ("mqtt", "ResourceNotFound")):
        assert value(metrics, "edgesync_renewals_total", link=link, result=result) == 1


async def test_a_renewal_over_mqtt_is_counted_with_its_message(
    hub: FakeHub, store: Store, metrics: Metrics
) -> None:
    await store.write(describe)
    measures = Measures(metrics)

    def renew(*_: Any, **__: Any) -> Any:
        def refuse(_: Any) -> Message:
            raise Denied("no")

        return refuse

    inbox = NodeInbox(hub, Exchange(store, lambda: NOW, renew=renew, measures=measures))
    await inbox.handle([hub.inbound(Channel.RENEW, Message("renew", {}))])
    labels = {"link": "mqtt", "result": "RequestAccessDenied"}
    assert value(metrics, "edgesync_renewals_total", **labels) == 1


def test_refused_connections_are_counted_by_every_reason(metrics: Metrics) -> None:
    refused: dict[str, int] = {"tls_failed": 3}
    add_hub_metrics(metrics, lambda: 5)
    add_connection_metrics(metrics, lambda: 2, refused)
    assert value(metrics, "edgesync_ingest_queue_messages") == 5
    assert value(metrics, "edgesync_connections") == 2
    assert value(metrics, "edgesync_connections_refused_total", reason="tls_failed") == 3
    assert value(metrics, "edgesync_connections_refused_total", reason="silent") == 0

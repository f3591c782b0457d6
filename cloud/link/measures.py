"""Counters and timers of the links to nodes, for `/metrics`.

A message is counted once it is settled, after its changes are stored; nothing is counted for each
node. Both links, the pusher and the activation port share one of these.
"""

import contextlib
import logging
import sys
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta

from prometheus_client import Counter, Histogram

from broker.limits import Refusal
from broker.topics import Channel
from cloud.core.deploys import Deploy, DeployOutcome
from cloud.errors import CloudError, Unavailable
from cloud.http.metrics import Metrics

logger = logging.getLogger(__name__)

OK, REFUSED, FAILED, MALFORMED = "ok", "refused", "failed", "malformed"
SENT, NOT_CONNECTED, NOT_SENT = "sent", "not_connected", "not_sent"

FAILURE_PLACES = ("inbox", "exchange", "commands", "pusher")

_GROUP_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_LAG_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_CONVERGENCE_BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 3600, 6 * 3600, 86_400)


_BOUNDS = (
    Refusal.TOO_MANY_CONNECTIONS,
    Refusal.TOO_MANY_FROM_ADDRESS,
    Refusal.CROWDED_OUT,
    Refusal.CONNECT_TIMEOUT,
    Refusal.SILENT,
    Refusal.SLOW_READER,
    Refusal.SLOW_WRITER,
    Refusal.OVERSIZE,
)
"""Reasons of the hub that are limits, by their names in docs/limits.md."""


class Measures:
    """Owns the metrics of the links; without *metrics* they are not exported."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self.metrics = metrics or Metrics()
        registry = self.metrics.registry
        self._messages = Counter(
            "edgesync_messages",
            "Messages of nodes, by what became of them.",
            ["link", "channel", "outcome"],
            registry=registry,
        )
        self._group = Histogram(
            "edgesync_ingest_group_messages",
            "Messages of MQTT that were stored together.",
            buckets=_GROUP_BUCKETS,
            registry=registry,
        )
        self._lag = Histogram(
            "edgesync_ingest_lag_seconds",
            "From the arrival of the oldest message of a group until all of it was stored.",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )
        self._pushes = Counter(
            "edgesync_pushes",
            "Nodes that the pusher took to send them a change.",
            ["outcome"],
            registry=registry,
        )
        self._deploys = Counter(
            "edgesync_deploys",
            "Changes that nodes reported to be running, or to have failed at.",
            ["outcome"],
            registry=registry,
        )
        self._convergence = Histogram(
            "edgesync_convergence_seconds",
            "From telling a node of a change until it reported that all of it runs.",
            buckets=_CONVERGENCE_BUCKETS,
            registry=registry,
        )
        self._activations = Counter(
            "edgesync_activations",
            "Attempts to activate, by `ok` or the code of the error.",
            ["result"],
            registry=registry,
        )
        self._renewals = Counter(
            "edgesync_renewals",
            "Attempts to renew a certificate, by `ok` or the code of the error.",
            ["link", "result"],
            registry=registry,
        )
        self._failures = Counter(
            "edgesync_link_failures",
            "Failures of the server itself at one message of a node, by where.",
            ["place"],
            registry=registry,
        )
        # What is looked at for alerts is there from the start, as 0.
        for place in FAILURE_PLACES:
            self._failures.labels(place)
        # Reports and stats that were stored and not taken yet, by namespace.
        self.reports: Tally[str] = Tally()
        for outcome in (SENT, NOT_CONNECTED, NOT_SENT):
            self._pushes.labels(outcome)
        for ended in (DeployOutcome.CONVERGED, DeployOutcome.FAILED):
            self._deploys.labels(ended.value)
        for outcome in (OK, REFUSED, FAILED, MALFORMED):
            self._messages.labels("mqtt", Channel.REPORT.value, outcome)
        self._activations.labels(OK)
        self._renewals.labels("https", OK)
        self._renewals.labels("mqtt", OK)

    def group(self, settled: Iterable[tuple[Channel, str]], lag: float) -> None:
        """Note a group of MQTT: channel and outcome of each message; *lag* in seconds."""
        tally = Tally(settled)
        for (channel, outcome), count in tally.items():
            self._messages.labels("mqtt", channel.value, outcome).inc(count)
        self._group.observe(tally.total())
        self._lag.observe(lag)

    @contextlib.contextmanager
    def request(self, channel: Channel) -> Iterator[None]:
        """Note what becomes of a message over HTTPS in the block."""
        outcome = FAILED
        try:
            yield
            outcome = OK
        except Unavailable:
            raise
        except CloudError:
            outcome = REFUSED
            raise
        finally:
            self._messages.labels("https", channel.value, outcome).inc()

    def log_failure(self, place: str, node_id: str) -> None:
        """Log and count the exception that is being handled, at one of `FAILURE_PLACES`."""
        logger.error("%s: a message of %s failed", place, node_id, exc_info=sys.exc_info())
        self._failures.labels(place).inc()

    def stored_report(self, node_id: str) -> None:
        """Count a report, or stats, of the node that was stored."""
        self.reports[node_id.partition(".")[0]] += 1

    def take_reports(self) -> Mapping[str, int]:
        """How many reports and stats were stored since this was called last, by namespace."""
        taken, self.reports = self.reports, Tally()
        return taken

    def pushed(self, outcome: str, count: int = 1) -> None:
        """Count *count* pending updates by their outcome."""
        self._pushes.labels(outcome).inc(count)

    def ended(self, deploy: Deploy) -> None:
        """Note how *deploy* ended, by a report of its node."""
        self._deploys.labels(deploy.outcome.value).inc()
        if deploy.outcome is DeployOutcome.CONVERGED and deploy.ended is not None:
            seconds = (deploy.ended - deploy.sent) / timedelta(seconds=1)
            self._convergence.observe(max(seconds, 0.0))

    @contextlib.contextmanager
    def activation(self) -> Iterator[None]:
        """Note what the block comes to, an attempt to activate."""
        with _resulting(self._activations):
            yield

    @contextlib.contextmanager
    def renewal(self) -> Iterator[None]:
        """Note what the block comes to, an attempt to renew over HTTPS."""
        with _resulting(self._renewals, "https"):
            yield

    def renewed(self, error: CloudError | None) -> None:
        """Note that a renewal over MQTT ended, with *error* if it did not succeed."""
        self._renewals.labels("mqtt", error.code if error else OK).inc()


@contextlib.contextmanager
def contained(measures: Measures, place: str, node_id: str) -> Iterator[None]:
    """Log and count an exception of the block, which is about one message of *node_id*.

    Unavailable passes: it is about the store, and the caller tries again.
    """
    try:
        yield
    except Unavailable:
        raise
    except Exception:  # noqa: BLE001  # it is logged
        measures.log_failure(place, node_id)


@contextlib.contextmanager
def _resulting(counter: Counter, *labels: str) -> Iterator[None]:
    result = CloudError.code
    try:
        yield
        result = OK
    except CloudError as error:
        result = error.code
        raise
    finally:
        counter.labels(*labels, result).inc()


def add_hub_metrics(metrics: Metrics, queued: Callable[[], int]) -> None:
    """Tell how many messages of MQTT wait to be stored."""
    text = "Messages of MQTT that wait to be stored."
    metrics.add_gauge("edgesync_ingest_queue_messages", text, lambda: {"": queued()})


def add_connection_metrics(
    metrics: Metrics, connected: Callable[[], int], refused: Mapping[str, int]
) -> None:
    """Metrics of the connections that this process holds; a broker has its own."""
    metrics.limits.add_source(lambda: {bound.value: refused.get(bound, 0) for bound in _BOUNDS})
    text = "Nodes that are connected to this server."
    metrics.add_gauge("edgesync_connections", text, lambda: {"": connected()})
    metrics.add_counter(
        "edgesync_connections_refused",
        "Connections that were turned away or closed, and subscriptions refused, by the reason.",
        lambda: {reason.value: refused.get(reason, 0) for reason in Refusal},
        label="reason",
    )

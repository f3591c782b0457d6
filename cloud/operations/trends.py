"""Trends of namespaces, recorded once a minute by all servers together."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from cloud.core.trends import TrendPoint, series_of
from cloud.store.transaction import Transaction


def record_trends(tx: Transaction, reports: Mapping[str, int], *, now: datetime) -> None:
    """Record the fleet as it is at *now*, unless another server has in this minute.

    *reports* are those that this server has stored since it did this last, by namespace; each
    server adds its own.
    """
    is_first = tx.count_trends(now)
    tx.add_trend_reports(reports, now)
    tx.sum_up_trends(now)
    if is_first:
        tx.prune_trends(now)


def trends(
    tx: Transaction, namespace: str, age: timedelta, *, now: datetime
) -> Sequence[TrendPoint]:
    """The trends of *namespace* in the time *age* before *now*, the oldest first."""
    return tx.trend_points(namespace, series_of(age), now - age)

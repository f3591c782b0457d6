"""Trends of namespaces."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from cloud.core.readiness import STALE_AFTER_INTERVALS
from cloud.core.trends import HOURS, MINUTES, NAMESPACES_KEPT, TrendPoint, TrendSeries
from cloud.store.parts.part import TransactionPart
from cloud.store.rows import Parameters, micros
from cloud.store.statements import statement

ANY_TREND_POINT = statement(
    "SELECT 1 FROM trend_point WHERE step = :step AND slot = :slot LIMIT 1",
    reads={"trend_point"},
)
# Looks at every node, as the counts of an overview do: 15 ms of 100,000, once in a minute.
COUNT_TREND_POINTS = statement(
    """
    INSERT INTO trend_point (step, slot, namespace, nodes, online, converged, reports, samples)
    SELECT CAST(:step AS BIGINT), CAST(:slot AS BIGINT), namespace, count(*),
        sum(CASE WHEN heard IS NOT NULL AND revoked = 0
            AND :now - heard < :quiet * report_interval THEN 1 ELSE 0 END),
        sum(CASE WHEN deploy = 'converged' THEN 1 ELSE 0 END), 0, 1
    FROM node_status WHERE TRUE GROUP BY namespace ORDER BY count(*) DESC, namespace LIMIT :limit
    """,
    reads={"node_status"},
    writes={"trend_point"},
)
ADD_TREND_REPORTS = statement(
    """
    UPDATE trend_point SET reports = reports + :reports
    WHERE step = :step AND slot = :slot AND namespace = :namespace
    """,
    writes={"trend_point"},
)
SUM_UP_HOUR = statement(
    """
    INSERT INTO trend_point (step, slot, namespace, nodes, online, converged, reports, samples)
    SELECT CAST(:hour_step AS BIGINT), CAST(:hour AS BIGINT), namespace,
        CAST(round(avg(nodes)) AS BIGINT), CAST(round(avg(online)) AS BIGINT),
        CAST(round(avg(converged)) AS BIGINT), CAST(sum(reports) AS BIGINT), count(*)
    FROM trend_point AS minute
    WHERE step = :step AND slot >= :first AND slot < :end GROUP BY namespace
    ON CONFLICT (step, slot, namespace) DO UPDATE SET nodes = excluded.nodes,
        online = excluded.online, converged = excluded.converged, reports = excluded.reports,
        samples = excluded.samples
    """,
    writes={"trend_point"},
)
DELETE_TREND_POINTS = statement(
    "DELETE FROM trend_point WHERE step = :step AND slot < :first",
    writes={"trend_point"},
)
TREND_POINTS = statement(
    """
    SELECT slot, nodes, online, converged, reports, samples FROM trend_point
    WHERE namespace = :namespace AND step = :step AND slot > :after ORDER BY slot
    """,
    reads={"trend_point"},
)


class TrendPart(TransactionPart):
    """Trends."""

    def count_trends(self, now: datetime) -> bool:
        """Put the points of the minute of *now*; False if there are some already."""
        own: Parameters = {"step": MINUTES.seconds, "slot": MINUTES.slot(now)}
        if self._run(ANY_TREND_POINT, own):
            return False
        bounds = {"quiet": STALE_AFTER_INTERVALS, "limit": NAMESPACES_KEPT}
        self._run(COUNT_TREND_POINTS, {**own, **bounds, "now": micros(now)})
        return True

    def add_trend_reports(self, reports: Mapping[str, int], now: datetime) -> None:
        """Add so many *reports* of each namespace to its point of the minute, if it has one."""
        place: Parameters = {"step": MINUTES.seconds, "slot": MINUTES.slot(now)}
        rows: list[Parameters] = [
            {**place, "namespace": namespace, "reports": count}
            for namespace, count in sorted(reports.items())
        ]
        self._run.each(ADD_TREND_REPORTS, rows)

    def sum_up_trends(self, now: datetime) -> None:
        """Put the points of the hour of *now* in place, from those of its minutes."""
        hour = HOURS.slot(now)
        minutes = HOURS.seconds // MINUTES.seconds
        self._run(
            SUM_UP_HOUR,
            {
                "hour_step": HOURS.seconds,
                "hour": hour,
                "step": MINUTES.seconds,
                "first": hour * minutes,
                "end": (hour + 1) * minutes,
            },
        )

    def prune_trends(self, now: datetime) -> None:
        """Delete points that are older than their series keeps them."""
        for series in (MINUTES, HOURS):
            first = series.slot(now - series.age)
            self._run(DELETE_TREND_POINTS, {"step": series.seconds, "first": first})

    def trend_points(
        self, namespace: str, series: TrendSeries, since: datetime
    ) -> Sequence[TrendPoint]:
        """Points of the namespace that begin after *since*, the oldest first."""
        where: Parameters = {
            "namespace": namespace,
            "step": series.seconds,
            "after": series.slot(since),
        }
        return [
            TrendPoint(
                *(series.time(slot), nodes, online, converged),
                reports / (samples * MINUTES.seconds),
            )
            for slot, nodes, online, converged, reports, samples in self._run(TREND_POINTS, where)
        ]

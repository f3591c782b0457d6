"""Trends of a fleet: a point each minute for a day, and one each hour for thirty days."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

NAMESPACES_KEPT = 100
"""Namespaces that have trends, at most: those with the most nodes."""


@dataclass(frozen=True, slots=True)
class TrendSeries:
    """Points one *step* apart that are kept for *age*."""

    step: timedelta
    age: timedelta

    @property
    def seconds(self) -> int:
        """Seconds between two points."""
        return int(self.step.total_seconds())

    def slot(self, moment: datetime) -> int:
        """The number of the step that *moment* is in."""
        return int(moment.timestamp()) // self.seconds

    def time(self, slot: int) -> datetime:
        """When the step of that number begins."""
        return datetime.fromtimestamp(slot * self.seconds, UTC)


MINUTES = TrendSeries(timedelta(minutes=1), timedelta(days=1))
HOURS = TrendSeries(timedelta(hours=1), timedelta(days=30))


def series_of(age: timedelta) -> TrendSeries:
    """The finest series that goes back that far."""
    return MINUTES if age <= MINUTES.age else HOURS


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """A namespace in the step that begins at *time*: how many nodes, online ones, converged ones.

    In an hour these are means of its minutes. *reports_per_second* is of the time before.
    """

    time: datetime
    nodes: int
    online: int
    converged: int
    reports_per_second: float


def seconds_to_next(moment: datetime, series: TrendSeries) -> float:
    """Seconds from *moment* to the beginning of the next step."""
    return series.seconds - moment.timestamp() % series.seconds

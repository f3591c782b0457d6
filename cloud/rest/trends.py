"""Trends of a namespace: the handler, and its row of the route table."""

from collections.abc import Sequence
from datetime import timedelta

from cloud.answers.trends import TrendPointAnswer, TrendsAnswer
from cloud.core.times import time_text
from cloud.core.trends import HOURS, series_of
from cloud.errors import Invalid
from cloud.operations.trends import trends
from cloud.rest.context import RequestContext
from cloud.rest.described import Described, Parameter
from cloud.rest.route import ApiRoute

_MOST_HOURS = HOURS.age // timedelta(hours=1)


async def get_trends(context: RequestContext) -> TrendsAnswer:
    """`GET /v1/trends`: the oldest first."""
    hours = context.number("hours", 24)
    if not 1 <= hours <= _MOST_HOURS:
        raise Invalid("hours", f"is not between 1 and {_MOST_HOURS}")
    age = timedelta(hours=hours)
    points = await context.store.read(
        lambda tx: trends(tx, context.namespace, age, now=context.now)
    )
    return TrendsAnswer(
        series_of(age).seconds,
        [
            TrendPointAnswer(
                time=time_text(point.time),
                nodes=point.nodes,
                online=point.online,
                converged=point.converged,
                reports_per_second=round(point.reports_per_second, 3),
            )
            for point in points
        ],
    )


TREND_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/trends",
        get_trends,
        Described(
            "Nodes online and converged, and reports per second, over time",
            TrendsAnswer,
            query=(Parameter("hours", "how far back, 24 where not given", _MOST_HOURS),),
        ),
        needs="read overview",
    ),
)

"""The rows of the API's table that show a fleet in figures; `routes` has all of them."""

from collections.abc import Sequence

from cloud.rest import overview
from cloud.rest.described import Described
from cloud.rest.overview_shapes import OverviewAnswer, RolloutAnswer, UsageAnswer
from cloud.rest.route import ApiRoute

OVERVIEW_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/overview",
        overview.get_overview,
        Described("A namespace at a glance", OverviewAnswer),
    ),
    ApiRoute(
        "GET",
        "/v1/apps/{name}/rollout",
        overview.get_rollout,
        Described("How far an app has come", RolloutAnswer),
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/usage",
        overview.get_usage,
        Described("What a node used in the last day", UsageAnswer),
    ),
)

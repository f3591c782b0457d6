"""The rows of the API's table that are about events."""

from collections.abc import Sequence

from cloud.http.answers import EVENT_STREAM
from cloud.rest import events
from cloud.rest.described import FOLLOWED, Described
from cloud.rest.event_shapes import EventAnswer
from cloud.rest.route import ApiRoute
from cloud.rest.shapes import Listed

EVENT_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/events",
        events.list_events,
        Described(
            "What happened",
            Listed[EventAnswer],
            query=FOLLOWED,
            refusals=(410,),
            stream=EVENT_STREAM,
        ),
    ),
)

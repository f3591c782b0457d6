"""The guard of a namespace: its handlers, and their rows of the table of routes."""

from collections.abc import Sequence

import msgspec

from cloud.core.decoding import convert
from cloud.core.guard import GuardSpec
from cloud.core.tokens import Role
from cloud.operations import plans
from cloud.rest.call import Call
from cloud.rest.described import Body, Described
from cloud.rest.route import ApiRoute
from cloud.rest.shapes import Answer
from cloud.rest.views import View


class GuardAnswer(Answer):
    """Changes of more than `maxShare` of all nodes, and of `minNodes` or more, are confirmed."""

    max_share: float
    min_nodes: int


async def get_guard(call: Call) -> View:
    """`GET /v1/guard`."""
    found = await call.store.read(lambda tx: plans.read_guard(tx, call.namespace))
    view: View = msgspec.to_builtins(found.spec)
    return view


async def put_guard(call: Call) -> View:
    """`PUT /v1/guard`."""
    spec = convert(await call.content(ignored=frozenset()), GuardSpec)
    kept = await call.store.write(lambda tx: plans.put_guard(tx, call.namespace, spec))
    view: View = msgspec.to_builtins(kept.spec)
    return view


GUARD_ROUTES: Sequence[ApiRoute] = (
    ApiRoute("GET", "/v1/guard", get_guard, Described("Guard of a namespace", GuardAnswer)),
    ApiRoute(
        "PUT",
        "/v1/guard",
        put_guard,
        Described("Have large changes confirmed", GuardAnswer, Body(GuardSpec)),
        needs=Role.ADMIN,
    ),
)

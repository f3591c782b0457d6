"""The guard of a namespace: handlers, and rows of the route table."""

from collections.abc import Sequence

from cloud.answers.guard import GuardAnswer
from cloud.core.decoding import convert
from cloud.core.guard import ChangeGuard, GuardSpec
from cloud.operations import plans
from cloud.rest.context import RequestContext
from cloud.rest.described import Body, Described
from cloud.rest.route import ApiRoute


async def get_guard(context: RequestContext) -> GuardAnswer:
    """`GET /v1/guard`."""
    return _answer(await context.store.read(lambda tx: plans.read_guard(tx, context.namespace)))


async def put_guard(context: RequestContext) -> GuardAnswer:
    """`PUT /v1/guard`."""
    spec = convert(await context.content(ignored=frozenset()), GuardSpec)
    return _answer(
        await context.store.write(lambda tx: plans.put_guard(tx, context.namespace, spec))
    )


def _answer(guard: ChangeGuard) -> GuardAnswer:
    return GuardAnswer(guard.spec.max_share, guard.spec.min_nodes)


GUARD_ROUTES: Sequence[ApiRoute] = (
    ApiRoute("GET", "/v1/guard", get_guard, Described("Guard of a namespace", GuardAnswer)),
    ApiRoute(
        "PUT",
        "/v1/guard",
        put_guard,
        Described("Have large changes confirmed", GuardAnswer, Body(GuardSpec)),
    ),
)

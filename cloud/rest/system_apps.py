"""System apps that nodes are given: handlers, and rows of the route table."""

from collections.abc import Sequence

from cloud.answers.system_apps import SystemAppsAnswer
from cloud.core.decoding import convert
from cloud.core.system_apps import SystemApps, SystemAppsSpec
from cloud.operations import system_apps
from cloud.rest.context import RequestContext, ResourceResponse
from cloud.rest.described import Body, Described
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction


async def get_system_apps(context: RequestContext) -> ResourceResponse[SystemAppsAnswer]:
    """`GET /v1/sysapps`."""
    return _shown(
        await context.store.read(lambda tx: system_apps.read_system_apps(tx, context.namespace))
    )


async def put_system_apps(context: RequestContext) -> ResourceResponse[SystemAppsAnswer]:
    """`PUT /v1/sysapps`: what is left out is none, or its default."""
    spec = convert(await context.content(ignored=frozenset()), SystemAppsSpec)
    precondition = context.precondition()

    def put(tx: Transaction) -> SystemApps:
        precondition.check(lambda: system_apps.read_system_apps(tx, context.namespace))
        return system_apps.put_system_apps(tx, context.namespace, spec, now=context.now)

    return _shown(await context.store.write(put))


def _shown(system: SystemApps) -> ResourceResponse[SystemAppsAnswer]:
    spec = system.spec
    answer = SystemAppsAnswer(
        modules=spec.modules,
        selector=spec.selector,
        address=spec.address,
        host_path=spec.host_path,
        include_native=spec.include_native,
    )
    return ResourceResponse(answer, system, is_secret=True)


SYSTEM_APP_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/sysapps",
        get_system_apps,
        Described("System apps that nodes are given", SystemAppsAnswer),
    ),
    ApiRoute(
        "PUT",
        "/v1/sysapps",
        put_system_apps,
        Described("Give nodes system apps", SystemAppsAnswer, Body(SystemAppsSpec)),
    ),
)

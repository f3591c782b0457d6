"""Registries: the handlers of their own, and rows of the route table.

No answer shows a password.
"""

from collections.abc import Sequence

from cloud.answers.registries import RegistryAnswer
from cloud.core.decoding import convert
from cloud.core.registry import Registry, RegistrySpec
from cloud.core.times import time_text
from cloud.operations import registries
from cloud.operations.kinds import REGISTRIES
from cloud.operations.registries import NewPassword, RegistryChange
from cloud.rest.context import RequestContext, ResourceResponse
from cloud.rest.crud import Crud, crud_routes
from cloud.rest.described import ROLLOUT_QUERY, Body, Described
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction


def _answer(_: RequestContext, registry: Registry) -> RegistryAnswer:
    return RegistryAnswer(
        name=registry.name,
        namespace=registry.namespace,
        address=registry.spec.address,
        username=registry.spec.username,
        description=registry.spec.description,
        version=registry.version,
        create_time=time_text(registry.created),
        update_time=time_text(registry.updated),
    )


def _respond(
    context: RequestContext, _: Transaction, registry: Registry
) -> ResourceResponse[RegistryAnswer]:
    return ResourceResponse(_answer(context, registry), registry)


def _changed(spec: RegistrySpec) -> RegistryChange:
    return RegistryChange(spec.description, spec.address, spec.username, spec.password)


def _describe(
    context: RequestContext, tx: Transaction, name: str, change: RegistryChange
) -> Registry:
    return registries.describe_registry(tx, context.namespace, name, change, now=context.now)


async def refresh_registry(context: RequestContext) -> ResourceResponse[RegistryAnswer]:
    """`POST /v1/registries/{name}/refresh`."""
    content = await context.content(ignored=frozenset())
    name, password = context.path("name"), convert(content, NewPassword).password
    precondition = context.precondition()

    def refresh(tx: Transaction) -> ResourceResponse[RegistryAnswer]:
        precondition.check(lambda: registries.existing_registry(tx, context.namespace, name))
        after = registries.refresh_registry(tx, context.namespace, name, password, now=context.now)
        return _respond(context, tx, after)

    return await context.store.write(refresh)


REGISTRY_ROUTES: Sequence[ApiRoute] = (
    *crud_routes(
        Crud(
            REGISTRIES,
            _answer,
            RegistryAnswer,
            _respond,
            RegistryAnswer,
            change=RegistryChange,
            changed=_changed,
            update=_describe,
        )
    ),
    ApiRoute(
        "POST",
        "/v1/registries/{name}/refresh",
        refresh_registry,
        Described(
            "Replace a registry's password", RegistryAnswer, Body(NewPassword), ROLLOUT_QUERY
        ),
    ),
)

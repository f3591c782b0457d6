"""Handlers: registries. No answer shows a password."""

from cloud.core.app import App, UseKind
from cloud.core.decoding import convert
from cloud.core.listing import Page
from cloud.core.registry import RegistrySpec
from cloud.operations import apps, registries
from cloud.operations.registries import NewPassword, RegistryChange
from cloud.rest.call import DONE, Call, take_name
from cloud.rest.views import View, app_summary, registry_view
from cloud.store.interface import Transaction

_READ_ONLY = frozenset({"namespace", "version", "createTime", "updateTime"})


async def create_registry(call: Call) -> View:
    """`POST /v1/registries`."""
    content = await call.content(ignored=_READ_ONLY)
    name, spec = take_name(content), convert(content, RegistrySpec)
    registry = await call.store.write(
        lambda tx: registries.create_registry(tx, call.namespace, name, spec, now=call.now)
    )
    return registry_view(registry)


async def describe_registry(call: Call) -> View:
    """`PUT /v1/registries/{name}`."""
    content = await call.content(ignored=_READ_ONLY | {"name"})
    name, change = call.path("name"), convert(content, RegistryChange)
    registry = await call.store.write(
        lambda tx: registries.describe_registry(tx, call.namespace, name, change, now=call.now)
    )
    return registry_view(registry)


async def refresh_registry(call: Call) -> View:
    """`POST /v1/registries/{name}/refresh`."""
    content = await call.content(ignored=frozenset())
    name, password = call.path("name"), convert(content, NewPassword).password
    registry = await call.store.write(
        lambda tx: registries.refresh_registry(tx, call.namespace, name, password, now=call.now)
    )
    return registry_view(registry)


async def get_registry(call: Call) -> View:
    """`GET /v1/registries/{name}`."""
    name = call.path("name")
    return registry_view(
        await call.store.read(lambda tx: registries.existing_registry(tx, call.namespace, name))
    )


async def list_registries(call: Call) -> View:
    """`GET /v1/registries`."""
    options = call.list_options()
    page = await call.store.read(lambda tx: registries.list_registries(tx, call.namespace, options))
    return call.list_view(page, options, registry_view)


async def delete_registry(call: Call) -> View:
    """`DELETE /v1/registries/{name}`."""
    name = call.path("name")
    await call.store.write(lambda tx: registries.delete_registry(tx, call.namespace, name))
    return DONE


async def list_apps(call: Call) -> View:
    """`GET /v1/registries/{name}/apps`."""
    name, options = call.path("name"), call.list_options()

    def related(tx: Transaction) -> Page[App]:
        registries.existing_registry(tx, call.namespace, name)
        return apps.list_apps_using(tx, call.namespace, UseKind.REGISTRY, name, options)

    return call.list_view(await call.store.read(related), options, app_summary)

"""Handlers: registries. No answer shows a password."""

from collections.abc import Callable

import msgspec

from cloud.core.app import App, UseKind
from cloud.core.decoding import convert
from cloud.core.listing import Page
from cloud.core.merge_patch import merged
from cloud.core.registry import Registry, RegistrySpec
from cloud.operations import apps, registries
from cloud.operations.registries import NewPassword, RegistryChange
from cloud.rest.call import DONE, Call, Shown, take_name
from cloud.rest.views import View, app_summary, registry_view
from cloud.store.interface import Transaction

_READ_ONLY = frozenset({"namespace", "version", "createTime", "updateTime"})


async def create_registry(call: Call) -> Shown:
    """`POST /v1/registries`."""
    content = await call.content(ignored=_READ_ONLY)
    name, spec = take_name(content), convert(content, RegistrySpec)
    registry = await call.store.write(
        lambda tx: registries.create_registry(tx, call.namespace, name, spec, now=call.now)
    )
    return _shown(registry)


async def describe_registry(call: Call) -> Shown:
    """`PUT /v1/registries/{name}`."""
    change = convert(await call.content(ignored=_READ_ONLY | {"name"}), RegistryChange)
    return await _describe(call, lambda _: change)


async def patch_registry(call: Call) -> Shown:
    """`PATCH /v1/registries/{name}`: as PUT, of what the merge patch makes of the registry."""
    patch = await call.patch(ignored=_READ_ONLY | {"name"})

    def wanted(registry: Registry) -> RegistryChange:
        spec = convert(merged(msgspec.to_builtins(registry.spec), patch), RegistrySpec)
        return RegistryChange(spec.description, spec.address, spec.username, spec.password)

    return await _describe(call, wanted)


async def _describe(call: Call, wanted: Callable[[Registry], RegistryChange]) -> Shown:
    name, precondition = call.path("name"), call.precondition()

    def describe(tx: Transaction) -> Registry:
        before = registries.existing_registry(tx, call.namespace, name)
        precondition.check(lambda: before)
        change = wanted(before)
        return registries.describe_registry(tx, call.namespace, name, change, now=call.now)

    return _shown(await call.store.write(describe))


async def refresh_registry(call: Call) -> Shown:
    """`POST /v1/registries/{name}/refresh`."""
    content = await call.content(ignored=frozenset())
    name, password = call.path("name"), convert(content, NewPassword).password
    precondition = call.precondition()

    def refresh(tx: Transaction) -> Registry:
        precondition.check(lambda: registries.existing_registry(tx, call.namespace, name))
        return registries.refresh_registry(tx, call.namespace, name, password, now=call.now)

    return _shown(await call.store.write(refresh))


async def get_registry(call: Call) -> Shown:
    """`GET /v1/registries/{name}`."""
    name = call.path("name")
    return _shown(
        await call.store.read(lambda tx: registries.existing_registry(tx, call.namespace, name))
    )


async def list_registries(call: Call) -> View:
    """`GET /v1/registries`."""
    options = call.list_options()
    page = await call.store.read(lambda tx: registries.list_registries(tx, call.namespace, options))
    return call.list_view(page, options, registry_view)


async def delete_registry(call: Call) -> View:
    """`DELETE /v1/registries/{name}`."""
    name, precondition = call.path("name"), call.precondition()

    def delete(tx: Transaction) -> None:
        precondition.check(lambda: registries.existing_registry(tx, call.namespace, name))
        registries.delete_registry(tx, call.namespace, name)

    await call.store.write(delete)
    return DONE


async def list_apps(call: Call) -> View:
    """`GET /v1/registries/{name}/apps`."""
    name, options = call.path("name"), call.list_options()

    def related(tx: Transaction) -> Page[App]:
        registries.existing_registry(tx, call.namespace, name)
        return apps.list_apps_using(tx, call.namespace, UseKind.REGISTRY, name, options)

    return call.list_view(await call.store.read(related), options, app_summary)


def _shown(registry: Registry) -> Shown:
    return Shown(registry_view(registry), registry)

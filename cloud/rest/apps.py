"""Handlers: apps."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from cloud.core.app import App, AppSpec
from cloud.core.decoding import convert
from cloud.core.merge_patch import merged
from cloud.operations import apps, registries
from cloud.rest.call import DONE, Call, Shown, take_name
from cloud.rest.views import View, app_summary, app_view
from cloud.store.interface import Transaction

_READ_ONLY = frozenset({"namespace", "select", "version", "createTime", "updateTime"})


async def create_app(call: Call) -> Shown:
    """`POST /v1/apps`; what the body leaves out is taken from the app that `from` names."""
    source, base = call.query("from"), call.query("base")
    content = await call.content(ignored=_READ_ONLY)
    name = take_name(content)

    def create(tx: Transaction) -> Shown:
        wanted = content
        if source:
            copied = apps.existing_app(tx, call.namespace, source).spec
            wanted = {**msgspec.to_builtins(copied), **content}
        spec = convert(wanted, AppSpec)
        runtimes = call.api.function_runtimes
        app = apps.create_app(
            tx, call.namespace, name, spec, now=call.now, runtimes=runtimes, base=base
        )
        return _shown(tx, app)

    return await call.store.write(create)


async def update_app(call: Call) -> Shown:
    """`PUT /v1/apps/{name}`; the type may be left out, as the page does."""
    content = await call.content(ignored=_READ_ONLY | {"name"})
    return await _update(call, lambda _: content)


async def patch_app(call: Call) -> Shown:
    """`PATCH /v1/apps/{name}`: as PUT, of what the merge patch makes of the app."""
    patch = await call.patch(ignored=_READ_ONLY | {"name"})
    return await _update(call, lambda app: merged(msgspec.to_builtins(app.spec), patch))


async def _update(call: Call, wanted: Callable[[App], Mapping[str, Any]]) -> Shown:
    name, precondition = call.path("name"), call.precondition()

    def update(tx: Transaction) -> Shown:
        before = apps.existing_app(tx, call.namespace, name)
        precondition.check(lambda: before)
        spec = convert({"type": before.spec.type.value, **wanted(before)}, AppSpec)
        runtimes = call.api.function_runtimes
        app = apps.update_app(tx, call.namespace, name, spec, now=call.now, runtimes=runtimes)
        return _shown(tx, app)

    return await call.store.write(update)


async def get_app(call: Call) -> Shown:
    """`GET /v1/apps/{name}`."""
    name = call.path("name")
    return await call.store.read(lambda tx: _shown(tx, apps.existing_app(tx, call.namespace, name)))


async def list_apps(call: Call) -> View:
    """`GET /v1/apps`."""
    options = call.list_options()
    page = await call.store.read(lambda tx: apps.list_apps(tx, call.namespace, options))
    return call.list_view(page, options, app_summary)


async def delete_app(call: Call) -> View:
    """`DELETE /v1/apps/{name}`."""
    name, precondition = call.path("name"), call.precondition()

    def delete(tx: Transaction) -> None:
        precondition.check(lambda: apps.existing_app(tx, call.namespace, name))
        apps.delete_app(tx, call.namespace, name)

    await call.store.write(delete)
    return DONE


def _shown(tx: Transaction, app: App) -> Shown:
    """An app's tag says nothing of the versions of its registries."""
    view = app_view(app, registries.registry_versions(tx, app))
    return Shown(view, app, is_whole=not app.spec.registries)

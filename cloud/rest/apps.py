"""Handlers: apps."""

import msgspec

from cloud.core.app import App, AppSpec
from cloud.core.decoding import convert
from cloud.operations import apps, registries
from cloud.rest.call import DONE, Call, take_name
from cloud.rest.views import View, app_summary, app_view
from cloud.store.interface import Transaction

_READ_ONLY = frozenset({"namespace", "version", "createTime", "updateTime"})


async def create_app(call: Call) -> View:
    """`POST /v1/apps`; what the body leaves out is taken from the app that `from` names."""
    query = call.request.query_params
    source, base = query.get("from", ""), query.get("base", "")
    content = await call.content(ignored=_READ_ONLY)
    name = take_name(content)

    def create(tx: Transaction) -> View:
        wanted = content
        if source:
            copied = apps.existing_app(tx, call.namespace, source).spec
            wanted = {**msgspec.to_builtins(copied), **content}
        spec = convert(wanted, AppSpec)
        runtimes = call.api.function_runtimes
        app = apps.create_app(
            tx, call.namespace, name, spec, now=call.now, runtimes=runtimes, base=base
        )
        return _view(tx, app)

    return await call.store.write(create)


async def update_app(call: Call) -> View:
    """`PUT /v1/apps/{name}`; the type may be left out, as the page does."""
    content = await call.content(ignored=_READ_ONLY | {"name"})
    name = call.path("name")

    def update(tx: Transaction) -> View:
        before = apps.existing_app(tx, call.namespace, name)
        spec = convert({"type": before.spec.type.value, **content}, AppSpec)
        runtimes = call.api.function_runtimes
        app = apps.update_app(tx, call.namespace, name, spec, now=call.now, runtimes=runtimes)
        return _view(tx, app)

    return await call.store.write(update)


async def get_app(call: Call) -> View:
    """`GET /v1/apps/{name}`."""
    name = call.path("name")
    return await call.store.read(lambda tx: _view(tx, apps.existing_app(tx, call.namespace, name)))


async def list_apps(call: Call) -> View:
    """`GET /v1/apps`."""
    options = call.list_options()
    page = await call.store.read(lambda tx: apps.list_apps(tx, call.namespace, options))
    return call.list_view(page, options, app_summary)


async def delete_app(call: Call) -> View:
    """`DELETE /v1/apps/{name}`."""
    name = call.path("name")
    await call.store.write(lambda tx: apps.delete_app(tx, call.namespace, name))
    return DONE


def _view(tx: Transaction, app: App) -> View:
    return app_view(app, registries.registry_versions(tx, app))

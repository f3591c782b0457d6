"""Handlers: apps."""

from cloud.core.app import App, AppSpec
from cloud.core.decoding import convert
from cloud.errors import Invalid
from cloud.operations import apps, registries
from cloud.rest.call import DONE, Call, take_name
from cloud.rest.views import View, app_summary, app_view, list_view
from cloud.store.interface import Transaction

_READ_ONLY = frozenset({"namespace", "version", "createTime", "updateTime"})


async def create_app(call: Call) -> View:
    """`POST /v1/apps`."""
    for parameter in ("from", "base"):
        if parameter in call.request.query_params:
            raise Invalid(parameter, "is not supported")
    content = await call.content(ignored=_READ_ONLY)
    name, spec = take_name(content), convert(content, AppSpec)

    def create(tx: Transaction) -> View:
        return _view(tx, apps.create_app(tx, call.namespace, name, spec, now=call.now))

    return await call.store.write(create)


async def update_app(call: Call) -> View:
    """`PUT /v1/apps/{name}`; the type may be left out, as the page does."""
    content = await call.content(ignored=_READ_ONLY | {"name"})
    name = call.path("name")

    def update(tx: Transaction) -> View:
        before = apps.existing_app(tx, call.namespace, name)
        spec = convert({"type": before.spec.type.value, **content}, AppSpec)
        return _view(tx, apps.update_app(tx, call.namespace, name, spec, now=call.now))

    return await call.store.write(update)


async def get_app(call: Call) -> View:
    """`GET /v1/apps/{name}`."""
    name = call.path("name")
    return await call.store.read(lambda tx: _view(tx, apps.existing_app(tx, call.namespace, name)))


async def list_apps(call: Call) -> View:
    """`GET /v1/apps`."""
    options = call.list_options()
    page = await call.store.read(lambda tx: apps.list_apps(tx, call.namespace, options))
    return list_view(page, options, app_summary)


async def delete_app(call: Call) -> View:
    """`DELETE /v1/apps/{name}`."""
    name = call.path("name")
    await call.store.write(lambda tx: apps.delete_app(tx, call.namespace, name))
    return DONE


def _view(tx: Transaction, app: App) -> View:
    return app_view(app, registries.registry_versions(tx, app))

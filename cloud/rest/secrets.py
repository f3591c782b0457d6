"""Handlers: secrets."""

from cloud.core.app import App, UseKind
from cloud.core.decoding import convert
from cloud.core.listing import Page
from cloud.core.secret import SecretSpec
from cloud.operations import apps, secrets
from cloud.rest.call import DONE, Call, take_name
from cloud.rest.views import View, app_summary, secret_summary, secret_view
from cloud.store.interface import Transaction

_READ_ONLY = frozenset({"namespace", "version", "createTime", "updateTime"})


async def create_secret(call: Call) -> View:
    """`POST /v1/secrets`."""
    content = await call.content(ignored=_READ_ONLY)
    name, spec = take_name(content), convert(content, SecretSpec)
    secret = await call.store.write(
        lambda tx: secrets.create_secret(tx, call.namespace, name, spec, now=call.now)
    )
    return secret_view(secret)


async def update_secret(call: Call) -> View:
    """`PUT /v1/secrets/{name}`."""
    content = await call.content(ignored=_READ_ONLY | {"name"})
    name, spec = call.path("name"), convert(content, SecretSpec)
    secret = await call.store.write(
        lambda tx: secrets.update_secret(tx, call.namespace, name, spec, now=call.now)
    )
    return secret_view(secret)


async def get_secret(call: Call) -> View:
    """`GET /v1/secrets/{name}`."""
    name = call.path("name")
    return secret_view(
        await call.store.read(lambda tx: secrets.existing_secret(tx, call.namespace, name))
    )


async def list_secrets(call: Call) -> View:
    """`GET /v1/secrets`."""
    options = call.list_options()
    page = await call.store.read(lambda tx: secrets.list_secrets(tx, call.namespace, options))
    return call.list_view(page, options, secret_summary)


async def delete_secret(call: Call) -> View:
    """`DELETE /v1/secrets/{name}`."""
    name = call.path("name")
    await call.store.write(lambda tx: secrets.delete_secret(tx, call.namespace, name))
    return DONE


async def list_apps(call: Call) -> View:
    """`GET /v1/secrets/{name}/apps`."""
    name, options = call.path("name"), call.list_options()

    def related(tx: Transaction) -> Page[App]:
        secrets.existing_secret(tx, call.namespace, name)
        return apps.list_apps_using(tx, call.namespace, UseKind.SECRET, name, options)

    return call.list_view(await call.store.read(related), options, app_summary)

"""Handlers: secrets."""

from collections.abc import Callable

import msgspec

from cloud.core.app import App, UseKind
from cloud.core.decoding import convert
from cloud.core.listing import Page
from cloud.core.merge_patch import merged
from cloud.core.secret import Secret, SecretSpec
from cloud.operations import apps, secrets
from cloud.rest.call import DONE, Call, Shown, take_name
from cloud.rest.views import View, app_summary, secret_summary, secret_view
from cloud.store.interface import Transaction

_READ_ONLY = frozenset({"namespace", "version", "createTime", "updateTime"})


async def create_secret(call: Call) -> Shown:
    """`POST /v1/secrets`."""
    content = await call.content(ignored=_READ_ONLY)
    name, spec = take_name(content), convert(content, SecretSpec)
    secret = await call.store.write(
        lambda tx: secrets.create_secret(tx, call.namespace, name, spec, now=call.now)
    )
    return _shown(secret)


async def update_secret(call: Call) -> Shown:
    """`PUT /v1/secrets/{name}`."""
    spec = convert(await call.content(ignored=_READ_ONLY | {"name"}), SecretSpec)
    return await _update(call, lambda _: spec)


async def patch_secret(call: Call) -> Shown:
    """`PATCH /v1/secrets/{name}`: as PUT, of what the merge patch makes of the secret."""
    patch = await call.patch(ignored=_READ_ONLY | {"name"})
    return await _update(
        call, lambda secret: convert(merged(msgspec.to_builtins(secret.spec), patch), SecretSpec)
    )


async def _update(call: Call, wanted: Callable[[Secret], SecretSpec]) -> Shown:
    name, precondition = call.path("name"), call.precondition()

    def update(tx: Transaction) -> Secret:
        before = secrets.existing_secret(tx, call.namespace, name)
        precondition.check(lambda: before)
        return secrets.update_secret(tx, call.namespace, name, wanted(before), now=call.now)

    return _shown(await call.store.write(update))


async def get_secret(call: Call) -> Shown:
    """`GET /v1/secrets/{name}`."""
    name = call.path("name")
    return _shown(
        await call.store.read(lambda tx: secrets.existing_secret(tx, call.namespace, name))
    )


async def list_secrets(call: Call) -> View:
    """`GET /v1/secrets`."""
    options = call.list_options()
    page = await call.store.read(lambda tx: secrets.list_secrets(tx, call.namespace, options))
    return call.list_view(page, options, secret_summary)


async def delete_secret(call: Call) -> View:
    """`DELETE /v1/secrets/{name}`."""
    name, precondition = call.path("name"), call.precondition()

    def delete(tx: Transaction) -> None:
        precondition.check(lambda: secrets.existing_secret(tx, call.namespace, name))
        secrets.delete_secret(tx, call.namespace, name)

    await call.store.write(delete)
    return DONE


async def list_apps(call: Call) -> View:
    """`GET /v1/secrets/{name}/apps`."""
    name, options = call.path("name"), call.list_options()

    def related(tx: Transaction) -> Page[App]:
        secrets.existing_secret(tx, call.namespace, name)
        return apps.list_apps_using(tx, call.namespace, UseKind.SECRET, name, options)

    return call.list_view(await call.store.read(related), options, app_summary)


def _shown(secret: Secret) -> Shown:
    return Shown(secret_view(secret), secret)

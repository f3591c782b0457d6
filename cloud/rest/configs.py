"""Handlers: configs."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from cloud.core.app import App, UseKind
from cloud.core.config import Config, ConfigSpec, KeyValue
from cloud.core.decoding import convert
from cloud.core.listing import Page
from cloud.core.merge_patch import merged
from cloud.errors import Invalid
from cloud.operations import apps, configs
from cloud.rest.call import DONE, Call, Shown, take_name
from cloud.rest.views import View, app_summary, config_summary, config_view
from cloud.store.interface import Transaction

_READ_ONLY = frozenset({"namespace", "version", "createTime", "updateTime"})


def _spec(call: Call, content: Mapping[str, Any]) -> ConfigSpec:
    """Read what is to be kept; Invalid where no node could be given what it names."""
    spec = convert(content, ConfigSpec)
    check_can_sign(call, spec)
    return spec


def check_can_sign(call: Call, spec: ConfigSpec) -> None:
    """Invalid where the config names objects whose URLs this server cannot sign."""
    for index, item in enumerate(spec.data):
        if not call.api.can_sign and not isinstance(item.value, KeyValue) and item.value.ak:
            raise Invalid(
                f"data[{index}].value.ak",
                "this server cannot sign URLs of objects; it needs edgesync[objects]",
            )


async def create_config(call: Call) -> Shown:
    """`POST /v1/configs`."""
    content = await call.content(ignored=_READ_ONLY)
    name, spec = take_name(content), _spec(call, content)
    config = await call.store.write(
        lambda tx: configs.create_config(tx, call.namespace, name, spec, now=call.now)
    )
    return _shown(config)


async def update_config(call: Call) -> Shown:
    """`PUT /v1/configs/{name}`."""
    spec = _spec(call, await call.content(ignored=_READ_ONLY | {"name"}))
    return await _update(call, lambda _: spec)


async def patch_config(call: Call) -> Shown:
    """`PATCH /v1/configs/{name}`: as PUT, of what the merge patch makes of the config."""
    patch = await call.patch(ignored=_READ_ONLY | {"name"})
    return await _update(
        call, lambda config: _spec(call, merged(msgspec.to_builtins(config.spec), patch))
    )


async def _update(call: Call, wanted: Callable[[Config], ConfigSpec]) -> Shown:
    name, precondition = call.path("name"), call.precondition()

    def update(tx: Transaction) -> Config:
        before = configs.existing_config(tx, call.namespace, name)
        precondition.check(lambda: before)
        return configs.update_config(tx, call.namespace, name, wanted(before), now=call.now)

    return _shown(await call.store.write(update))


async def get_config(call: Call) -> Shown:
    """`GET /v1/configs/{name}`."""
    name = call.path("name")
    return _shown(
        await call.store.read(lambda tx: configs.existing_config(tx, call.namespace, name))
    )


async def list_configs(call: Call) -> View:
    """`GET /v1/configs`."""
    options = call.list_options()
    page = await call.store.read(lambda tx: configs.list_configs(tx, call.namespace, options))
    return call.list_view(page, options, config_summary)


async def delete_config(call: Call) -> View:
    """`DELETE /v1/configs/{name}`."""
    name, precondition = call.path("name"), call.precondition()

    def delete(tx: Transaction) -> None:
        precondition.check(lambda: configs.existing_config(tx, call.namespace, name))
        configs.delete_config(tx, call.namespace, name)

    await call.store.write(delete)
    return DONE


async def list_apps(call: Call) -> View:
    """`GET /v1/configs/{name}/apps`."""
    name, options = call.path("name"), call.list_options()

    def related(tx: Transaction) -> Page[App]:
        configs.existing_config(tx, call.namespace, name)
        return apps.list_apps_using(tx, call.namespace, UseKind.CONFIG, name, options)

    return call.list_view(await call.store.read(related), options, app_summary)


def _shown(config: Config) -> Shown:
    return Shown(config_view(config), config)

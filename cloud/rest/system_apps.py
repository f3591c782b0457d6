"""Handlers: which system apps nodes are given."""

from typing import Any

import msgspec

from cloud.core.decoding import convert
from cloud.core.system_apps import SystemAppsSpec
from cloud.operations import system_apps
from cloud.rest.call import Call
from cloud.rest.views import View


async def get_system_apps(call: Call) -> View:
    """`GET /v1/sysapps`."""
    return _view(await call.store.read(lambda tx: system_apps.read_system_apps(tx, call.namespace)))


async def put_system_apps(call: Call) -> View:
    """`PUT /v1/sysapps`: what is left out is none, or its default."""
    spec = convert(await call.content(ignored=frozenset()), SystemAppsSpec)
    return _view(
        await call.store.write(
            lambda tx: system_apps.put_system_apps(tx, call.namespace, spec, now=call.now)
        )
    )


def _view(spec: SystemAppsSpec) -> View:
    view: dict[str, Any] = msgspec.to_builtins(spec)
    return view

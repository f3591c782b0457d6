"""Handlers: which system apps nodes are given."""

import msgspec

from cloud.core.decoding import convert
from cloud.core.system_apps import SystemApps, SystemAppsSpec
from cloud.operations import system_apps
from cloud.rest.call import Call, Shown
from cloud.store.interface import Transaction


async def get_system_apps(call: Call) -> Shown:
    """`GET /v1/sysapps`."""
    return _shown(
        await call.store.read(lambda tx: system_apps.read_system_apps(tx, call.namespace))
    )


async def put_system_apps(call: Call) -> Shown:
    """`PUT /v1/sysapps`: what is left out is none, or its default."""
    spec = convert(await call.content(ignored=frozenset()), SystemAppsSpec)
    precondition = call.precondition()

    def put(tx: Transaction) -> SystemApps:
        precondition.check(lambda: system_apps.read_system_apps(tx, call.namespace))
        return system_apps.put_system_apps(tx, call.namespace, spec, now=call.now)

    return _shown(await call.store.write(put))


def _shown(system: SystemApps) -> Shown:
    return Shown(msgspec.to_builtins(system.spec), system, is_secret=True)

"""Handlers: properties of nodes, their mode, and how their agents work."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from cloud.core.core_configuration import CoreConfiguration, Mode
from cloud.core.decoding import convert
from cloud.core.merge_patch import merged
from cloud.core.node import Node
from cloud.core.properties import Properties, WantedProperties
from cloud.operations import nodes, properties
from cloud.rest.call import Call, Shown
from cloud.rest.views import View, properties_view
from cloud.store.interface import Transaction

_READ_ONLY = frozenset({"metadata"})


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    desire: dict[str, str] = {}
    report: dict[str, Any] = {}


class PropertiesDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is wanted of a node, in `state.desire`; what it says cannot be set and is ignored."""

    state: _State = _State()
    metadata: Any = None


class ModeDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is to have the say over a node."""

    mode: Mode


async def get_properties(call: Call) -> Shown:
    """`GET /v1/nodes/{name}/properties`."""
    name = call.path("name")
    return _shown(
        name,
        await call.store.read(lambda tx: properties.read_properties(tx, call.namespace, name)),
    )


async def put_properties(call: Call) -> Shown:
    """`PUT /v1/nodes/{name}/properties`: all that is wanted of the node."""
    draft = convert(await call.content(ignored=_READ_ONLY), PropertiesDraft)
    return await _want(call, lambda _: draft.state.desire)


async def patch_properties(call: Call) -> Shown:
    """`PATCH /v1/nodes/{name}/properties`: null takes a property away."""
    patch = await call.patch(ignored=_READ_ONLY)

    def wanted(before: Mapping[str, str]) -> Mapping[str, str]:
        draft = convert(merged({"state": {"desire": before}}, patch), PropertiesDraft)
        return draft.state.desire

    return await _want(call, wanted)


async def _want(call: Call, wanted: Callable[[Mapping[str, str]], Mapping[str, str]]) -> Shown:
    name, precondition = call.path("name"), call.precondition()

    def want(tx: Transaction) -> Properties:
        before = properties.read_properties(tx, call.namespace, name)
        precondition.check(lambda: WantedProperties(name, before))
        return properties.want_properties(tx, call.namespace, name, wanted, now=call.now)

    return _shown(name, await call.store.write(want))


def _shown(name: str, found: Properties) -> Shown:
    """Their tag says nothing of what the node says."""
    return Shown(properties_view(found), WantedProperties(name, found), is_whole=False)


async def get_mode(call: Call) -> Shown:
    """`GET /v1/nodes/{name}/mode`."""
    return _mode(await _node(call))


async def put_mode(call: Call) -> Shown:
    """`PUT /v1/nodes/{name}/mode`."""
    mode = convert(await call.content(ignored=frozenset()), ModeDraft).mode
    return _mode(
        await _change(call, lambda tx, node: properties.set_mode(tx, node, mode, now=call.now))
    )


async def get_core(call: Call) -> Shown:
    """`GET /v1/nodes/{name}/core/configs`."""
    return _core(await _node(call))


async def put_core(call: Call) -> Shown:
    """`PUT /v1/nodes/{name}/core/configs`: what is left out has its default."""
    core = convert(await call.content(ignored=frozenset()), CoreConfiguration)
    return await _configure(call, lambda _: core)


async def patch_core(call: Call) -> Shown:
    """`PATCH /v1/nodes/{name}/core/configs`: null stands for the default."""
    patch = await call.patch(ignored=frozenset())
    return await _configure(
        call, lambda node: convert(merged(msgspec.to_builtins(node.core), patch), CoreConfiguration)
    )


async def get_core_versions(call: Call) -> View:
    """`GET /v1/nodes/{name}/core/versions`."""
    name = call.path("name")
    found = await call.store.read(lambda tx: properties.core_versions(tx, call.namespace, name))
    known = dict.fromkeys(version for version in (found.running, found.wanted) if version)
    return {"versions": list(known)}


async def _configure(call: Call, wanted: Callable[[Node], CoreConfiguration]) -> Shown:
    return _core(
        await _change(
            call,
            lambda tx, node: properties.configure_core(tx, node, wanted(node), now=call.now),
        )
    )


async def _node(call: Call) -> Node:
    name = call.path("name")
    return await call.store.read(lambda tx: nodes.existing_node(tx, call.namespace, name))


async def _change(call: Call, change: Callable[[Transaction, Node], Node]) -> Node:
    """What *change* makes of the node, if it is in the state that the caller means."""
    name, precondition = call.path("name"), call.precondition()

    def work(tx: Transaction) -> Node:
        before = nodes.existing_node(tx, call.namespace, name)
        precondition.check(lambda: before)
        return change(tx, before)

    return await call.store.write(work)


def _mode(node: Node) -> Shown:
    return Shown({"mode": node.mode}, node)


def _core(node: Node) -> Shown:
    core = node.core
    return Shown(
        {
            "version": core.version,
            "frequency": core.frequency,
            "apiport": core.apiport,
            "agentport": core.agentport,
            "logLevel": core.log_level,
            "byteUnit": core.byte_unit,
            "speedLimit": core.speed_limit,
        },
        node,
    )

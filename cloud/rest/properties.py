"""Properties of nodes, their mode, and the configuration of their agents."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from cloud.answers.properties import (
    CoreAnswer,
    CoreVersionsAnswer,
    ModeAnswer,
    PropertiesAnswer,
    PropertiesState,
    PropertiesTimes,
)
from cloud.core.core_configuration import CoreConfiguration, Mode
from cloud.core.decoding import convert
from cloud.core.merge_patch import merged
from cloud.core.node import Node
from cloud.core.properties import Properties, WantedProperties
from cloud.core.times import time_text
from cloud.operations import nodes, properties
from cloud.rest.context import RequestContext, ResourceResponse
from cloud.rest.described import Body, Described
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction

_READ_ONLY = frozenset({"metadata"})


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    desire: dict[str, str] = {}
    report: dict[str, Any] = {}


class PropertiesDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The desired properties of a node, in `state.desire`; reported ones are ignored."""

    state: _State = _State()
    metadata: Any = None


class ModeDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The mode to set for a node."""

    mode: Mode


async def get_properties(context: RequestContext) -> ResourceResponse[PropertiesAnswer]:
    """`GET /v1/nodes/{name}/properties`."""
    name = context.path("name")
    return _shown(
        name,
        await context.store.read(
            lambda tx: properties.read_properties(tx, context.namespace, name)
        ),
    )


async def put_properties(context: RequestContext) -> ResourceResponse[PropertiesAnswer]:
    """`PUT /v1/nodes/{name}/properties`: all that is wanted of the node."""
    draft = convert(await context.content(ignored=_READ_ONLY), PropertiesDraft)
    return await _want(context, lambda _: draft.state.desire)


async def patch_properties(context: RequestContext) -> ResourceResponse[PropertiesAnswer]:
    """`PATCH /v1/nodes/{name}/properties`: null takes a property away."""
    patch = await context.patch(ignored=_READ_ONLY)

    def wanted(before: Mapping[str, str]) -> Mapping[str, str]:
        draft = convert(merged({"state": {"desire": before}}, patch), PropertiesDraft)
        return draft.state.desire

    return await _want(context, wanted)


async def _want(
    context: RequestContext, wanted: Callable[[Mapping[str, str]], Mapping[str, str]]
) -> ResourceResponse[PropertiesAnswer]:
    name, precondition = context.path("name"), context.precondition()

    def want(tx: Transaction) -> Properties:
        before = properties.read_properties(tx, context.namespace, name)
        precondition.check(lambda: WantedProperties(name, before))
        return properties.want_properties(tx, context.namespace, name, wanted, now=context.now)

    return _shown(name, await context.store.write(want))


def _shown(name: str, found: Properties) -> ResourceResponse[PropertiesAnswer]:
    """Their tag leaves out what the node reports."""
    answer = PropertiesAnswer(
        PropertiesState(found.report, dict(found.desire)),
        PropertiesTimes(_times(found.report_times), _times(found.desire_times)),
    )
    return ResourceResponse(answer, WantedProperties(name, found), is_whole=False)


def _times(moments: Mapping[str, datetime]) -> dict[str, str]:
    return {key: time_text(moment) for key, moment in moments.items()}


async def get_mode(context: RequestContext) -> ResourceResponse[ModeAnswer]:
    """`GET /v1/nodes/{name}/mode`."""
    return _mode(await _node(context))


async def put_mode(context: RequestContext) -> ResourceResponse[ModeAnswer]:
    """`PUT /v1/nodes/{name}/mode`."""
    mode = convert(await context.content(ignored=frozenset()), ModeDraft).mode
    return _mode(
        await _change(
            context, lambda tx, node: properties.set_mode(tx, node, mode, now=context.now)
        )
    )


async def get_core(context: RequestContext) -> ResourceResponse[CoreAnswer]:
    """`GET /v1/nodes/{name}/core/configs`."""
    return _core(await _node(context))


async def put_core(context: RequestContext) -> ResourceResponse[CoreAnswer]:
    """`PUT /v1/nodes/{name}/core/configs`: what is left out has its default."""
    core = convert(await context.content(ignored=frozenset()), CoreConfiguration)
    return await _configure(context, lambda _: core)


async def patch_core(context: RequestContext) -> ResourceResponse[CoreAnswer]:
    """`PATCH /v1/nodes/{name}/core/configs`: null stands for the default."""
    patch = await context.patch(ignored=frozenset())
    return await _configure(
        context,
        lambda node: convert(merged(msgspec.to_builtins(node.core), patch), CoreConfiguration),
    )


async def get_core_versions(context: RequestContext) -> CoreVersionsAnswer:
    """`GET /v1/nodes/{name}/core/versions`."""
    name = context.path("name")
    found = await context.store.read(
        lambda tx: properties.core_versions(tx, context.namespace, name)
    )
    known = dict.fromkeys(version for version in (found.running, found.wanted) if version)
    return CoreVersionsAnswer(list(known))


async def _configure(
    context: RequestContext, wanted: Callable[[Node], CoreConfiguration]
) -> ResourceResponse[CoreAnswer]:
    return _core(
        await _change(
            context,
            lambda tx, node: properties.configure_core(tx, node, wanted(node), now=context.now),
        )
    )


async def _node(context: RequestContext) -> Node:
    name = context.path("name")
    return await context.store.read(lambda tx: nodes.existing_node(tx, context.namespace, name))


async def _change(context: RequestContext, change: Callable[[Transaction, Node], Node]) -> Node:
    """The node after *change*, if it is in the state that the caller named."""
    name, precondition = context.path("name"), context.precondition()

    def work(tx: Transaction) -> Node:
        before = nodes.existing_node(tx, context.namespace, name)
        precondition.check(lambda: before)
        return change(tx, before)

    return await context.store.write(work)


def _mode(node: Node) -> ResourceResponse[ModeAnswer]:
    return ResourceResponse(ModeAnswer(node.mode), node)


def _core(node: Node) -> ResourceResponse[CoreAnswer]:
    core = node.core
    answer = CoreAnswer(
        version=core.version,
        frequency=core.frequency,
        apiport=core.apiport,
        agentport=core.agentport,
        log_level=core.log_level,
        byte_unit=core.byte_unit,
        speed_limit=core.speed_limit,
    )
    return ResourceResponse(answer, node)


PROPERTY_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/properties",
        get_properties,
        Described("Properties of a node", PropertiesAnswer),
        needs="read properties",
    ),
    ApiRoute(
        "PUT",
        "/v1/nodes/{name}/properties",
        put_properties,
        Described("Want properties of a node", PropertiesAnswer, Body(PropertiesDraft)),
    ),
    ApiRoute(
        "PATCH",
        "/v1/nodes/{name}/properties",
        patch_properties,
        Described(
            "Patch what is wanted of a node", PropertiesAnswer, Body(PropertiesDraft, is_patch=True)
        ),
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/mode",
        get_mode,
        Described("Mode of a node", ModeAnswer),
        needs="read nodes",
    ),
    ApiRoute(
        "PUT",
        "/v1/nodes/{name}/mode",
        put_mode,
        Described("Set the mode of a node", ModeAnswer, Body(ModeDraft)),
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/core/configs",
        get_core,
        Described("Core configuration of a node", CoreAnswer),
        needs="read nodes",
    ),
    ApiRoute(
        "PUT",
        "/v1/nodes/{name}/core/configs",
        put_core,
        Described("Configure the core of a node", CoreAnswer, Body(CoreConfiguration)),
    ),
    ApiRoute(
        "PATCH",
        "/v1/nodes/{name}/core/configs",
        patch_core,
        Described(
            "Patch the core configuration", CoreAnswer, Body(CoreConfiguration, is_patch=True)
        ),
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/core/versions",
        get_core_versions,
        Described("Versions of a node's core", CoreVersionsAnswer),
        needs="read nodes",
    ),
)

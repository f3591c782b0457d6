"""Nodes: answers, handlers, and rows of the route table."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, cast

import msgspec
from msgspec import UNSET, UnsetType

from cloud.core.decoding import convert
from cloud.core.merge_patch import merged
from cloud.core.node import Node, NodeSpec, SeenNode
from cloud.core.nulls import without_nulls
from cloud.core.readiness import REASONS, REVOKED, NodeState, node_status
from cloud.core.skew import clock_condition
from cloud.core.stats import report_view
from cloud.core.times import time_text
from cloud.operations import nodes
from cloud.rest.answers import (
    DONE,
    Answer,
    AppSummary,
    DoneAnswer,
    Listed,
    app_summary,
    time_or_none,
)
from cloud.rest.context import RequestContext, ResourceResponse, take_name
from cloud.rest.described import LISTED, Body, Described, Name
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction

Quantity = str | int | float
"""As the server shows it: cpu in cores, memory in bytes; as it came where it cannot be read."""


class StateAnswer(Answer):
    """How a node stands: `online`, `stale`, `offline` or `never`, and what that is known by.

    `interval` is seconds between its reports; `connected` is null where the server cannot know.
    """

    name: NodeState
    reason: str
    since: str
    last_report: str | None
    last_stats: str | None
    interval: float | None
    connected: bool | None
    revoked: bool


class NodeAnswer(Answer):
    """A node; `ready`: its state is `online`."""

    name: str
    namespace: str
    description: str
    ready: bool
    state: StateAnswer
    create_time: str
    labels: dict[str, str]
    annotations: dict[str, str]


class HostAnswer(msgspec.Struct, rename="camel", omit_defaults=True):
    """The machine, as its node reports it; several machines are a map by host name."""

    hostname: str = ""
    address: str = ""
    arch: str = ""
    kernel_ver: str = ""
    os: str = ""
    container_runtime: str = ""
    machine_id: str = msgspec.field(name="machineID", default="")
    boot_id: str = msgspec.field(name="bootID", default="")
    system_uuid: str = msgspec.field(name="systemUUID", default="")
    os_image: str = ""


class HostStatsAnswer(msgspec.Struct):
    """What the machine has and uses, `percent` from 0 to 1; several are a map by host name."""

    usage: dict[str, Quantity] = {}
    capacity: dict[str, Quantity] = {}
    percent: dict[str, Any] = {}


class AppStatsAnswer(msgspec.Struct):
    """How an app does on the node; `instances` is a map by instance name.

    `running` is the version that runs where it is not `version`; `failure` is a code for why
    `version` does not: version, reason, message, seconds, and service, exitCode, log where known.
    """

    name: str = ""
    version: str = ""
    status: str = ""
    cause: str = ""
    instances: dict[str, Any] = {}
    running: str | UnsetType = UNSET
    failure: dict[str, Any] | UnsetType = UNSET


class ReportAnswer(msgspec.Struct):
    """The node's last report; what the contract does not name is passed on as it came."""

    time: str
    node: HostAnswer
    nodestats: HostStatsAnswer
    core: dict[str, Any]
    apps: list[Any]
    sysapps: list[Any]
    appstats: list[AppStatsAnswer]
    sysappstats: list[AppStatsAnswer]


class ConditionAnswer(Answer):
    """Something about a node that may want looking at: `True`, `False` or `Unknown`."""

    type: str
    status: str
    skew_seconds: int | None
    message: str


class NodeStatsAnswer(NodeAnswer):
    """A node, what it reported, and what follows from that."""

    report: ReportAnswer
    conditions: list[ConditionAnswer]


def state_answer(seen: SeenNode, now: datetime, *, connected: bool | None) -> StateAnswer:
    """The state of a node; *connected*: whether it has a connection, None where that is unknown."""
    heard = seen.heard
    stands = node_status(heard, now, is_revoked=seen.is_revoked)
    return StateAnswer(
        name=stands.state,
        reason=REVOKED if seen.is_revoked else REASONS[stands.state],
        since=time_text(stands.since or seen.node.created),
        last_report=time_or_none(heard.report if heard else None),
        last_stats=time_or_none(heard.stats if heard else None),
        interval=heard.cadence.interval.total_seconds() if heard else None,
        connected=connected,
        revoked=seen.is_revoked,
    )


def node_answer(seen: SeenNode, now: datetime, *, connected: bool | None) -> NodeAnswer:
    """A node, alone or in a list; its labels are those that selectors see."""
    node = seen.node
    return NodeAnswer(
        name=node.name,
        namespace=node.namespace,
        description=node.spec.description,
        ready=node_status(seen.heard, now, is_revoked=seen.is_revoked).is_ready,
        state=state_answer(seen, now, connected=connected),
        create_time=time_text(node.created),
        labels=dict(node.labels),
        annotations=node.spec.annotations,
    )


_READ_ONLY = frozenset({"namespace", "ready", "state", "createTime"})


async def create_node(context: RequestContext) -> ResourceResponse[NodeAnswer]:
    """`POST /v1/nodes`."""
    content = await context.content(ignored=_READ_ONLY)
    name, spec = take_name(content), convert(content, NodeSpec)
    seen = await context.store.write(
        lambda tx: nodes.create_node(tx, context.namespace, name, spec, now=context.now)
    )
    return _shown(context, seen)


async def update_node(context: RequestContext) -> ResourceResponse[NodeAnswer]:
    """`PUT /v1/nodes/{name}`; the page's `annotatins` is understood too."""
    content = _spelt(await context.content(ignored=_READ_ONLY | {"name"}))
    spec = convert(without_nulls(content, NodeSpec), NodeSpec)
    return await _update(context, lambda _: spec)


async def patch_node(context: RequestContext) -> ResourceResponse[NodeAnswer]:
    """`PATCH /v1/nodes/{name}`: as PUT, of what the merge patch makes of the node."""
    patch = _spelt(await context.patch(ignored=_READ_ONLY | {"name"}))
    return await _update(
        context, lambda node: convert(merged(msgspec.to_builtins(node.spec), patch), NodeSpec)
    )


async def _update(
    context: RequestContext, wanted: Callable[[Node], NodeSpec]
) -> ResourceResponse[NodeAnswer]:
    name, precondition = context.path("name"), context.precondition()

    def update(tx: Transaction) -> SeenNode:
        before = nodes.existing_node(tx, context.namespace, name)
        precondition.check(lambda: before)
        return nodes.update_node(tx, context.namespace, name, wanted(before), now=context.now)

    return _shown(context, await context.store.write(update))


def _spelt(content: dict[str, Any]) -> dict[str, Any]:
    if "annotatins" in content:
        content.setdefault("annotations", content.pop("annotatins"))
    return content


def _shown(context: RequestContext, seen: SeenNode) -> ResourceResponse[NodeAnswer]:
    """A node's tag leaves out `ready` and `state`."""
    return ResourceResponse(_answer(context, seen), seen.node, is_whole=False)


def _answer(context: RequestContext, seen: SeenNode) -> NodeAnswer:
    return node_answer(seen, context.now, connected=context.api.is_connected(seen.node.id))


async def get_node(context: RequestContext) -> ResourceResponse[NodeAnswer]:
    """`GET /v1/nodes/{name}`."""
    name = context.path("name")
    found = await context.store.read(lambda tx: nodes.read_node(tx, context.namespace, name))
    return _shown(context, found)


async def list_nodes(context: RequestContext) -> Listed[NodeAnswer]:
    """`GET /v1/nodes`."""
    options = context.list_options()
    page = await context.store.read(lambda tx: nodes.list_nodes(tx, context.namespace, options))
    return context.listed(page, options, lambda seen: _answer(context, seen))


async def delete_node(context: RequestContext) -> DoneAnswer:
    """`DELETE /v1/nodes/{name}`; its connection ends once it is gone."""
    name, precondition = context.path("name"), context.precondition()

    def delete(tx: Transaction) -> Node:
        precondition.check(lambda: nodes.existing_node(tx, context.namespace, name))
        return nodes.delete_node(tx, context.namespace, name, now=context.now)

    node = await context.store.write(delete)
    context.api.on_revoked(node.id)
    return DONE


async def revoke_node(context: RequestContext) -> DoneAnswer:
    """`POST /v1/nodes/{name}/revoke`; its connection ends once its certificates are taken back."""
    name = context.path("name")
    node = await context.store.write(
        lambda tx: nodes.revoke_node(tx, context.namespace, name, now=context.now)
    )
    context.api.on_revoked(node.id)
    return DONE


async def get_stats(context: RequestContext) -> NodeStatsAnswer:
    """`GET /v1/nodes/{name}/stats`."""
    name = context.path("name")
    found = await context.store.read(
        lambda tx: nodes.read_reported_node(tx, context.namespace, name)
    )
    ready = node_status(found.heard, context.now, is_revoked=found.is_revoked).is_ready
    # What the contract does not name is passed on as the node sent it.
    report = cast(ReportAnswer, report_view(found.report, ready=ready))
    clock = clock_condition(found.report, found.heard)
    return NodeStatsAnswer(
        **msgspec.structs.asdict(_answer(context, found)),
        report=report,
        conditions=[ConditionAnswer(clock.type, clock.status, clock.skew_seconds, clock.message)],
    )


async def list_apps(context: RequestContext) -> Listed[AppSummary]:
    """`GET /v1/nodes/{name}/apps`; the page wants null for the options of this list."""
    name = context.path("name")
    apps = await context.store.read(lambda tx: nodes.apps_of_node(tx, context.namespace, name))
    return Listed(len(apps), None, [app_summary(app) for app in apps])


NODE_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/nodes",
        list_nodes,
        Described("List nodes", Listed[NodeAnswer], query=LISTED),
    ),
    ApiRoute(
        "POST",
        "/v1/nodes",
        create_node,
        Described("Create a node", NodeAnswer, Body(NodeSpec, Name.REQUIRED)),
    ),
    ApiRoute("GET", "/v1/nodes/{name}", get_node, Described("Get a node", NodeAnswer)),
    ApiRoute(
        "PUT",
        "/v1/nodes/{name}",
        update_node,
        Described("Update a node", NodeAnswer, Body(NodeSpec, Name.IGNORED)),
    ),
    ApiRoute(
        "PATCH",
        "/v1/nodes/{name}",
        patch_node,
        Described("Patch a node", NodeAnswer, Body(NodeSpec, Name.IGNORED, is_patch=True)),
    ),
    ApiRoute("DELETE", "/v1/nodes/{name}", delete_node, Described("Delete a node")),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/stats",
        get_stats,
        Described("What a node reported", NodeStatsAnswer),
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/apps",
        list_apps,
        Described("Apps of a node", Listed[AppSummary]),
    ),
    ApiRoute(
        "POST",
        "/v1/nodes/{name}/revoke",
        revoke_node,
        Described("Shut a node out"),
    ),
)

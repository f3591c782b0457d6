"""Nodes: handlers, and rows of the route table."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from cloud.answers.common import AppSummary, DoneAnswer, Listed
from cloud.answers.nodes import (
    ConditionAnswer,
    LabelledNodesAnswer,
    NodeAnswer,
    NodeItem,
    NodeStatsAnswer,
    ReportAnswer,
)
from cloud.core.decoding import convert
from cloud.core.node import Node, SeenNode
from cloud.core.node_labels import NodeLabelsDraft
from cloud.core.readiness import node_status
from cloud.core.skew import clock_condition
from cloud.core.stats import report_view
from cloud.operations import node_labels, nodes
from cloud.operations.kinds import NODES
from cloud.rest.answers import DONE, app_summary
from cloud.rest.auth import caller_of
from cloud.rest.context import RequestContext, ResourceResponse
from cloud.rest.crud import Crud, crud_routes
from cloud.rest.described import Body, Described
from cloud.rest.node_limit import NodeLimit
from cloud.rest.node_list import NODE_LIST, list_nodes
from cloud.rest.node_state import node_answer
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction


def _spelled(content: dict[str, Any]) -> dict[str, Any]:
    """The page's `annotatins` is understood too."""
    if "annotatins" in content:
        content.setdefault("annotations", content.pop("annotatins"))
    return content


def _respond(context: RequestContext, tx: Transaction, node: Node) -> ResourceResponse[NodeAnswer]:
    """A node's tag leaves out `ready` and `state`."""
    return _read(context, tx, node.name)


def _read(context: RequestContext, tx: Transaction, name: str) -> ResourceResponse[NodeAnswer]:
    found = nodes.read_node(tx, context.namespace, name)
    return ResourceResponse(_answer(context, found), found.node, is_whole=False)


def _answer(context: RequestContext, seen: SeenNode) -> NodeAnswer:
    api = context.api
    connected = api.is_connected(seen.node.id)
    return node_answer(seen, context.now, api.sealing, connected=connected)


def _deleted(context: RequestContext, node: Node) -> None:
    """Its connection ends once it is gone."""
    context.api.on_revoked(node.id)


async def label_nodes(context: RequestContext) -> LabelledNodesAnswer:
    """`PATCH /v1/nodes`."""
    draft = convert(await context.patch(ignored=frozenset()), NodeLabelsDraft)
    where, within = context.namespace, context.nodes
    guarded = caller_of(context.request).limiting_labels(where)
    done = await context.store.write(
        lambda tx: node_labels.label_nodes(
            tx, where, draft, within=within, guarded=guarded, now=context.now
        )
    )
    return LabelledNodesAnswer(done.selected, done.changed)


async def revoke_node(context: RequestContext) -> DoneAnswer:
    """`POST /v1/nodes/{name}/revoke`; its connection ends once its certificates are revoked."""
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
    *crud_routes(
        Crud(
            NODES,
            _answer,
            NodeItem,
            _respond,
            NodeAnswer,
            read=_read,
            spelled=_spelled,
            deleted=_deleted,
            listed=NODE_LIST,
            listing=list_nodes,
            list_limit=NodeLimit.SELECTED,
            is_short=True,
        )
    ),
    ApiRoute(
        "PATCH",
        "/v1/nodes",
        label_nodes,
        Described(
            "Label many nodes",
            LabelledNodesAnswer,
            Body(NodeLabelsDraft, is_patch=True, required=("labels",)),
            refusals=(404,),
        ),
        needs="label nodes",
        limit=NodeLimit.SELECTED,
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/stats",
        get_stats,
        Described("What a node reported", NodeStatsAnswer),
        needs="read nodes",
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/apps",
        list_apps,
        Described("Apps of a node", Listed[AppSummary]),
        needs="read nodes",
    ),
    ApiRoute(
        "POST",
        "/v1/nodes/{name}/revoke",
        revoke_node,
        Described("Shut a node out"),
    ),
)

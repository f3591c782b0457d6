"""The list of nodes, in the order that is asked for, with a line about each."""

from dataclasses import replace
from decimal import Decimal
from typing import cast

import msgspec

from cloud.answers.common import Listed
from cloud.answers.nodes import NodeAppCounts, NodeItem, NodeStatusAnswer, NodeUsageAnswer
from cloud.core.listing import ListOptions, Page
from cloud.core.node import SeenNode
from cloud.core.node_sorting import SORT, NodeField
from cloud.core.node_summary import SUMMARY_LIMIT, NodeFigures, NodeSummary
from cloud.errors import Invalid
from cloud.http.negotiation import prefers_yaml
from cloud.operations import nodes
from cloud.rest.context import RequestContext
from cloud.rest.described import NODES_LISTED, Parameter
from cloud.rest.node_state import node_answer
from cloud.store.transaction import Transaction

INCLUDE = "include"
_STATUS = "status"

NODE_LIST = (
    *NODES_LISTED,
    Parameter(
        SORT,
        f"{', '.join(field.value for field in NodeField)}; after - in reverse; by default created",
    ),
    Parameter(
        INCLUDE,
        f"status: items have their `status`; then {SUMMARY_LIMIT} items are on a page at most",
    ),
)
"""The query of the list."""

Line = tuple[SeenNode, NodeSummary | None]


async def list_nodes(context: RequestContext) -> Listed[NodeItem]:
    """`GET /v1/nodes`."""
    options = replace(context.node_options(), sort=context.query(SORT))
    has_status = context.query(INCLUDE) == _STATUS
    if not has_status and context.query(INCLUDE):
        raise Invalid(INCLUDE, f"is not {_STATUS}")
    if has_status:
        options = replace(options, limit=min(options.limit, SUMMARY_LIMIT))
    page = await context.store.read(
        lambda tx: _page(tx, context.namespace, options, has_status=has_status)
    )
    if has_status or prefers_yaml(context.request.headers.getlist("accept")):
        return context.listed(page, options, lambda line: _item(context, *line))
    return context.listed(page, options, lambda line: _encoded(context, line[0]))


def _page(tx: Transaction, namespace: str, options: ListOptions, *, has_status: bool) -> Page[Line]:
    page = nodes.list_nodes(tx, namespace, options)
    if not has_status:
        return page.each(lambda seen: (seen, None))
    summaries = nodes.summaries_of(tx, namespace, page.items)
    return Page(list(zip(page.items, summaries, strict=True)), page.total, page.after)


def _item(context: RequestContext, seen: SeenNode, summary: NodeSummary | None) -> NodeItem:
    connected = context.api.is_connected(seen.node.id)
    answer = node_answer(seen, context.now, context.api.sealing, connected=connected)
    item = msgspec.structs.asdict(answer)
    return NodeItem(**item, status=status_answer(summary) if summary else msgspec.UNSET)


def _encoded(context: RequestContext, seen: SeenNode) -> NodeItem:
    """The item as JSON, which is how it is sent."""
    connected = context.api.is_connected(seen.node.id)
    return cast(NodeItem, context.api.node_items.item(seen, context.now, connected=connected))


def status_answer(summary: NodeSummary) -> NodeStatusAnswer:
    """The answer for a line about a node."""
    return NodeStatusAnswer(
        deploy=summary.figures.deploy,
        apps=NodeAppCounts(summary.wanted, summary.running, summary.failed),
        agent=summary.figures.agent,
        address=summary.fact("address"),
        os=summary.fact("osImage", "os"),
        arch=summary.fact("arch"),
        usage=_usage(summary.figures),
    )


def _usage(figures: NodeFigures) -> NodeUsageAnswer:
    return NodeUsageAnswer(
        cpu=scaled(figures.cpu, 3),
        memory=figures.memory,
        cpu_percent=scaled(figures.cpu_part, 4),
        memory_percent=scaled(figures.memory_part, 4),
    )


def scaled(number: int | None, digits: int) -> float | None:
    """*number* as a decimal fraction with so many *digits*; None where it is unknown."""
    return None if number is None else float(Decimal(number).scaleb(-digits))

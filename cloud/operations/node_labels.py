"""Label many nodes at once."""

from datetime import datetime

import msgspec

from cloud.core.grants import joined_selector
from cloud.core.listing import ListOptions
from cloud.core.node import Node, NodeSpec
from cloud.core.node_labels import LABELLED_LIMIT, LabelledNodes, NodeLabelsDraft, check_labelled
from cloud.errors import NotFound
from cloud.operations.node_scope import check_labels, check_relabelled, is_within
from cloud.operations.nodes import list_nodes, read_node, update_nodes
from cloud.store.transaction import Transaction


def label_nodes(
    tx: Transaction,
    namespace: str,
    draft: NodeLabelsDraft,
    *,
    within: str = "",
    guarded: frozenset[str] = frozenset(),
    now: datetime,
) -> LabelledNodes:
    """Change the labels of all nodes of *draft*, in one transaction.

    Only nodes that the selector *within* selects are there; with one, Forbidden for a label that is
    *guarded*, and as of `check_relabelled`.

    NotFound for the first named node that is not there, Invalid for what cannot be a label,
    TooManyNodes where it selects more than may be labelled at once.
    """
    draft.check()
    if within:
        check_labels(guarded, draft.labels)
    nodes = _chosen(tx, namespace, draft, within, now)
    changed = update_nodes(tx, [(node, _relabelled(node, draft)) for node in nodes], now=now)
    if within and changed:
        catalog, before = tx.catalog(namespace), {node.name: node for node in nodes}
        for after in changed:
            check_relabelled(catalog, before[after.name], after, guarded)
    return LabelledNodes(len(nodes), len(changed))


def _relabelled(node: Node, draft: NodeLabelsDraft) -> NodeSpec:
    return msgspec.structs.replace(node.spec, labels=draft.applied(node.spec.labels))


def _chosen(
    tx: Transaction, namespace: str, draft: NodeLabelsDraft, within: str, now: datetime
) -> list[Node]:
    if draft.names:
        names = list(dict.fromkeys(draft.names))
        tx.expect_nodes([(namespace, name) for name in names])
        nodes = [read_node(tx, namespace, name).node for name in names]
        for node in nodes:
            if not is_within(within, node):
                raise NotFound("node", node.name)
        return nodes
    selector = joined_selector(within, draft.selector)
    options = ListOptions(selector, draft.field_selector, limit=LABELLED_LIMIT, now=now)
    page = list_nodes(tx, namespace, options)
    check_labelled(page.total)
    return [seen.node for seen in page.items]

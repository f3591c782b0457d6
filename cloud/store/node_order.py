"""Orders of lists of nodes, as fragments of statements.

`place` is the row of a node in `node_status`. Each order has a whole number for a key, so that a
page begins after the key and the name at which the one before ended; the largest first, names are
in reverse too. `created` and `name` are in an index. By the others all selected nodes are looked
at, which takes about as long as a condition on their status.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cloud.core.listing import Place
from cloud.core.node_sorting import NodeField, NodeSorting
from cloud.store.parts.part import Run
from cloud.store.rows import Parameters, Row, micros
from cloud.store.statements import Fragment, fragment, joined

_KEYS: Mapping[NodeField, str] = {
    NodeField.CREATED: "place.created",
    NodeField.STATE: """(CASE WHEN place.heard IS NULL THEN 2
WHEN place.revoked = 1 OR :now - place.heard >= :gone * place.report_interval THEN 0
WHEN :now - place.heard >= :quiet * place.report_interval THEN 1 ELSE 3 END)""",
    NodeField.LAST_SEEN: "coalesce(place.heard, 0)",
    NodeField.CPU: "coalesce(place.cpu_part, -1)",
    NodeField.MEMORY: "coalesce(place.memory_part, -1)",
}


class _Order(NamedTuple):
    """The fragments of an order: the rows, those beyond a place, and their order."""

    names: Fragment
    beyond: Fragment
    end: Fragment


def _order(sorting: NodeSorting) -> _Order:
    beyond, way = ("<", " DESC") if sorting.is_descending else (">", "")
    if sorting.field is NodeField.NAME:
        return _Order(
            fragment("SELECT place.name, 0"),
            fragment(f" AND place.name {beyond} :after_name"),
            fragment(f" ORDER BY place.name{way} LIMIT :limit"),
        )
    key = _KEYS[sorting.field]
    return _Order(
        fragment(f"SELECT place.name, {key}"),
        fragment(f" AND ({key}, place.name) {beyond} (:after, :after_name)"),
        fragment(f" ORDER BY {key}{way}, place.name{way} LIMIT :limit"),
    )


_ORDERS: Mapping[NodeSorting, _Order] = {
    sorting: _order(sorting)
    for field in NodeField
    for sorting in (NodeSorting(field), NodeSorting(field, is_descending=True))
}


def in_order(
    run: Run,
    among: Sequence[Fragment],
    values: Parameters,
    after: Place | None,
    limit: int,
    sorting: NodeSorting,
) -> Sequence[Row]:
    """Name and key, in the order *sorting*, of up to *limit* nodes of *among*, beyond *after*."""
    order = _ORDERS[sorting]
    if after is None:
        # A comparison with the largest key there is would take 6 ms of 100,000 nodes.
        return run(joined(order.names, *among, order.end), {**values, "limit": limit})
    key, name = after
    where: Parameters = {"after": micros(key), "after_name": name, "limit": limit}
    return run(joined(order.names, *among, order.beyond, order.end), {**values, **where})

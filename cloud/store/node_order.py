"""Orders of lists of nodes, as fragments of statements.

`place` is the row of a node in `node_status`. Each order has a whole number for a key, so that a
page begins after the key and the name at which the one before ended; the largest first, names are
in reverse too. `created` and `name` are in an index. By the others all selected nodes are looked
at, which takes about as long as a condition on their status.
"""

from collections.abc import Mapping, Sequence

from cloud.core.listing import Place
from cloud.core.node_sorting import NodeField, NodeSorting
from cloud.store.parts.part import Run
from cloud.store.rows import ALL, Parameters, Row, micros
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


def _beginning_and_end(sorting: NodeSorting) -> tuple[Fragment, Fragment]:
    beyond, way = ("<", " DESC") if sorting.is_descending else (">", "")
    if sorting.field is NodeField.NAME:
        begins = "(:after_name = '') OR " if sorting.is_descending else ""
        return fragment("SELECT place.name, 0"), fragment(
            f" AND ({begins}place.name {beyond} :after_name) ORDER BY place.name{way} LIMIT :limit"
        )
    key = _KEYS[sorting.field]
    return fragment(f"SELECT place.name, {key}"), fragment(
        f" AND ({key}, place.name) {beyond} (:after, :after_name)"
        f" ORDER BY {key}{way}, place.name{way} LIMIT :limit"
    )


_ORDERS: Mapping[NodeSorting, tuple[Fragment, Fragment]] = {
    sorting: _beginning_and_end(sorting)
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
    beginning, end = _ORDERS[sorting]
    first = ALL if sorting.is_descending else -ALL
    key, name = (micros(after[0]), after[1]) if after else (first, "")
    where: Parameters = {"after": key, "after_name": name, "limit": limit}
    return run(joined(beginning, *among, end), {**values, **where})

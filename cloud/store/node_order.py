"""Orders of lists of nodes, as fragments of statements.

`place` is the row of a node in `node_status`. Each order has a whole number for a key, so that a
page begins after the key and the name at which the one before ended. Of these only `created` and
`name` are in an index; by the others all selected nodes are looked at, 100,000 in 40 ms.
"""

from collections.abc import Mapping, Sequence

from cloud.core.listing import Place
from cloud.core.node_sorting import NodeField, NodeSorting
from cloud.store.parts.part import Run
from cloud.store.rows import ALL, Parameters, Row, micros
from cloud.store.statements import Fragment, fragment, joined

_KEYS: Mapping[NodeField, str] = {
    NodeField.CREATED: "place.created",
    NodeField.STATE: """CASE WHEN place.heard IS NULL THEN 2
WHEN place.revoked = 1 OR :now - place.heard >= :gone * place.report_interval THEN 0
WHEN :now - place.heard >= :quiet * place.report_interval THEN 1 ELSE 3 END""",
    NodeField.LAST_SEEN: "coalesce(place.heard, 0)",
    NodeField.CPU: "coalesce(place.cpu_part, -1)",
    NodeField.MEMORY: "coalesce(place.memory_part, -1)",
}


def _beginning_and_end(sorting: NodeSorting) -> tuple[Fragment, Fragment]:
    if sorting.field is NodeField.NAME:
        beyond, way = ("<", " DESC") if sorting.is_descending else (">", "")
        begins = "" if not sorting.is_descending else "(:after_name = '') OR "
        return fragment("SELECT place.name, 0"), fragment(
            f" AND ({begins}place.name {beyond} :after_name) ORDER BY place.name{way} LIMIT :limit"
        )
    key = _KEYS[sorting.field]
    key = f"-({key})" if sorting.is_descending else f"({key})"
    return fragment(f"SELECT place.name, {key}"), fragment(
        f" AND ({key}, place.name) > (:after, :after_name) ORDER BY {key}, place.name LIMIT :limit"
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
    key, name = (micros(after[0]), after[1]) if after else (-ALL, "")
    where: Parameters = {"after": key, "after_name": name, "limit": limit}
    return run(joined(beginning, *among, end), {**values, **where})

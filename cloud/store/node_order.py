"""Orders of lists of nodes, as fragments of statements.

`place` is the row of a node in `node_status`. Each order has a whole number for a key, so that a
page begins after the key and the name at which the one before ended; the largest first, names are
in reverse too. `created` and `name` are in an index. By the others all selected nodes are looked
at, which takes about as long as a condition on their status. To sort them would take as long again:
a sample shows a key that many more nodes are before than a page has, and only those are sorted.
"""

import heapq
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from cloud.core.listing import Place
from cloud.core.node_sorting import NodeField, NodeSorting
from cloud.store.parts.part import Run
from cloud.store.rows import Parameters, Row, json_rows, micros
from cloud.store.statements import Fragment, Statement, fragment, fragment_apart, joined

_KEYS: Mapping[NodeField, str] = {
    NodeField.CREATED: "place.created",
    NodeField.STATE: """(CASE WHEN place.heard IS NULL THEN 2
WHEN place.revoked = 1 OR :now - place.heard >= :gone * place.report_interval THEN 0
WHEN :now - place.heard >= :quiet * place.report_interval THEN 1 ELSE 3 END)""",
    NodeField.LAST_SEEN: "coalesce(place.heard, 0)",
    NodeField.CPU: "coalesce(place.cpu_part, -1)",
    NodeField.MEMORY: "coalesce(place.memory_part, -1)",
}


SAMPLED = 250
"""Nodes, of all namespaces, of which a sample is made; 2 ms."""

_MARGIN = 6
"""How many times a page are expected before the key that ends what is sorted."""

_LEAST = 3
"""Sampled nodes before that key: of 100,000 nodes, once in thousands of times a page is not."""

_MOST = 0.25
"""Part of a sample before that key up to which it saves anything."""

_COMMON = 0.02
"""Part of a sample in one state from which on such nodes are soon met in the order of names."""

MET = 10_000
"""Nodes among which those of the first state are looked for in the order of names; 15 ms."""

_OF_SAMPLE = fragment_apart(
    sqlite=""" FROM (
WITH RECURSIVE step (id, size) AS (
    SELECT 1, max(rowid) / :sampled + 1 FROM node UNION ALL
    SELECT id + size, size FROM step WHERE id < :sampled * size)
SELECT place.*, step.size AS each FROM step CROSS JOIN node CROSS JOIN node_status AS place
WHERE node.rowid = step.id AND place.namespace = node.namespace AND place.name = node.name
) AS place WHERE place.namespace = :namespace""",
    postgres=""" FROM (
SELECT place.*, 100 AS each FROM node_status AS place TABLESAMPLE SYSTEM (1)
) AS place WHERE place.namespace = :namespace""",
    reads={"node", "node_status"},
)


_FURTHER = fragment(
    "SELECT place.name FROM node_status AS place WHERE place.namespace = :namespace AND place.name",
    reads={"node_status"},
)

_FIRST_STATE, _LAST_STATE = 0, 3
"""The least and the largest key of a state."""

_NAMES = ("", "~")
"""What is before all names of nodes, and what is after them."""


class _Order(NamedTuple):
    """The fragments of an order: the rows, those beyond a place, and their order.

    Then the keys of sampled rows, and rows up to a key, alone or *counted* with all others. Where
    few keys are possible, those with the *first* of them, by their names up to the one that is
    `:met` names *further*.
    """

    names: Fragment
    beyond: Fragment
    end: Fragment
    keys: Fragment | None = None
    within: Fragment | None = None
    counted: Fragment | None = None
    equal: Fragment | None = None
    further: Statement | None = None
    first: int = 0


def _order(sorting: NodeSorting) -> _Order:
    beyond, until, way = ("<", ">=", " DESC") if sorting.is_descending else (">", "<=", "")
    if sorting.field is NodeField.NAME:
        return _Order(
            fragment("SELECT place.name, 0"),
            fragment(f" AND place.name {beyond} :after_name"),
            fragment(f" ORDER BY place.name{way} LIMIT :limit"),
        )
    field = sorting.field
    key, is_state = _KEYS[field], field is NodeField.STATE
    return _Order(
        fragment(f"SELECT place.name, {key}"),
        fragment(f" AND ({key}, place.name) {beyond} (:after, :after_name)"),
        fragment(f" ORDER BY {key}{way}, place.name{way} LIMIT :limit"),
        None if field is NodeField.CREATED else fragment(f"SELECT {key}, place.each"),
        None if is_state else fragment(f" AND {key} {until} :last"),
        fragment(
            f"""SELECT count(*), CAST({{json_group_array}}({{json_array}}(place.name, {key}))
FILTER (WHERE {key} {until} :last) AS TEXT)"""
        ),
        fragment(
            f""" AND {key} = :last AND place.name {until} :until
ORDER BY place.name{way} LIMIT :limit"""
        )
        if is_state
        else None,
        joined(_FURTHER, fragment(f" {beyond} :from ORDER BY place.name{way} LIMIT 1 OFFSET :met"))
        if is_state
        else None,
        _LAST_STATE if sorting.is_descending else _FIRST_STATE,
    )


_ORDERS: Mapping[NodeSorting, _Order] = {
    sorting: _order(sorting)
    for field in NodeField
    for sorting in (NodeSorting(field), NodeSorting(field, is_descending=True))
}


def first_by_sample(
    run: Run,
    among: Sequence[Fragment],
    values: Parameters,
    after: Place | None,
    limit: int,
    sorting: NodeSorting,
    *,
    met: int = MET,
) -> tuple[Sequence[Row], int | None]:
    """As `in_order`, of *among* that begins with all nodes; less than *limit* where it fails.

    Those of the first state are looked for among *met* nodes.

    The second value is the number of all nodes of *among*, where they were looked through.
    """
    order = _ORDERS[sorting]
    if order.keys is None:
        return (), None
    beyond = () if after is None else (order.beyond,)
    where = {**values, "limit": limit, "sampled": SAMPLED}
    if after is not None:
        where |= {"after": micros(after[0]), "after_name": after[1]}
    sampled = run(joined(order.keys, _OF_SAMPLE, *among[1:], *beyond), where)
    keys = sorted((int(key) for key, _ in sampled), reverse=sorting.is_descending)
    if order.equal is not None and order.further is not None:
        if keys.count(order.first) <= _COMMON * SAMPLED:
            return (), None
        begin, end = _NAMES[:: -1 if sorting.is_descending else 1]
        where |= {"last": order.first, "from": after[1] if after else begin, "met": met}
        further = run(order.further, where)
        where["until"] = str(further[0][0]) if further else end
        return run(joined(order.names, *among, *beyond, order.equal), where), None
    last = max(_LEAST, _MARGIN * limit // int(sampled[0][1])) if sampled else 0
    if order.within is None or order.counted is None or last >= _MOST * len(keys):
        return (), None
    where["last"] = keys[last]
    if beyond or not among[1:]:
        # What most do not satisfy comes first.
        selected = (among[0], order.within, *among[1:], *beyond)
        return run(joined(order.names, *selected, order.end), where), None
    [(total, text)] = run(joined(order.counted, *among), where)
    first = heapq.nlargest if sorting.is_descending else heapq.nsmallest
    return first(limit, json_rows([(text,)]), key=itemgetter(1, 0)), int(total)


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

"""Count nodes by the different sets of labels that they have, of which a fleet has few.

An index leads from one set to the next: 400 sets of 100,000 nodes are found in 1 ms. Conditions are
tested once for each set, and the nodes of those that satisfy them are counted along the index.
"""

from collections.abc import Sequence

from cloud.store.parts.part import Run
from cloud.store.rows import Parameters
from cloud.store.statements import Fragment, all_of, fragment, fragment_apart, joined

SETS_AT_MOST = 2000
"""Sets of labels that are tested one by one; 4 ms."""

# For SQLite alone. For PostgreSQL there are too many sets, always: it looks through the texts of
# all nodes in the same time.
_SETS = fragment_apart(
    sqlite="""WITH RECURSIVE sets (labels) AS (
SELECT min(labels) FROM node_status WHERE namespace = :namespace UNION ALL
SELECT (SELECT min(later.labels) FROM node_status AS later
    WHERE later.namespace = :namespace AND later.labels > sets.labels)
FROM sets WHERE sets.labels IS NOT NULL)""",
    postgres="",
    reads={"node_status"},
)
_SETS_UP_TO = joined(
    _SETS,
    fragment_apart(
        sqlite=""" SELECT count(*) FROM
(SELECT sets.labels FROM sets WHERE sets.labels IS NOT NULL LIMIT :limit) AS counted""",
        postgres="SELECT CAST(:limit AS BIGINT)",
    ),
)
# Where conditions are of other columns, SQLite would look through the whole table.
_AMONG = fragment_apart(
    sqlite=""" FROM node_status AS place INDEXED BY node_status_by_labels
WHERE place.namespace = :namespace""",
    postgres=" FROM node_status AS place WHERE place.namespace = :namespace",
    reads={"node_status"},
)
_COUNT_IN_SETS = (
    fragment("SELECT (SELECT count(*)"),
    _AMONG,
    fragment(" AND place.labels IN ("),
    _SETS,
    fragment(" SELECT place.labels FROM sets AS place WHERE place.labels IS NOT NULL"),
)
_COUNT_SETS = (
    fragment("SELECT count(*) FROM ("),
    _SETS,
    fragment(" SELECT place.labels FROM sets AS place WHERE place.labels IS NOT NULL"),
)
_AS_FOUND = fragment(") AS found")
_CLOSE = fragment(")")
_COUNT_OTHERS = (
    fragment(") + (SELECT count(*)"),
    _AMONG,
    fragment(" AND place.labels IS NULL"),
)


def has_few_sets(run: Run, values: Parameters, at_most: int = SETS_AT_MOST) -> bool:
    """Return whether there are *at_most* sets, so that they can be tested one by one."""
    return _number_of_sets(run, values, at_most) <= at_most


def count_by_sets(
    run: Run,
    values: Parameters,
    *,
    texts: Sequence[Fragment],
    rows: Sequence[Fragment],
    status: Sequence[Fragment] = (),
) -> int:
    """How many nodes satisfy conditions on their labels, where there are few sets.

    The conditions are *texts* of the text of a set, and *rows* of a row of `node_status`, for nodes
    without such a text. Those on their *status* are of the index, which has `deploy`; others look
    each node up.
    """
    more = list(all_of(status))
    others = [*_COUNT_OTHERS, *all_of(rows), *more]
    statement = joined(*_COUNT_IN_SETS, *all_of(texts), _CLOSE, *more, *others, _CLOSE)
    return int(run(statement, values)[0][0])


def are_of_few_sets(
    run: Run, values: Parameters, texts: Sequence[Fragment], *, at_most: int = SETS_AT_MOST
) -> bool:
    """Return whether few of the sets of labels satisfy the conditions *texts*: one in eight."""
    sets = _number_of_sets(run, values, at_most)
    if sets > at_most:
        return False
    found = run(joined(*_COUNT_SETS, *all_of(texts), _AS_FOUND), values)
    return int(found[0][0]) <= max(1, sets // 8)


def _number_of_sets(run: Run, values: Parameters, at_most: int) -> int:
    """How many sets there are; one more than *at_most* stands for more."""
    return int(run(_SETS_UP_TO, {**values, "limit": at_most + 1})[0][0])

"""Select nodes by labels and by the fields of their status.

A statement begins with what few nodes satisfy, if there is such a term, and looks the rest up of
each; else with the table of their status, of which 100,000 rows are looked through in 15 ms. Where
most nodes satisfy the conditions on their status, those that do not are counted instead. What the
first page shows is not counted again: the count begins where the page ends.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from cloud.core.app import App
from cloud.core.field_selectors import FieldTerm
from cloud.core.listing import Place
from cloud.core.node_sorting import NodeField, NodeSorting
from cloud.core.selectors import Selector, Term
from cloud.store.label_sets import are_of_few_sets, count_by_sets
from cloud.store.node_conditions import (
    NOT,
    PROBE_END,
    NodeConditions,
    all_of_them,
    moments_of_states,
)
from cloud.store.node_order import first_by_sample, in_order
from cloud.store.parts.part import Run
from cloud.store.rows import Parameters, Row
from cloud.store.selection import (
    AMONG_STATUS,
    COUNT,
    NAMES,
    NODE,
    UP_TO,
    Selection,
    ordered,
)
from cloud.store.statements import Fragment, all_of, fragment, fragment_apart, joined

FEW = 5000
"""Nodes that are looked up one by one and sorted rather than met in order; 10 ms."""

SAMPLED = 1000
"""Nodes that show whether most satisfy a condition; it is counted faster one way or the other."""

AMONG_FEW = fragment(" FROM (SELECT place.* FROM (")
STATUS_OF_FEW = fragment(
    """) AS few CROSS JOIN node_status AS place
WHERE place.namespace = :namespace AND place.name = few.name {fence}) AS place
WHERE place.namespace = :namespace""",
    reads={"node_status"},
)
COUNT_SATISFYING = fragment("SELECT count(*), coalesce(sum(CASE WHEN ")
AMONG_FIRST = fragment(
    """ THEN 1 ELSE 0 END), 0) FROM (SELECT * FROM node_status
WHERE namespace = :namespace ORDER BY created, name LIMIT :limit) AS place""",
    reads={"node_status"},
)
LABELLED = fragment("SELECT place.name")
COUNT_NAMES = fragment("SELECT count(*) FROM (")
AS_FEW = fragment(") AS few")
# PostgreSQL looks through a whole table sooner than through most of it along an index.
COUNT_REST = fragment_apart(sqlite="SELECT :found + count(*)", postgres="SELECT count(*)")
BEYOND = fragment_apart(
    sqlite=" AND (place.created, place.name) > (:after, :after_name)", postgres=""
)


OLDEST_FIRST = NodeSorting(NodeField.CREATED)
"""The order of lists."""


class NodeSelection(Selection):
    """The nodes of a *namespace* that satisfy a selector and the *terms* of fields.

    *now* is the moment that states are of, *apps* are those of the namespace as they are wanted of
    nodes without an assignment, which nodes may have of those *governed*.
    Up to *few* nodes are looked up one by one.
    """

    probe_end = PROBE_END

    def __init__(
        self,
        run: Run,
        namespace: str,
        selector: Selector,
        terms: Sequence[FieldTerm],
        *,
        now: datetime | None,
        apps: Mapping[str, App],
        governed: Collection[str] = (),
        few: int = FEW,
    ) -> None:
        super().__init__(run, NODE, namespace, selector)
        self._moments = {} if now is None else moments_of_states(now)
        conditions = NodeConditions(
            terms,
            self._values,
            now=now,
            apps=apps,
            governed=governed,
            has_labels=self.has_labels,
        )
        self._few_at_most = few
        self._status = conditions.of_status
        self._apps = conditions.of_apps
        self._labels = self.has_labels([*self._positive, *self._negative])
        self._few = None if conditions.is_of_names else self._names_of_few()
        self._is_of_few = conditions.is_of_names or self._few is not None
        self._is_of_deploys = conditions.is_of_deploys
        # The total, where a page was found by looking through all; None: it is to be counted.
        self._counted: int | None = None

    def found(
        self, after: Place | None, limit: int, sorting: NodeSorting = OLDEST_FIRST
    ) -> Sequence[Row]:
        """As `page`, which has to be given the total; the second value is what is *sorting*."""
        if sorting.is_default:
            return ordered(self._run, joined(NAMES, *self._among_all()), self._values, after, limit)
        values = {**self._values, **self._moments}
        among = self._among_all()
        if not self._is_of_few:
            found, self._counted = first_by_sample(self._run, among, values, after, limit, sorting)
            if len(found) == limit:
                return found
        return in_order(self._run, among, values, after, limit, sorting)

    def total_with(self, labelled: Callable[[], int], first: Sequence[Row] = ()) -> int:
        """How many there are; *labelled* counts those that satisfy the selector alone.

        The *first* of them, oldest first, may have been found already.
        """
        if self._counted is not None:
            return self._counted
        if self._is_of_few:
            return self._count_all(self._status)
        if not self._status:
            return self._count_rest(labelled)
        if not self._apps:
            return self._count_by_status(first)
        if not self._is_status_of_most():
            return self._count_all(self._status)
        others = [joined(NOT, all_of_them(self._status))]
        return self._count_rest(labelled) - self._count_all(others)

    def count_where(self, conditions: Sequence[Fragment], values: Parameters) -> int:
        """How many there are satisfying *conditions* too, fragments with *values* of their own."""
        statement = joined(COUNT, *self._among_all([*self._status, *conditions]))
        return int(self._run(statement, {**self._values, **values})[0][0])

    def _has(self, term: Term) -> Fragment:
        return self._has_by_text(term)

    def _is_status_of_most(self) -> bool:
        """Whether most nodes satisfy the conditions on their status, by the first of them."""
        statement = joined(COUNT_SATISFYING, all_of_them(self._status), AMONG_FIRST)
        found = self._run(statement, {**self._values, "limit": SAMPLED})[0]
        nodes, satisfying = int(found[0]), int(found[1])
        return satisfying > nodes // 2

    def _count_by_status(self, first: Sequence[Row]) -> int:
        """How many satisfy the conditions on status and labels, the *first* of them among them."""
        if self._is_of_deploys and self._labels:
            counted = self._count_by_sets(self._labels, self._status)
            if counted is not None:
                return counted
        elif self._labels and (excluded := self._count_excluded()) is not None:
            every = joined(COUNT, AMONG_STATUS, *all_of(self._status))
            return int(self._run(every, self._values)[0][0]) - excluded
        if self._is_of_deploys or not first:
            return self._count_all(self._status)
        name, created = first[-1]
        statement = joined(COUNT_REST, *self._among_all(self._status), BEYOND)
        where = {"found": len(first), "after": created, "after_name": name}
        return int(self._run(statement, {**self._values, **where})[0][0])

    def _count_excluded(self) -> int | None:
        """How many satisfy the conditions on their status, but not those on labels.

        None where that may be many, or is not shown by their sets of labels.
        """
        tests = self._text_tests()
        if tests is None:
            return None
        texts, rows = (
            [joined(NOT, all_of_them(conditions))] for conditions in (tests, self._labels)
        )
        run, values = self._run, self._values
        if not are_of_few_sets(run, values, texts, at_most=self._sets_at_most):
            return None
        if count_by_sets(run, values, texts=texts, rows=rows) > self._few_at_most:
            return None
        return count_by_sets(run, values, texts=texts, rows=rows, status=self._status)

    def _count_rest(self, labelled: Callable[[], int]) -> int:
        """How many satisfy all but the conditions on their status."""
        if not self._apps:
            return labelled()
        names = self._apps[0].names
        if len(self._apps) == 1 and not self._labels and names is not None:
            return int(self._run(joined(COUNT_NAMES, names, AS_FEW), self._values)[0][0])
        return self._count_all([])

    def _count_all(self, status: Sequence[Fragment]) -> int:
        statement = joined(COUNT, *self._among_all(status))
        return int(self._run(statement, self._values)[0][0])

    def _among_all(self, status: Sequence[Fragment] | None = None) -> Sequence[Fragment]:
        conditions = [*(self._status if status is None else status), *self._labels]
        conditions += [
            one.test for one in self._apps if self._few is None or one.names is not self._few
        ]
        first = [AMONG_STATUS]
        if self._few is not None:
            first = [AMONG_FEW, self._few, STATUS_OF_FEW]
        return [*first, *all_of(conditions)]

    def _names_of_few(self) -> Fragment | None:
        """Selects the names that satisfy the term fewest do; None where all are for many."""
        best, fewest = None, self._few_at_most
        for names in self._sources():
            statement = joined(COUNT_NAMES, names, UP_TO)
            size = int(self._run(statement, {**self._values, "limit": fewest})[0][0])
            if size < fewest:
                fewest, best = size, names
        return best

    def _sources(self) -> Sequence[Fragment]:
        labels = [joined(LABELLED, *self._source(term)) for term in self._positive]
        return [*labels, *(one.names for one in self._apps if one.names is not None)]

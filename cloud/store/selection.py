"""Select by labels and fields, with statements put together from constant fragments.

Which fragments there are, and how many, follows from the shape of the selectors; keys, values and
names are parameters only. `core.selectors` defines what terms mean. Figures are of 100,000
nodes: a label is looked up in about 1.4 µs, an index counted along in 0.1 µs a row. So a statement
begins with the term that fewest satisfy, and things that a negative term excludes are counted
rather than those that it leaves. Nodes that satisfy several terms, each of which many do, are
counted by their sets of labels (`label_sets`): 0.1 µs each; or by the texts of their labels
(`label_text`), where there are many sets: 0.2 to 0.4 µs each.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from cloud.core.field_selectors import NAME, FieldTerm
from cloud.core.kinds import ResourceKind
from cloud.core.listing import Place
from cloud.core.selectors import Operator, Selector, Term
from cloud.store.label_sets import SETS_AT_MOST, count_by_sets, has_few_sets
from cloud.store.label_text import has_in_text, text_test
from cloud.store.parts.part import Run
from cloud.store.rows import Parameters, Row, micros
from cloud.store.statements import Fragment, Statement, all_of, fragment, joined, numbered

NODE = "node"
"""Kind of the labels of nodes; the other kinds are those of resources."""

SORTED_AT_MOST = 10_000
"""Selected things that are rather found by a term's index and sorted, than met in order; 5 ms."""

PROBED_AT_MOST = 10_000
"""Things that satisfy a term, counted to find the term that fewest satisfy; 2 ms."""

_SUBTRACTED_AT_MOST = 8
"""Negative terms whose things are counted apart."""

# fragments: a beginning, where, conditions, an end
COUNT = fragment("SELECT count(*)")
COUNT_SOME = fragment("SELECT count(*) FROM (SELECT place.name")
UP_TO = fragment(" LIMIT :limit) AS counted")
NAMES = fragment("SELECT place.name, place.created")
MARK_PENDING_AMONG = fragment(
    "INSERT INTO stale_node (namespace, name) SELECT place.namespace, place.name",
    writes={"stale_node"},
)
AMONG_NODES = fragment(" FROM node AS place WHERE place.namespace = :namespace", reads={"node"})
AMONG_STATUS = fragment(
    " FROM node_status AS place WHERE place.namespace = :namespace", reads={"node_status"}
)
AMONG_RESOURCES = fragment(
    " FROM resource AS place WHERE place.kind = :kind AND place.namespace = :namespace",
    reads={"resource"},
)
AMONG_USERS = fragment(
    """ FROM app_use AS place WHERE place.namespace = :namespace
AND place.used_kind = :used_kind AND place.used_name = :used_name""",
    reads={"app_use"},
)
AMONG_LABELS = fragment(
    """ FROM label AS place
WHERE place.kind = :kind AND place.namespace = :namespace AND place.key = :key_#""",
    reads={"label"},
)
HAS_LABEL = fragment(
    """{exists} (SELECT 1 FROM label AS own WHERE own.kind = :kind
AND own.namespace = :namespace AND own.name = place.name AND own.key = :key_#""",
    reads={"label"},
)
ONE_VALUE = fragment(" AND value = :value_#")
VALUE_IN = fragment(" AND value IN (SELECT given.value FROM {elements[values_#]})")
NUMBER_GREATER = fragment(" AND number > :bound_#")
NUMBER_LESS = fragment(" AND number < :bound_#")
NAME_LIKE = fragment("(place.name {glob[field_#]})")
NAMESPACE_LIKE = fragment("(place.namespace {glob[field_#]})")
NAME_IS = fragment("(place.name = :field_#)")
IN_ORDER = fragment(
    """ AND (place.created, place.name) > (:after, :after_name)
ORDER BY place.created, place.name LIMIT :limit""",
)
ONCE = fragment(" ON CONFLICT (namespace, name) DO NOTHING")
_OR, _NOT, _GROUP_OPEN, _CLOSE = map(fragment, (" OR ", "NOT ", "(", ")"))
_NO_TEST = fragment("")
_LONG_AGO = (datetime(1, 1, 1, tzinfo=UTC), "")
_TESTS = {
    Operator.IN: VALUE_IN,
    Operator.EXISTS: _NO_TEST,
    Operator.GREATER: NUMBER_GREATER,
    Operator.LESS: NUMBER_LESS,
}
_COMPARING = {Operator.GREATER, Operator.LESS}
_OPPOSITES = {Operator.NOT_IN: Operator.IN, Operator.MISSING: Operator.EXISTS}


class Selection:
    """The things of one *kind* and namespace that satisfy a selector and field terms.

    With *used* only what uses that resource. Of a term up to *many* are counted to find the rarest.
    Nodes are counted by their sets of labels where there are *sets* of them at most.
    """

    probe_end = _CLOSE

    def __init__(
        self,
        run: Run,
        kind: str,
        namespace: str,
        selector: Selector,
        fields: Sequence[FieldTerm] = (),
        *,
        used: tuple[ResourceKind, str] | None = None,
        many: int = PROBED_AT_MOST,
        sets: int = SETS_AT_MOST,
    ) -> None:
        self._run = run
        self._many = many
        self._sets_at_most = sets
        self._values: dict[str, str | int] = {"kind": kind, "namespace": namespace}
        self._is_of_nodes = kind == NODE
        self._whole = AMONG_NODES if self._is_of_nodes else AMONG_RESOURCES
        self._is_whole_small = used is not None
        if used is not None:
            self._whole = AMONG_USERS
            self._values |= {"used_kind": used[0].word, "used_name": used[1]}
        self._fields = [self._field(term) for term in dict.fromkeys(fields)]
        # Of each term met so far: the number in the names of its parameters; how many satisfy it,
        # and up to how many were counted.
        self._numbers: dict[Term, int] = {}
        self._sizes: dict[Term, tuple[int, int]] = {}
        terms = tuple(dict.fromkeys(selector))
        self._positive = tuple(term for term in terms if term.operator not in _OPPOSITES)
        self._negative = tuple(term for term in terms if term.operator in _OPPOSITES)

    def total(self) -> int:
        """How many there are."""
        if self._are_all_for_many():
            rows = self._has_all_by_text()
            counted = self._count_by_sets(rows)
            if counted is not None:
                return counted
            if len(self._positive) > 1:
                return int(
                    self._run(joined(COUNT, AMONG_STATUS, *all_of(rows)), self._values)[0][0]
                )
        if len(self._negative) > _SUBTRACTED_AT_MOST:
            return self._count(self._positive, self._negative)
        total = self._count(self._positive, ())
        for place, term in enumerate(self._negative):
            # Those that this term is the first to exclude.
            total -= self._count((*self._positive, opposite(term)), self._negative[:place])
        return total

    def page(self, after: Place | None, limit: int, total: int) -> Sequence[Row]:
        """Name and age, oldest first, of up to *limit* things, of the *total* that there are."""
        # The index of a value is in the order of lists; that of several is merged.
        first = self._rarest([term for term in self._positive if term.operator is Operator.IN])
        if total <= SORTED_AT_MOST and self._positive:
            rarest = self._rarest(self._positive)
            if rarest is not None and self._size(rarest, SORTED_AT_MOST + 1) <= SORTED_AT_MOST:
                first = rarest
        among = self._among(first, self._positive, self._negative)
        return ordered(self._run, joined(NAMES, *among), self._values, after, limit)

    def mark_pending(self) -> None:
        """Mark the selected nodes as pending."""
        among = self._among(self._rarest(self._positive), self._positive, self._negative)
        self._run(joined(MARK_PENDING_AMONG, *among, ONCE), self._values)

    def _are_all_for_many(self) -> bool:
        """Whether there are several terms on nodes, of which few satisfy no positive one."""
        is_one = len(self._positive) + len(self._negative) < 2
        if not self._is_of_nodes or self._fields or not self._positive or is_one:
            return False
        rarest = self._rarest(self._positive)
        return rarest is None or self._size(rarest, self._many) >= self._many

    def _count_by_sets(
        self, rows: Sequence[Fragment], status: Sequence[Fragment] = ()
    ) -> int | None:
        """How many satisfy all terms, whose conditions on rows of the status are *rows*.

        None where there are too many sets of labels, or a term has no condition on their text.
        """
        texts = self._text_tests()
        if texts is None or not has_few_sets(self._run, self._values, self._sets_at_most):
            return None
        return count_by_sets(self._run, self._values, texts=texts, rows=rows, status=status)

    def _text_tests(self) -> Sequence[Fragment] | None:
        """Conditions of all terms on the text of labels; None where a term has none."""
        texts: list[Fragment] = []
        for term in (*self._positive, *self._negative):
            is_negative = term.operator in _OPPOSITES
            test = text_test(opposite(term) if is_negative else term, self._values)
            if test is None:
                return None
            texts.append(joined(_NOT, test) if is_negative else test)
        return texts

    def _count(self, positive: Sequence[Term], negative: Sequence[Term]) -> int:
        among = self._among(self._rarest(positive), positive, negative)
        count: int = self._run(joined(COUNT, *among), self._values)[0][0]
        return count

    def _rarest(self, positive: Sequence[Term]) -> Term | None:
        """The term that fewest satisfy; None to begin with the whole."""
        if self._is_whole_small or not positive:
            return None
        if len(positive) == 1:
            return positive[0]
        rarest, fewest = None, self._many
        # First what can be counted without looking at what is not counted.
        for term in sorted(positive, key=lambda term: term.operator in _COMPARING):
            size = self._size(term, fewest)
            if rarest is None or size < fewest:
                rarest, fewest = term, size
        return rarest

    def _size(self, term: Term, limit: int) -> int:
        """How many satisfy *term*; *limit* stands for more."""
        size, counted_up_to = self._sizes.get(term, (0, 0))
        if size == counted_up_to < limit:
            statement = joined(COUNT_SOME, *self._source(term), UP_TO)
            size = self._run(statement, {**self._values, "limit": limit})[0][0]
            self._sizes[term] = (size, limit)
        return min(size, limit)

    def _among(
        self, first: Term | None, positive: Sequence[Term], negative: Sequence[Term]
    ) -> Sequence[Fragment]:
        """Where they are found, beginning with the term *first*, and all that they satisfy."""
        conditions = list(self._fields)
        conditions += self.has_labels([term for term in positive if term != first])
        conditions += self.has_labels(negative)
        return [*self._source(first), *all_of(conditions)]

    def _source(self, first: Term | None) -> Sequence[Fragment]:
        if first is None:
            return [self._whole]
        number = self._number(first)
        return [numbered(AMONG_LABELS, number), numbered(_test_of(first), number)]

    @property
    def values(self) -> Parameters:
        """The parameters of the conditions that were made."""
        return self._values

    def has_labels(self, selector: Sequence[Term]) -> Sequence[Fragment]:
        """Conditions of all terms of *selector*."""
        return [
            joined(_NOT, self._has(opposite(term)))
            if term.operator in _OPPOSITES
            else self._has(term)
            for term in selector
        ]

    def _has(self, term: Term) -> Fragment:
        return numbered(joined(HAS_LABEL, _test_of(term), self.probe_end), self._number(term))

    def _has_all_by_text(self) -> Sequence[Fragment]:
        return [
            *(self._has_by_text(term) for term in self._positive),
            *(joined(_NOT, self._has_by_text(opposite(term))) for term in self._negative),
        ]

    def _has_by_text(self, term: Term) -> Fragment:
        """As `_has`, of a row of the status of nodes."""
        return has_in_text(term, self._values, Selection._has(self, term))

    def _number(self, term: Term) -> int:
        number = self._numbers.get(term)
        if number is None:
            number = self._numbers[term] = len(self._values)
            self._values[f"key_{number}"] = term.key
            if term.operator in _COMPARING:
                self._values[f"bound_{number}"] = int(term.values[0])
            elif term.values:
                self._values[f"value_{number}"] = term.values[0]
                self._values[f"values_{number}"] = msgspec.json.encode(term.values).decode()
        return number

    def _field(self, term: FieldTerm) -> Fragment:
        tests: list[Fragment] = []
        for value in term.values:
            number = len(self._values)
            self._values[f"field_{number}"] = value
            like = NAME_LIKE if term.field == NAME else NAMESPACE_LIKE
            test = NAME_IS if term.field == NAME and "*" not in value else like
            tests += [_OR, numbered(test, number)] if tests else [numbered(test, number)]
        test = joined(_GROUP_OPEN, *tests, _CLOSE)
        return joined(_NOT, test) if term.is_negated else test


def _test_of(term: Term) -> Fragment:
    is_one_value = term.operator is Operator.IN and len(set(term.values)) == 1
    return ONE_VALUE if is_one_value else _TESTS[term.operator]


def ordered(
    run: Run, names: Statement, values: Parameters, after: Place | None, limit: int
) -> Sequence[Row]:
    """Name and age, oldest first, of up to *limit* of what *names* selects, beyond *after*."""
    began, name = after or _LONG_AGO
    where: Parameters = {"after": micros(began), "after_name": name, "limit": limit}
    return run(joined(names, IN_ORDER), {**values, **where})


def opposite(term: Term) -> Term:
    """Satisfied by those that do not satisfy *term*, a negative one."""
    return Term(term.key, _OPPOSITES[term.operator], term.values)

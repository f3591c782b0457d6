"""Select by labels and fields, with statements put together from the constant fragments of `sql`.

Which fragments there are, and how many, follows from the shape of the selectors; keys, values and
names are parameters only. What the terms mean is said by `core.selectors`. Figures are of 100,000
nodes: a label is looked up in about 1.4 µs, an index counted along in 0.1 µs a row. So a statement
begins with the term that fewest satisfy, and those whom a negative term leaves out are counted
rather than those whom it leaves.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from cloud.core.app import UseKind
from cloud.core.listing import FieldTerm, Place
from cloud.core.selectors import Operator, Selector, Term
from cloud.store import sql
from cloud.store.parts.part import Run
from cloud.store.rows import Parameters, Row, micros

NODE = "node"
"""Kind of the labels of nodes; the other kinds are those of resources."""

ALL = -1
"""A limit that is none."""

SORTED_AT_MOST = 10_000
"""Selected things that are rather found by a term's index and sorted, than met in order; 5 ms."""

_PROBED_AT_MOST = 20_000
"""Things that satisfy a term, counted to find the term that fewest satisfy; 4 ms."""

_SUBTRACTED_AT_MOST = 8
"""Negative terms whose things are counted apart."""

_GROUP = 32
_LONG_AGO = (datetime(1, 1, 1, tzinfo=UTC), "")
_TESTS = {
    Operator.IN: sql.VALUE_IN,
    Operator.EXISTS: "",
    Operator.GREATER: sql.NUMBER_GREATER,
    Operator.LESS: sql.NUMBER_LESS,
}
_COMPARING = {Operator.GREATER, Operator.LESS}
_OPPOSITES = {Operator.NOT_IN: Operator.IN, Operator.MISSING: Operator.EXISTS}


class Selection:
    """What of one *kind* and namespace satisfies a selector and field terms.

    With *used* only what uses that resource.
    """

    def __init__(
        self,
        run: Run,
        kind: str,
        namespace: str,
        selector: Selector,
        fields: Sequence[FieldTerm] = (),
        *,
        used: tuple[UseKind, str] | None = None,
    ) -> None:
        self._run = run
        self._values: dict[str, str | int] = {"kind": kind, "namespace": namespace}
        self._whole = sql.AMONG_NODES if kind == NODE else sql.AMONG_RESOURCES
        self._is_whole_small = used is not None
        if used is not None:
            self._whole = sql.AMONG_USERS
            self._values |= {"used_kind": used[0].value, "used_name": used[1]}
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
        if len(self._negative) > _SUBTRACTED_AT_MOST:
            return self._count(self._positive, self._negative)
        total = self._count(self._positive, ())
        for place, term in enumerate(self._negative):
            # Those whom this term is the first to leave out.
            total -= self._count((*self._positive, _opposite(term)), self._negative[:place])
        return total

    def count_where(self, conditions: Sequence[str], values: Parameters) -> int:
        """How many there are satisfying *conditions* too, fragments with *values* of their own."""
        among = self._among(self._rarest(self._positive), self._positive, self._negative)
        statement = sql.COUNT + among + _all_of(conditions)
        return int(self._run(statement, {**self._values, **values})[0][0])

    def page(self, after: Place | None, limit: int, total: int) -> Sequence[Row]:
        """Name and age, oldest first, of up to *limit* things, of the *total* that there are."""
        began, name = after or _LONG_AGO
        # The index of a value is in the order of lists; that of several is merged.
        first = self._rarest([term for term in self._positive if term.operator is Operator.IN])
        if total <= SORTED_AT_MOST and self._positive:
            rarest = self._rarest(self._positive)
            if rarest is not None and self._size(rarest, SORTED_AT_MOST + 1) <= SORTED_AT_MOST:
                first = rarest
        statement = sql.NAMES + self._among(first, self._positive, self._negative) + sql.IN_ORDER
        where: Parameters = {"after": micros(began), "after_name": name, "limit": limit}
        return self._run(statement, {**self._values, **where})

    def mark_stale(self) -> None:
        """Note the selected nodes as stale."""
        among = self._among(self._rarest(self._positive), self._positive, self._negative)
        self._run(sql.MARK_STALE_AMONG + among + sql.ONCE, self._values)

    def _count(self, positive: Sequence[Term], negative: Sequence[Term]) -> int:
        among = self._among(self._rarest(positive), positive, negative)
        count: int = self._run(sql.COUNT + among, self._values)[0][0]
        return count

    def _rarest(self, positive: Sequence[Term]) -> Term | None:
        """The term that fewest satisfy; None to begin with the whole."""
        if self._is_whole_small or not positive:
            return None
        if len(positive) == 1:
            return positive[0]
        rarest, fewest = None, _PROBED_AT_MOST
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
            statement = sql.COUNT_SOME + self._source(term) + sql.UP_TO
            size = self._run(statement, {**self._values, "limit": limit})[0][0]
            self._sizes[term] = (size, limit)
        return min(size, limit)

    def _among(self, first: Term | None, positive: Sequence[Term], negative: Sequence[Term]) -> str:
        """Where they are found, beginning with the term *first*, and all that they satisfy."""
        conditions = list(self._fields)
        conditions += [self._has(term) for term in positive if term != first]
        conditions += [f"NOT {self._has(_opposite(term))}" for term in negative]
        return self._source(first) + _all_of(conditions)

    def _source(self, first: Term | None) -> str:
        if first is None:
            return self._whole
        is_one_value = first.operator is Operator.IN and len(set(first.values)) == 1
        test = sql.ONE_VALUE if is_one_value else _TESTS[first.operator]
        return _numbered(sql.AMONG_LABELS + test, self._number(first))

    def _has(self, term: Term) -> str:
        return _numbered(sql.HAS_LABEL + _TESTS[term.operator] + ")", self._number(term))

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

    def _field(self, term: FieldTerm) -> str:
        number = len(self._values)
        self._values[f"field_{number}"] = term.value
        test = sql.NAME_IS if term.field == "name" else sql.NAMESPACE_IS
        return _numbered(f"NOT {test}" if term.negated else test, number)


def _opposite(term: Term) -> Term:
    """Satisfied by those that do not satisfy *term*, a negative one."""
    return Term(term.key, _OPPOSITES[term.operator], term.values)


def _numbered(fragment: str, number: int) -> str:
    """A fragment with the names of its parameters made its own."""
    return fragment.replace("_#", f"_{number}")


def _all_of(conditions: Sequence[str]) -> str:
    """In groups: SQLite takes expressions up to a depth of 1000, and selectors can be longer."""
    groups = [conditions[start : start + _GROUP] for start in range(0, len(conditions), _GROUP)]
    return "".join(f" AND ({' AND '.join(group)})" for group in groups)

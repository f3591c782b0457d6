"""Statements that select by labels and fields, put together from the constant fragments of `sql`.

Which fragments there are, and how many, follows from the shape of the selectors; keys, values and
names are parameters only. What the terms mean is said by `core.selectors`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from cloud.core.listing import FieldTerm, ListOptions, Place, parse_field_selector
from cloud.core.selectors import Operator, Selector, Term, parse_selector
from cloud.store import sql
from cloud.store.rows import Parameters, micros

NODE = "node"
"""Kind of the labels of nodes; the other kinds are those of resources."""

ALL = -1
"""A limit that is none."""

SORTED_AT_MOST = 2000
"""Selected things that are rather found by a term's index and sorted than met in their order."""

_GROUP = 32
_LONG_AGO = (datetime(1, 1, 1, tzinfo=UTC), "")
_TESTS = {
    Operator.IN: sql.VALUE_IN,
    Operator.NOT_IN: sql.VALUE_IN,
    Operator.EXISTS: "",
    Operator.MISSING: "",
    Operator.GREATER: sql.NUMBER_GREATER,
    Operator.LESS: sql.NUMBER_LESS,
}
_RANKS = (Operator.IN, Operator.GREATER, Operator.LESS, Operator.EXISTS)
_NEGATIVE = {Operator.NOT_IN, Operator.MISSING}


class Selection:
    """What of one *kind* and namespace satisfies a selector and field terms."""

    def __init__(
        self, kind: str, namespace: str, selector: Selector, fields: Sequence[FieldTerm] = ()
    ) -> None:
        self._values: dict[str, str | int] = {"kind": kind, "namespace": namespace}
        self._whole = sql.AMONG_NODES if kind == NODE else sql.AMONG_RESOURCES
        self._fields = [self._field(term) for term in dict.fromkeys(fields)]
        # Each term, and the number in the names of its parameters.
        self._terms = {term: self._bound(term) for term in dict.fromkeys(selector)}
        # The term that an index can begin with, in the order of lists where it is one value.
        positive = [term for term in self._terms if term.operator not in _NEGATIVE]
        self._best = min(positive, key=_rank, default=None)

    def counted(self) -> tuple[str, Parameters]:
        """Statement that counts what is selected."""
        return sql.COUNT + self._among(self._best), self._values

    def marked_stale(self) -> tuple[str, Parameters]:
        """Statement that notes the selected nodes as stale."""
        return sql.MARK_STALE_AMONG + self._among(self._best) + sql.ONCE, self._values

    def page(self, after: Place | None, limit: int, total: int) -> tuple[str, Parameters]:
        """Statement for the names, oldest first, of *limit* things, of *total* that there are."""
        began, name = after or _LONG_AGO
        best = self._best
        if best is not None and _rank(best) and total > SORTED_AT_MOST:
            best = None
        statement = sql.NAMES + self._among(best) + sql.IN_ORDER
        where: Parameters = {"after": micros(began), "after_name": name, "limit": limit}
        return statement, {**self._values, **where}

    def _among(self, best: Term | None) -> str:
        """Where they are found, beginning with the term *best*, and all that they satisfy."""
        conditions = list(self._fields)
        for term, number in self._terms.items():
            if term is not best:
                test = _numbered(sql.HAS_LABEL + _TESTS[term.operator] + ")", number)
                conditions.append(f"NOT {test}" if term.operator in _NEGATIVE else test)
        if best is None:
            source = self._whole
        else:
            test = sql.ONE_VALUE if _rank(best) == 0 else _TESTS[best.operator]
            source = _numbered(sql.AMONG_LABELS + test, self._terms[best])
        return source + _all_of(conditions)

    def _bound(self, term: Term) -> int:
        number = len(self._values)
        self._values[f"key_{number}"] = term.key
        if term.operator in {Operator.GREATER, Operator.LESS}:
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


def selection_of(kind: str, namespace: str, options: ListOptions) -> Selection:
    """What *options* selects; Invalid for a selector that cannot be read."""
    selector = parse_selector(options.selector)
    return Selection(kind, namespace, selector, parse_field_selector(options.field_selector))


def _rank(term: Term) -> int:
    """How well an index can begin with *term*: 0 best, and in the order of lists.

    That a label is there says little, that it is one value says most.
    """
    if term.operator is Operator.IN and len(set(term.values)) == 1:
        return 0
    return 1 + _RANKS.index(term.operator)


def _numbered(fragment: str, number: int) -> str:
    """A fragment with the names of its parameters made its own."""
    return fragment.replace("_#", f"_{number}")


def _all_of(conditions: Sequence[str]) -> str:
    """In groups: SQLite takes expressions up to a depth of 1000, and selectors can be longer."""
    groups = [conditions[start : start + _GROUP] for start in range(0, len(conditions), _GROUP)]
    return "".join(f" AND ({' AND '.join(group)})" for group in groups)

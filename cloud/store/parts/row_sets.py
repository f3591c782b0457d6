"""Rows of many nodes, looked up and written in sets.

Nodes report, are updated and activate by the hundred in one transaction. A statement for each row
costs PostgreSQL a round trip, and lets go of the interpreter, and waits for it, on SQLite. So what
is asked of one node of an expected group is looked up for all of them, and rows that are written
wait for the others: until a statement has to do with their tables, or the transaction ends.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from cloud.errors import NotFound
from cloud.store.parts.part import (
    NOTHING,
    BrokenReference,
    Run,
    TransactionPart,
    check_parameters,
)
from cloud.store.rows import Parameters, Row, json_rows, json_text, json_words
from cloud.store.sealing import Sealer
from cloud.store.statements import SetStatement, Statement

T = TypeVar("T")

Place = tuple[str, ...]
"""The key of a row, with the name last."""

NodePlace = tuple[str, str]
"""Namespace and name of a node."""

OF_NODE = ("namespace", "name")


@dataclass(frozen=True, slots=True, eq=False)
class Lookup(Generic[T]):
    """A lookup of one node, or of something else with a name: by the rows of a statement."""

    # Of one of them.
    one: Statement
    # Of those with `names`, a JSON array: one JSON array of the same rows, each after the name that
    # it is of. As one row, since each that is fetched lets go of the interpreter.
    many: Statement | None
    # What the rows of one mean.
    make: Callable[[Any, Sequence[Row]], T]
    # The parameters that make a place.
    of: tuple[str, ...] = OF_NODE
    # Whether a row stays at its place; else any change of the table changes what is at any.
    is_by_key: bool = True
    # Whether `many` gives a row once for all names that have it, after a JSON array of these as
    # text, and those with the same rows have the same result.
    are_shared: bool = False


@dataclass(slots=True)
class _Waiting:
    """Rows of a statement by their keys, the last one put of each."""

    rows: dict[tuple[str | int, ...], Parameters] = field(default_factory=dict)


class RowSets:
    """The `Run` of a transaction, with a memory of rows between its statements and the work.

    What was looked up is forgotten when a statement changes its tables. What waits to be written is
    written before a statement that could see it, and by `write`.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        # Names that will be asked for, by what makes a place and what else is in theirs.
        self._expected: dict[tuple[Place, Place], dict[str, None]] = {}
        self._known: dict[Lookup[Any], dict[Place, Any]] = {}
        self._waiting: dict[SetStatement, _Waiting] = {}
        # The lookups that read one of some tables, of so many that are known.
        self._affected: dict[frozenset[str], list[Lookup[Any]]] = {}
        self._affected_of = 0
        # The tables that the waiting statements write.
        self._unwritten: frozenset[str] = frozenset()

    def __call__(self, statement: Statement, parameters: Parameters, /) -> Sequence[Row]:
        """As in `Run`."""
        self._prepare(statement)
        if self._known and statement.writes:
            self._forget(statement.writes, parameters)
        return self._run(statement, parameters)

    def each(self, statement: Statement, rows: Sequence[Parameters], /) -> None:
        """As in `Run`."""
        self._prepare(statement)
        self._forget(statement.writes, {})
        self._run.each(statement, rows)

    def expect(self, places: Iterable[Place], of: tuple[str, ...] = OF_NODE) -> None:
        """Have what is asked of one of *places* looked up for all of them."""
        for place in places:
            key = (of, place[:-1])
            names = self._expected.get(key)
            if names is None:
                names = self._expected[key] = {}
            names[place[-1]] = None

    def value(self, lookup: Lookup[T], place: Place) -> T:
        """The result of *lookup* at *place*, including rows that this transaction has put."""
        known = self._known.get(lookup)
        if known is None:
            known = self._known[lookup] = {}
        if place not in known:
            self._look_up(lookup, place, known)
        found: T = known[place]
        return found

    def values(self, lookup: Lookup[T], places: Sequence[Place]) -> Sequence[T]:
        """As `value` of each of *places*, which are expected, in less time."""
        known = self._known.setdefault(lookup, {})
        for place in places:
            if place not in known:
                self._look_up(lookup, place, known)
        return [known[place] for place in places]

    def is_known(self, lookup: Lookup[Any], place: Place) -> bool:
        """Whether `value` has been asked for it, and it is known still."""
        return place in self._known.get(lookup, ())

    def learn(self, lookup: Lookup[T], place: Place, value: T) -> None:
        """Have *value* known of the one at *place*, which is what this transaction makes of it."""
        self._known.setdefault(lookup, {})[place] = value

    def put(
        self,
        statement: SetStatement,
        key: tuple[str | int, ...],
        row: Parameters,
        *,
        place: Place | None = None,
        becomes: Mapping[Lookup[Any], Any] | None = None,
        keeps: Sequence[Lookup[Any]] = (),
    ) -> None:
        """Have *row* written; one with the same *key* that waits is replaced.

        It changes what is at *place*: of that is known what it *becomes*, and what the
        row *keeps*; all else that depends on these tables is looked up again. Without a place it
        changes nothing that a lookup finds.
        NotFound, when it is written, where it refers to a node that is not there.
        """
        check_parameters(row)
        waiting = self._waiting.get(statement)
        if waiting is None:
            waiting = self._waiting[statement] = _Waiting()
            self._unwritten |= statement.writes
        waiting.rows[key] = row
        if place is not None:
            self._forget_at(place, row, statement.writes, keeps)
            if becomes:
                for lookup, value in becomes.items():
                    self.learn(lookup, place, value)

    def is_waiting(self, statement: SetStatement, key: tuple[str | int, ...]) -> bool:
        """Whether a row with that *key* waits."""
        return statement in self._waiting and key in self._waiting[statement].rows

    def withdraw(self, statement: SetStatement, key: tuple[str | int, ...]) -> None:
        """Have the row with that *key* not written, if it waits: what is put next undoes it."""
        if (waiting := self._waiting.get(statement)) is not None:
            waiting.rows.pop(key, None)

    def write(self) -> None:
        """Write what waits; in the order of keys, as others may be at the same rows."""
        waiting, self._waiting, self._unwritten = self._waiting, {}, frozenset()
        for statement in sorted(waiting, key=lambda one: one.order):
            rows = waiting[statement].rows
            if not rows:
                continue
            try:
                self._run.each(statement, [rows[key] for key in sorted(rows)])
            except BrokenReference as error:
                if len(rows) > 1:
                    raise
                raise NotFound("node", str(next(iter(rows.values())).get("name"))) from error

    def _prepare(self, statement: Statement) -> None:
        if self._unwritten and not self._unwritten.isdisjoint(statement.tables):
            self.write()

    def _forget_at(
        self,
        place: Place,
        row: Parameters,
        tables: frozenset[str],
        keeps: Sequence[Lookup[Any]],
    ) -> None:
        """Forget what was looked up of one node and by the keys of *row*, but for what is kept."""
        # For each row that is put: which lookups read a set of tables is found once.
        if len(self._known) != self._affected_of:
            self._affected, self._affected_of = {}, len(self._known)
        affected = self._affected.get(tables)
        if affected is None:
            affected = self._affected[tables] = [
                lookup for lookup in self._known if not tables.isdisjoint(lookup.one.reads)
            ]
        for lookup in affected:
            if lookup in keeps:
                continue
            known = self._known[lookup]
            if lookup.is_by_key and lookup.of == OF_NODE:
                known.pop(place, None)
            elif known:
                _forget_changed(lookup, known, row)

    def _forget(self, tables: frozenset[str], changed: Parameters) -> None:
        for lookup, known in self._known.items():
            if known and not tables.isdisjoint(lookup.one.reads):
                _forget_changed(lookup, known, changed)

    def _look_up(self, lookup: Lookup[T], place: Place, known: dict[Place, T]) -> None:
        *first, name = place
        others = tuple(first)
        expected = self._expected.get((lookup.of, others), {})
        names = [one for one in expected if (*others, one) not in known] if known else [*expected]
        if lookup.many is None or name not in expected or len(names) == 1:
            self._prepare(lookup.one)
            rows = self._run(lookup.one, dict(zip(lookup.of, place, strict=True)))
            known[place] = lookup.make(place, rows)
            return
        self._prepare(lookup.many)
        wanted = {**dict(zip(lookup.of, others, strict=False)), "names": json_text(names)}
        given = json_rows(self._run(lookup.many, wanted))
        if lookup.are_shared:
            known.update(_shared(lookup, others, names, given))
            return
        found: dict[str, list[Row]] = {one: [] for one in names}
        for own, *row in given:
            found[own].append(row)
        for own, rows in found.items():
            found_at = (*others, own)
            known[found_at] = lookup.make(found_at, rows)


def _shared(
    lookup: Lookup[T], others: Place, names: Iterable[str], given: Sequence[Row]
) -> Iterator[tuple[Place, T]]:
    """The result of *lookup* for each of *names*, made once for all that have the same rows."""
    numbers: dict[str, tuple[int, ...]] = dict.fromkeys(names, ())
    for number, (own, *_) in enumerate(given):
        for name in json_words(own):
            numbers[name] += (number,)
    made: dict[tuple[int, ...], T] = {}
    for name, rows in numbers.items():
        place = (*others, name)
        if rows not in made:
            made[rows] = lookup.make(place, [given[number][1:] for number in rows])
        yield place, made[rows]


def _forget_changed(lookup: Lookup[Any], known: dict[Place, Any], changed: Parameters) -> None:
    """Forget of *known* what a row with the values *changed* is at, everything if that is open."""
    place = tuple(str(changed[one]) for one in lookup.of if changed.get(one) is not None)
    if lookup.is_by_key and len(place) == len(lookup.of):
        known.pop(place, None)
    else:
        known.clear()


class RowSetPart(TransactionPart):
    """A part whose rows are looked up and written in sets."""

    def __init__(self, run: Run, sealer: Sealer) -> None:
        self._sets = run if isinstance(run, RowSets) else RowSets(run)
        super().__init__(self._sets, sealer)

    def expect_nodes(self, nodes: Iterable[NodePlace]) -> None:
        """Look at all *nodes* (namespace, name) at once, when one of them is asked for."""
        self._sets.expect(nodes)

    def finish(self) -> None:
        """Write what is not written yet; to be called before the commit."""
        self._sets.write()

    def end(self) -> None:
        """As in `TransactionPart`."""
        super().end()
        self._sets = _EndedSets(self._run)


class _EndedSets(RowSets):
    """Those of a transaction that has ended."""

    def put(self, statement: SetStatement, *_: Any, **__: Any) -> None:
        """Refuse it."""
        self._run(statement, NOTHING)

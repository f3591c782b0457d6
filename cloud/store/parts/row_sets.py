"""Rows of many nodes, looked up and written in sets.

Nodes report, are updated and activate by the hundred in one transaction. A statement for each row
costs PostgreSQL a round trip, and lets go of the interpreter, and waits for it, on SQLite. So what
is asked of one node of an expected group is looked up for all of them, and rows that are written
wait for the others: until a statement has to do with their tables, or the transaction ends.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from cloud.errors import NotFound
from cloud.store.parts.part import (
    NOTHING,
    BrokenReference,
    Run,
    TransactionPart,
    check_parameters,
)
from cloud.store.rows import Parameters, Row, json_rows, json_text
from cloud.store.sealing import Sealer
from cloud.store.statements import SetStatement, Statement

T = TypeVar("T")

NodePlace = tuple[str, str]
"""Namespace and name of a node."""


@dataclass(frozen=True, slots=True, eq=False)
class Lookup(Generic[T]):
    """What is known of a node: by the rows of a statement with `namespace` and `name`."""

    # Of one node.
    one: Statement
    # Of the nodes `names`, a JSON array: one JSON array of the same rows, each after the name of
    # its node. As one row, since each that is fetched lets go of the interpreter.
    many: Statement
    # What the rows of a node mean.
    make: Callable[[NodePlace, Sequence[Row]], T]


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
        # Names of nodes that will be asked for, by their namespace.
        self._expected: dict[str, dict[str, None]] = {}
        self._known: dict[Lookup[Any], dict[NodePlace, Any]] = {}
        self._waiting: dict[SetStatement, _Waiting] = {}
        # The tables that the waiting statements write.
        self._unwritten: frozenset[str] = frozenset()

    def __call__(self, statement: Statement, parameters: Parameters, /) -> Sequence[Row]:
        """As in `Run`."""
        self._prepare(statement)
        if self._known and statement.writes:
            namespace, name = parameters.get("namespace"), parameters.get("name")
            is_one = namespace is not None and name is not None
            self._forget(statement.writes, (str(namespace), str(name)) if is_one else None)
        return self._run(statement, parameters)

    def each(self, statement: Statement, rows: Sequence[Parameters], /) -> None:
        """As in `Run`."""
        self._prepare(statement)
        self._forget(statement.writes, None)
        self._run.each(statement, rows)

    def expect(self, places: Iterable[NodePlace]) -> None:
        """Have what is asked of one of *places* looked up for all of them."""
        for namespace, name in places:
            self._expected.setdefault(namespace, {})[name] = None

    def value(self, lookup: Lookup[T], place: NodePlace) -> T:
        """What is known of the node at *place*, with what this transaction has put."""
        known = self._known.setdefault(lookup, {})
        if place not in known:
            self._look_up(lookup, place, known)
        return cast(T, known[place])

    def is_known(self, lookup: Lookup[Any], place: NodePlace) -> bool:
        """Whether `value` has been asked for it, and it is known still."""
        return place in self._known.get(lookup, ())

    def learn(self, lookup: Lookup[T], place: NodePlace, value: T) -> None:
        """Have *value* known of the node, which is what this transaction makes of it."""
        self._known.setdefault(lookup, {})[place] = value

    def put(
        self,
        statement: SetStatement,
        key: tuple[str | int, ...],
        row: Parameters,
        *,
        place: NodePlace | None = None,
        becomes: Mapping[Lookup[Any], Any] | None = None,
        keeps: Sequence[Lookup[Any]] = (),
    ) -> None:
        """Have *row* written; one with the same *key* that waits is replaced.

        It belongs to the node at *place*, with the lookups that it changes to the values of
        *becomes*, and those that it *keeps*; all else that depends on these tables is looked up
        again. Without a place it changes nothing that a lookup finds. NotFound, when it is written,
        where it refers to a node that is not there.
        """
        check_parameters(row)
        waiting = self._waiting.get(statement)
        if waiting is None:
            waiting = self._waiting[statement] = _Waiting()
            self._unwritten |= statement.writes
        waiting.rows[key] = row
        if place is not None:
            self._forget(statement.writes, place, keeps)
            for lookup, value in (becomes or {}).items():
                self.learn(lookup, place, value)

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
                raise NotFound("node", str(next(iter(rows.values()))["name"])) from error

    def _prepare(self, statement: Statement) -> None:
        if self._unwritten and not self._unwritten.isdisjoint(statement.tables):
            self.write()

    def _forget(
        self, tables: frozenset[str], place: NodePlace | None, keeps: Sequence[Lookup[Any]] = ()
    ) -> None:
        for lookup, known in self._known.items():
            if lookup in keeps or tables.isdisjoint(lookup.one.reads):
                continue
            if place is None:
                known.clear()
            else:
                known.pop(place, None)

    def _look_up(self, lookup: Lookup[T], place: NodePlace, known: dict[NodePlace, T]) -> None:
        namespace, name = place
        expected = self._expected.get(namespace, {})
        names = [one for one in expected if (namespace, one) not in known]
        if name not in expected or len(names) == 1:
            self._prepare(lookup.one)
            rows = self._run(lookup.one, {"namespace": namespace, "name": name})
            known[place] = lookup.make(place, rows)
            return
        self._prepare(lookup.many)
        wanted = {"namespace": namespace, "names": json_text(names)}
        found: dict[str, list[Row]] = {one: [] for one in names}
        for own, *row in json_rows(self._run(lookup.many, wanted)):
            found[own].append(row)
        for own, rows in found.items():
            known[namespace, own] = lookup.make((namespace, own), rows)


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

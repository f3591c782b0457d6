"""What one transaction knows of nodes that report, and the reports it has not written yet.

Nodes report by the hundred in one transaction. A statement for each look-up and each report would
let go of the interpreter, and wait for it, several times a report; here it is two for all of them.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from cloud.core.report import Reporter
from cloud.errors import NotFound
from cloud.store import report_sql
from cloud.store.parts.part import BrokenReference, Run, check_parameters
from cloud.store.rows import Parameters, Row, reporter_of

Place = tuple[str, str]
"""Namespace and name of a node."""

_ROWS = msgspec.json.Decoder(list[tuple[str | int | None, ...]])
_SEES_REPORTS = re.compile(r"\breport\b|\bDELETE FROM node\b")
_CHANGES_NODES = re.compile(r"\b(UPDATE|INTO|FROM) (node|report|ready_node|certificate)\b")
_NO_ROWS = "[]"


class Reporters:
    """The `Run` of a transaction, between its statements and those about reports.

    What was looked up here is forgotten when a statement changes it; what is not written is written
    before a statement that could see it, and by `write`.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known: dict[Place, Reporter | None] = {}
        self._unwritten: dict[Place, Parameters] = {}

    def __call__(self, statement: str, parameters: Parameters, /) -> Sequence[Row]:
        """As in `Run`."""
        if self._unwritten and _sees_reports(statement):
            self.write()
        if self._known and _changes_nodes(statement):
            self._forget(parameters)
        return self._run(statement, parameters)

    def each(self, statement: str, rows: Sequence[Parameters], /) -> None:
        """As in `Run`."""
        self.write()
        self._known.clear()
        self._run.each(statement, rows)

    def look_up(self, places: Iterable[Place]) -> None:
        """Learn of all *places* what `reporter` is asked next."""
        names: dict[str, list[str]] = {}
        for place in places:
            if place not in self._known:
                self._known[place] = None
                names.setdefault(place[0], []).append(place[1])
        for namespace, some in names.items():
            wanted = {"namespace": namespace, "names": msgspec.json.encode(some).decode()}
            found = self(report_sql.REPORTERS, wanted)[0][0]
            for name, *row in _ROWS.decode(found or _NO_ROWS):
                self._known[namespace, str(name)] = reporter_of(str(name), row)

    def reporter(self, place: Place) -> Reporter | None:
        """What is known of the node, by the report that was put last."""
        if place not in self._known:
            self.look_up([place])
        return self._known[place]

    def put(self, place: Place, row: Parameters, after: Reporter) -> None:
        """Have *row* written as the node's report, which makes *after* of the reporter."""
        check_parameters(row)
        self._unwritten[place] = row
        self._known[place] = after

    def write(self) -> None:
        """Write what is not written; in the order of names, as others may be at the same nodes."""
        if not self._unwritten:
            return
        rows, self._unwritten = self._unwritten, {}
        try:
            self._run.each(report_sql.PUT_REPORT, [rows[place] for place in sorted(rows)])
        except BrokenReference as error:
            if len(rows) > 1:
                raise
            raise NotFound("node", next(iter(rows))[1]) from error

    def _forget(self, parameters: Parameters) -> None:
        namespace, name = parameters.get("namespace"), parameters.get("name")
        if namespace is None or name is None:
            self._known.clear()
        else:
            self._known.pop((str(namespace), str(name)), None)


@lru_cache(maxsize=2048)
def _sees_reports(statement: str) -> bool:
    return _SEES_REPORTS.search(statement) is not None


@lru_cache(maxsize=2048)
def _changes_nodes(statement: str) -> bool:
    """Say whether *statement* changes what a reporter is made of, or deletes nodes."""
    return not statement.lstrip().startswith("SELECT") and (
        _CHANGES_NODES.search(statement) is not None
    )

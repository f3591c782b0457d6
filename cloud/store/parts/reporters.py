"""The state of nodes that report, within one transaction, and the reports that are not written yet.

Nodes report by the hundred in one transaction. A statement for each look-up and each report would
let go of the interpreter, and wait for it, several times a report; here it is two for all of them.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta

import msgspec

from cloud.core.core_configuration import Mode
from cloud.core.readiness import Heard, ReportCadence
from cloud.core.report import Order, Reporter
from cloud.errors import NotFound
from cloud.store.parts.nodes import core_of, labels_of, properties_of
from cloud.store.parts.part import (
    BrokenReference,
    Run,
    check_parameters,
)
from cloud.store.rows import Parameters, Row, moment, moment_or_none
from cloud.store.statements import Statement, statement

# As one row, JSON text: each row that is fetched lets go of the interpreter and waits for it. A
# cross join is done in the order it is written in; else SQLite would look at every node for each.
REPORTERS = statement(
    """
    SELECT CAST({json_group_array}({json_array}(node.name, node.document, node.mode, node.core,
        node.properties, node.open_deploy, (
            SELECT max(certificate.expires) FROM certificate
            WHERE certificate.node_id = node.namespace || '.' || node.name
                AND certificate.revoked IS NULL
        ), report.run, report.sequence, report.running, report.usage_step, report.received,
        report.usage_received, report.report_interval, report.longest_gap, report.online_since,
        report.said_interval, ready_node.name)) AS TEXT)
    FROM {elements[names]} CROSS JOIN node
    LEFT JOIN report ON report.namespace = node.namespace AND report.name = node.name
    LEFT JOIN ready_node
        ON ready_node.namespace = node.namespace AND ready_node.name = node.name
    WHERE node.namespace = :namespace AND node.name = given.value
    """,
    reads={"certificate", "node", "ready_node", "report"},
)
# An unchanged document keeps its place: PostgreSQL stores long values apart, and
# those that are stored are not written again (3 kB: a tenth of the log, 20 kB: a seventieth).
PUT_REPORT = statement(
    """
    INSERT INTO report (namespace, name, run, sequence, encoding, received, usage_received,
        document,
        usage, report_interval, longest_gap, online_since, said_interval)
    VALUES (:namespace, :name, :run, :sequence, :encoding, :received, NULL, :document, NULL,
        :report_interval, :longest_gap, :online_since, :said_interval)
    ON CONFLICT (namespace, name) DO UPDATE SET
        run = excluded.run, sequence = excluded.sequence, encoding = excluded.encoding,
        received = excluded.received, document = CASE
            WHEN report.document = excluded.document THEN report.document ELSE excluded.document
                END,
        usage = NULL, usage_received = NULL, report_interval = excluded.report_interval,
        longest_gap = excluded.longest_gap, online_since = excluded.online_since,
        said_interval = excluded.said_interval
    """,
    reads={"node"},
    writes={"report"},
)

NodePlace = tuple[str, str]
"""Namespace and name of a node."""

_ROWS = msgspec.json.Decoder(list[tuple[str | int | None, ...]])
_NO_ROWS = "[]"
_REPORTS = "report"
_MADE_OF = REPORTERS.tables
_MICROSECOND = timedelta(microseconds=1)


class Reporters:
    """The `Run` of a transaction, between its statements and those about reports.

    What was looked up here is forgotten when a statement changes it; what is not written is written
    before a statement that could see it, and by `write`.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known: dict[NodePlace, Reporter | None] = {}
        self._unwritten: dict[NodePlace, Parameters] = {}

    def __call__(self, statement: Statement, parameters: Parameters, /) -> Sequence[Row]:
        """As in `Run`."""
        if self._unwritten and _REPORTS in statement.tables:
            self.write()
        if self._known and statement.writes & _MADE_OF:
            self._forget(parameters)
        return self._run(statement, parameters)

    def each(self, statement: Statement, rows: Sequence[Parameters], /) -> None:
        """As in `Run`."""
        self.write()
        self._known.clear()
        self._run.each(statement, rows)

    def look_up(self, places: Iterable[NodePlace]) -> None:
        """Learn of all *places* what `reporter` is asked next."""
        names: dict[str, list[str]] = {}
        for place in places:
            if place not in self._known:
                self._known[place] = None
                names.setdefault(place[0], []).append(place[1])
        for namespace, some in names.items():
            wanted = {"namespace": namespace, "names": msgspec.json.encode(some).decode()}
            found = self(REPORTERS, wanted)[0][0]
            for name, *row in _ROWS.decode(found or _NO_ROWS):
                self._known[namespace, str(name)] = _reporter_of(str(name), row)

    def reporter(self, place: NodePlace) -> Reporter | None:
        """The state of the node, by the report that was put last; None: no such node."""
        if place not in self._known:
            self.look_up([place])
        return self._known[place]

    def put(self, place: NodePlace, row: Parameters, after: Reporter) -> None:
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
            self._run.each(PUT_REPORT, [rows[place] for place in sorted(rows)])
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


def _reporter_of(name: str, row: Row) -> Reporter:
    """The reporter of a row of `REPORTERS`; `run` is null where there is no report."""
    text, mode, core, properties, open_deploy, certified, run, sequence, *rest = row
    running, step, *heard, ready = rest
    return Reporter(
        labels_of(name, text),
        None if run is None else Order(run, sequence),
        Mode(mode),
        properties_of(properties),
        has_open_deploy=open_deploy is not None,
        core=core_of(core),
        heard=None if run is None else heard_of(heard),
        is_ready=ready is not None,
        running=running or "",
        usage_step=step or 0,
        certified=moment_or_none(certified),
    )


def heard_of(row: Row) -> Heard:
    """When a node was heard, of a row of `HEARD`."""
    received, usage_received, interval, longest, since, reported = row
    cadence = ReportCadence(
        interval * _MICROSECOND,
        longest * _MICROSECOND,
        moment_or_none(since),
        reported * _MICROSECOND,
    )
    return Heard(moment(received), moment_or_none(usage_received), cadence)

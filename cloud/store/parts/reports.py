"""Reports of nodes, the usage beside them, and how many nodes are ready."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from cloud.core.app import AppVersion
from cloud.core.offers import OfferReport
from cloud.core.readiness import (
    DEFAULT_CADENCE,
    Heard,
    ReportCadence,
    heard_again,
)
from cloud.core.report import Order, Report, Reported, Reporter, StoredReport
from cloud.errors import NotFound
from cloud.store.parts.node_status import REPORT_STATUS, STATS_HEARD
from cloud.store.parts.reporters import REPORTERS
from cloud.store.parts.row_sets import Lookup, NodePlace, RowSetPart
from cloud.store.rows import (
    Parameters,
    Row,
    heard_of,
    micros,
    micros_or_none,
    moment,
    moment_or_none,
)
from cloud.store.statements import set_statement, statement

REPORT = statement(
    """
    SELECT document, run, sequence, encoding, received, usage, usage_received FROM report
    WHERE namespace = :namespace AND name = :name
    """,
    reads={"report"},
)
REPORTS = statement(
    """
    SELECT CAST({json_group_array}({json_array}(report.name, report.document, report.run,
        report.sequence, report.encoding, report.received, report.usage, report.usage_received))
        AS TEXT)
    FROM {elements[names]} CROSS JOIN report
    WHERE report.namespace = :namespace AND report.name = given.value
    """,
    reads={"report"},
)
HEARD = statement(
    """
    SELECT received, usage_received, report_interval, longest_gap, online_since, said_interval
    FROM report
    WHERE namespace = :namespace AND name = :name
    """,
    reads={"report"},
)
HEARD_OF_NODES = statement(
    """
    SELECT CAST({json_group_array}({json_array}(report.name, report.received,
        report.usage_received, report.report_interval, report.longest_gap, report.online_since,
        report.said_interval)) AS TEXT)
    FROM {elements[names]} CROSS JOIN report
    WHERE report.namespace = :namespace AND report.name = given.value
    """,
    reads={"report"},
)
# An unchanged document keeps its place: PostgreSQL stores long values apart, and
# those that are stored are not written again (3 kB: a tenth of the log, 20 kB: a seventieth).
PUT_REPORT = set_statement(
    """
    INSERT INTO report (namespace, name, run, sequence, encoding, received, usage_received,
        document,
        usage, report_interval, longest_gap, online_since, said_interval)
    SELECT :namespace, :name, :run, :sequence, :encoding, :received, NULL, :document, NULL,
        :report_interval, :longest_gap, :online_since, :said_interval {rows}
    ON CONFLICT (namespace, name) DO UPDATE SET
        run = excluded.run, sequence = excluded.sequence, encoding = excluded.encoding,
        received = excluded.received, document = CASE
            WHEN report.document = excluded.document THEN report.document ELSE excluded.document
                END,
        usage = NULL, usage_received = NULL, report_interval = excluded.report_interval,
        longest_gap = excluded.longest_gap, online_since = excluded.online_since,
        said_interval = excluded.said_interval
    """,
    numbers={
        "sequence",
        "received",
        "report_interval",
        "longest_gap",
        "online_since",
        "said_interval",
    },
    documents={"document"},
    order=0,
    reads={"node"},
    writes={"report"},
)
PUT_USAGE = set_statement(
    """
    UPDATE report SET usage = :usage, usage_received = :now, online_since = :online_since {rows}
    AND report.namespace = :namespace AND report.name = :name
    """,
    numbers={"now", "online_since"},
    order=2,
    writes={"report"},
)

INIT_HEARD = statement(
    "SELECT received FROM init_report WHERE namespace = :namespace AND name = :name",
    reads={"init_report"},
)
PUT_INIT_HEARD = statement(
    """
    INSERT INTO init_report (namespace, name, received) VALUES (:namespace, :name, :now)
    ON CONFLICT (namespace, name) DO UPDATE SET received = excluded.received
    """,
    reads={"node"},
    writes={"init_report"},
)

_MICROSECOND = timedelta(microseconds=1)


class _ReportDocument(msgspec.Struct):
    """The fields of a stored report that `core.report.read_report` reads."""

    apps: tuple[AppVersion, ...] | None = None
    sysapps: tuple[AppVersion, ...] | None = None
    nodeprops: dict[str, Any] | None = None
    offers: tuple[OfferReport, ...] | None = None


_DOCUMENT = msgspec.json.Decoder(_ReportDocument)


class ReportPart(RowSetPart):
    """Reports and usage."""

    def report(self, namespace: str, name: str) -> StoredReport | None:
        return self._sets.value(LAST_REPORTS, (namespace, name))

    def heard(self, namespace: str, name: str) -> Heard | None:
        """When the node was heard, and how often it reports; None if it never did."""
        return self._sets.value(HEARD_NODES, (namespace, name))

    def init_heard(self, namespace: str, name: str) -> datetime | None:
        """When the node's `baetyl-init` reported last while its core did not; None if never."""
        found = self._run(INIT_HEARD, {"namespace": namespace, "name": name})
        return moment(found[0][0]) if found else None

    def put_init_heard(self, namespace: str, name: str, now: datetime) -> None:
        """Note that the `baetyl-init` of a node that is there reports, and its core does not."""
        self._run(PUT_INIT_HEARD, {"namespace": namespace, "name": name, "now": micros(now)})

    def put_report(
        self,
        namespace: str,
        name: str,
        report: Report,
        encoding: str,
        now: datetime,
        cadence: ReportCadence = DEFAULT_CADENCE,
    ) -> None:
        """Replace the node's last report, and drop the usage that came after the one before.

        *cadence* is the node's by this report; the default where it is left out.

        NotFound if there is no such node.
        """
        place = namespace, name
        before = self._sets.value(REPORTERS, place)
        if before is None:
            raise NotFound("node", name)
        row: Parameters = {
            "namespace": namespace,
            "name": name,
            "document": report.document.decode(),
            "run": report.order.run,
            "sequence": report.order.sequence,
            "encoding": encoding,
            "received": micros(now),
            **_cadence_row(cadence),
        }
        heard = Heard(now, None, cadence)
        after = msgspec.structs.replace(before, last=report.order, heard=heard)
        becomes: dict[Lookup[Any], Any] = {REPORTERS: after, HEARD_NODES: heard}
        self._sets.withdraw(PUT_USAGE, place)
        self._sets.put(PUT_REPORT, place, row, place=place, becomes=becomes)
        self._sets.withdraw(STATS_HEARD, place)
        status: Parameters = {
            "namespace": namespace,
            "name": name,
            "received": row["received"],
            "report_interval": row["report_interval"],
            "agent": report.agent,
            "knows_offers": int(report.offers is not None),
        }
        self._sets.put(REPORT_STATUS, place, status)

    def put_usage(self, namespace: str, name: str, usage: bytes, now: datetime) -> int | None:
        """Keep usage beside the node's report; None, and nothing stored, where there is none.

        Returns the number of the last step that has a point of usage.
        """
        place = namespace, name
        before = self._sets.value(REPORTERS, place)
        if before is None or before.heard is None:
            return None
        heard = heard_again(before.heard, now)
        row: Parameters = {
            "namespace": namespace,
            "name": name,
            "usage": usage.decode(),
            "now": micros(now),
            "online_since": micros_or_none(heard.cadence.since),
        }
        after = msgspec.structs.replace(before, heard=heard)
        becomes: dict[Lookup[Any], Any] = {REPORTERS: after, HEARD_NODES: heard}
        self._sets.put(PUT_USAGE, place, row, place=place, becomes=becomes)
        columns = ("namespace", "name", "now")
        self._sets.put(STATS_HEARD, place, {key: row[key] for key in columns})
        return before.usage_step

    def reporter(self, namespace: str, name: str) -> Reporter | None:
        """The node's state that taking a report depends on, in one look; None: no such node."""
        return self._sets.value(REPORTERS, (namespace, name))


def _cadence_row(cadence: ReportCadence) -> Parameters:
    """The parameters of `PUT_REPORT` for how often a node reports."""
    return {
        "report_interval": cadence.interval // _MICROSECOND,
        "longest_gap": cadence.longest // _MICROSECOND,
        "online_since": micros_or_none(cadence.since),
        "said_interval": cadence.reported // _MICROSECOND,
    }


def _stored_report_of(_place: NodePlace, rows: Sequence[Row]) -> StoredReport | None:
    """The report of a row of `REPORT`."""
    if not rows:
        return None
    text, run, sequence, encoding, received, usage, usage_received = rows[0]
    content = _DOCUMENT.decode(text)
    reported = Reported(_each_once(content.apps), _each_once(content.sysapps))
    return StoredReport(
        Report(
            text.encode(),
            reported,
            Order(run, sequence),
            content.nodeprops,
            offers=content.offers,
        ),
        encoding,
        moment(received),
        None if usage is None else usage.encode(),
        moment_or_none(usage_received),
    )


def _only_heard(_place: NodePlace, rows: Sequence[Row]) -> Heard | None:
    return heard_of(rows[0]) if rows else None


def _each_once(apps: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    return None if apps is None else tuple(dict.fromkeys(apps))


LAST_REPORTS = Lookup(REPORT, REPORTS, _stored_report_of)
HEARD_NODES = Lookup(HEARD, HEARD_OF_NODES, _only_heard)

"""Reports of nodes, the usage beside them, and how many nodes are ready."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from cloud.core.app import AppVersion
from cloud.core.readiness import (
    DEFAULT_CADENCE,
    OFFLINE_AFTER_INTERVALS,
    STALE_AFTER_INTERVALS,
    Heard,
    NodeState,
    ReportCadence,
)
from cloud.core.report import Order, Report, Reported, Reporter, StoredReport
from cloud.errors import NotFound
from cloud.store.parts.part import Run, TransactionPart, first
from cloud.store.parts.reporters import Reporters, heard_of
from cloud.store.rows import Parameters, Row, micros, micros_or_none, moment, moment_or_none
from cloud.store.sealing import Sealer
from cloud.store.statements import statement

REPORT = statement(
    """
    SELECT document, run, sequence, encoding, received, usage, usage_received FROM report
    WHERE namespace = :namespace AND name = :name
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
COUNT_STATES = statement(
    """
    SELECT (SELECT count(*) FROM node), count(*),
        coalesce(sum(CASE WHEN silence < :quiet * report_interval THEN 1 ELSE 0 END), 0),
        coalesce(sum(CASE WHEN silence < :gone * report_interval THEN 1 ELSE 0 END), 0)
    FROM (
        SELECT report_interval,
            :now - CASE WHEN usage_received > received THEN usage_received ELSE received END AS
                silence
        FROM report
    ) AS heard
    """,
    reads={"node", "report"},
)
COUNT_STATES_IN = statement(
    """
    SELECT (SELECT count(*) FROM node WHERE namespace = :namespace), count(*),
        coalesce(sum(CASE WHEN silence < :quiet * report_interval THEN 1 ELSE 0 END), 0),
        coalesce(sum(CASE WHEN silence < :gone * report_interval THEN 1 ELSE 0 END), 0)
    FROM (
        SELECT report_interval,
            :now - CASE WHEN usage_received > received THEN usage_received ELSE received END AS
                silence
        FROM report WHERE namespace = :namespace
    ) AS heard
    """,
    reads={"node", "report"},
)
PUT_USAGE = statement(
    """
    UPDATE report SET usage = :usage, usage_received = :now, online_since = CASE
        WHEN :now - received < :quiet * report_interval
            OR :now - usage_received < :quiet * report_interval
        THEN online_since ELSE :now END
    WHERE namespace = :namespace AND name = :name RETURNING usage_step
    """,
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


_DOCUMENT = msgspec.json.Decoder(_ReportDocument)


class ReportPart(TransactionPart):
    """Reports and usage."""

    def __init__(self, run: Run, sealer: Sealer) -> None:
        self._reporters = Reporters(run)
        super().__init__(self._reporters, sealer)

    def report(self, namespace: str, name: str) -> StoredReport | None:
        found = self._run(REPORT, {"namespace": namespace, "name": name})
        return first(_stored_report_of, found)

    def heard(self, namespace: str, name: str) -> Heard | None:
        """When the node was heard, and how often it reports; None if it never did."""
        found = self._run(HEARD, {"namespace": namespace, "name": name})
        return first(heard_of, found)

    def init_heard(self, namespace: str, name: str) -> datetime | None:
        """When the node's `baetyl-init` reported last while its core did not; None if never."""
        found = self._run(INIT_HEARD, {"namespace": namespace, "name": name})
        return moment(found[0][0]) if found else None

    def put_init_heard(self, namespace: str, name: str, now: datetime) -> None:
        """Note that the `baetyl-init` of a node that is there reports, and its core does not."""
        self._run(PUT_INIT_HEARD, {"namespace": namespace, "name": name, "now": micros(now)})

    def count_states(self, now: datetime) -> Mapping[NodeState, int]:
        """How many nodes, of all namespaces, are in which state at *now*.

        Looks at every report: 0.1 s or more of 100,000 nodes.
        """
        moments: Parameters = {
            "now": micros(now),
            "quiet": STALE_AFTER_INTERVALS,
            "gone": OFFLINE_AFTER_INTERVALS,
        }
        return states_of(self._run(COUNT_STATES, moments)[0])

    def count_states_in(self, namespace: str, now: datetime) -> Mapping[NodeState, int]:
        """As `count_states`, of one namespace."""
        where: Parameters = {"namespace": namespace, "now": micros(now)}
        bounds: Parameters = {"quiet": STALE_AFTER_INTERVALS, "gone": OFFLINE_AFTER_INTERVALS}
        return states_of(self._run(COUNT_STATES_IN, {**where, **bounds})[0])

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
        before = self._reporters.reporter(place)
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
        after = msgspec.structs.replace(before, last=report.order, heard=Heard(now, None, cadence))
        self._reporters.put(place, row, after)

    def put_usage(self, namespace: str, name: str, usage: bytes, now: datetime) -> int | None:
        """Keep usage beside the node's report; None, and nothing stored, where there is none.

        Returns the number of the last step that has a point of usage.
        """
        key = {"namespace": namespace, "name": name}
        row: Parameters = {
            **key,
            "usage": usage.decode(),
            "now": micros(now),
            "quiet": STALE_AFTER_INTERVALS,
        }
        return first(lambda found: int(found[0]), self._run(PUT_USAGE, row))

    def reporter(self, namespace: str, name: str) -> Reporter | None:
        """The node's state that taking a report depends on, in one look; None: no such node."""
        return self._reporters.reporter((namespace, name))

    def prefetch_reporters(self, nodes: Iterable[tuple[str, str]]) -> None:
        """Look at all *nodes* (namespace, name) at once, for `reporter` to be asked of each."""
        self._reporters.look_up(nodes)

    def finish(self) -> None:
        """Write what is not written yet; to be called before the commit."""
        self._reporters.write()


def states_of(row: Row) -> Mapping[NodeState, int]:
    """How many nodes stand how, of a row of `COUNT_STATES`."""
    nodes, heard, online, not_gone = map(int, row)
    return {
        NodeState.ONLINE: online,
        NodeState.STALE: not_gone - online,
        NodeState.OFFLINE: heard - not_gone,
        NodeState.NEVER: nodes - heard,
    }


def _cadence_row(cadence: ReportCadence) -> Parameters:
    """The parameters of `PUT_REPORT` for how often a node reports."""
    return {
        "report_interval": cadence.interval // _MICROSECOND,
        "longest_gap": cadence.longest // _MICROSECOND,
        "online_since": micros_or_none(cadence.since),
        "said_interval": cadence.reported // _MICROSECOND,
    }


def _stored_report_of(row: Row) -> StoredReport:
    """The report of a row of `REPORT`."""
    text, run, sequence, encoding, received, usage, usage_received = row
    content = _DOCUMENT.decode(text)
    reported = Reported(_each_once(content.apps), _each_once(content.sysapps))
    return StoredReport(
        Report(text.encode(), reported, Order(run, sequence), content.nodeprops),
        encoding,
        moment(received),
        None if usage is None else usage.encode(),
        moment_or_none(usage_received),
    )


def _each_once(apps: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    return None if apps is None else tuple(dict.fromkeys(apps))

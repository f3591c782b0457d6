"""What nodes said last, and which of them have to be told something."""
# ruff: noqa: D102  # `interface` says what each method promises

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from cloud.core.node import Node
from cloud.core.properties import Properties
from cloud.core.readiness import GONE, QUIET, USUAL_PACE, Heard, Pace, State
from cloud.core.report import Report, Reporter, StoredReport
from cloud.core.selectors import Selector
from cloud.errors import NotFound
from cloud.store import report_sql, sql
from cloud.store.parts.part import NOTHING, Part, Run, first
from cloud.store.parts.reporters import Reporters
from cloud.store.rows import (
    Parameters,
    Row,
    document,
    heard_of,
    micros,
    pace_row,
    properties_of,
    stored_report_of,
)
from cloud.store.sealing import Sealer
from cloud.store.selection import NODE, Selection
from cloud.store.usage_interface import Waiting


class ReportPart(Part):
    """Reports, usage and stale nodes."""

    def __init__(self, run: Run, sealer: Sealer) -> None:
        self._reporters = Reporters(run)
        super().__init__(self._reporters, sealer)
        # Whether there may be more stale nodes after the commit.
        self.marked_stale = False

    # reports
    def report(self, namespace: str, name: str) -> StoredReport | None:
        found = self._run(report_sql.REPORT, {"namespace": namespace, "name": name})
        return first(stored_report_of, found)

    def heard(self, namespace: str, name: str) -> Heard | None:
        found = self._run(report_sql.HEARD, {"namespace": namespace, "name": name})
        return first(heard_of, found)

    def count_states(self, now: datetime) -> Mapping[State, int]:
        moments: Parameters = {"now": micros(now), "quiet": QUIET, "gone": GONE}
        return states_of(self._run(report_sql.COUNT_STATES, moments)[0])

    def put_report(
        self,
        namespace: str,
        name: str,
        report: Report,
        encoding: str,
        now: datetime,
        pace: Pace = USUAL_PACE,
    ) -> None:
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
            **pace_row(pace),
        }
        after = msgspec.structs.replace(before, last=report.order, heard=Heard(now, None, pace))
        self._reporters.put(place, row, after)

    def put_usage(self, namespace: str, name: str, usage: bytes, now: datetime) -> int | None:
        key = {"namespace": namespace, "name": name}
        row: Parameters = {**key, "usage": usage.decode(), "now": micros(now), "quiet": QUIET}
        return first(lambda found: int(found[0]), self._run(report_sql.PUT_USAGE, row))

    def reporter(self, namespace: str, name: str) -> Reporter | None:
        return self._reporters.reporter((namespace, name))

    def foresee(self, nodes: Iterable[tuple[str, str]]) -> None:
        self._reporters.look_up(nodes)

    def finish(self) -> None:
        """Write what is not written yet; to be called before the commit."""
        self._reporters.write()

    # properties
    def properties(self, namespace: str, name: str) -> Properties:
        found = self._run(sql.PROPERTIES, {"namespace": namespace, "name": name})
        return properties_of(found[0][0] if found else None)

    def put_properties(self, namespace: str, name: str, properties: Properties) -> None:
        row = {"namespace": namespace, "name": name, "properties": document(properties)}
        if not self._run(sql.PUT_PROPERTIES, row):
            raise NotFound("node", name)

    # nodes to be told
    def mark_stale(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            self._run(sql.MARK_STALE, {"namespace": node.namespace, "name": node.name})
            self.marked_stale = True

    def count_waiting(self) -> Waiting:
        nodes, deliveries = self._run(report_sql.COUNT_WAITING, NOTHING)[0]
        return Waiting(nodes, deliveries)

    def mark_selected_stale(self, namespace: str, selector: Selector) -> None:
        if selector:
            Selection(self._run, NODE, namespace, selector).mark_stale()
            self.marked_stale = True

    def is_stale(self, namespace: str, name: str) -> bool:
        return bool(self._run(report_sql.IS_STALE, {"namespace": namespace, "name": name}))

    def take_stale(self, limit: int) -> Sequence[tuple[str, str]]:
        taken = self._run(sql.TAKE_STALE, {"limit": max(limit, 0)})
        return [(namespace, name) for namespace, name in taken]


def states_of(row: Row) -> Mapping[State, int]:
    """How many nodes stand how, of a row of `report_sql.COUNT_STATES`."""
    nodes, heard, online, not_gone = map(int, row)
    return {
        State.ONLINE: online,
        State.STALE: not_gone - online,
        State.OFFLINE: heard - not_gone,
        State.NEVER: nodes - heard,
    }

"""What nodes said last, and which of them have to be told something."""
# ruff: noqa: D102  # `interface` says what each method promises

from collections.abc import Iterable, Sequence
from datetime import datetime

from cloud.core.node import Node
from cloud.core.properties import Properties
from cloud.core.report import Report, Reporter, StoredReport
from cloud.core.selectors import Selector
from cloud.errors import NotFound
from cloud.store import sql
from cloud.store.parts.part import (
    BrokenReference,
    Part,
    Run,
    first,
)
from cloud.store.rows import (
    Parameters,
    document,
    micros,
    moment,
    properties_of,
    reporter_of,
    stored_report_of,
)
from cloud.store.sealing import Sealer
from cloud.store.selection import NODE, Selection


class ReportPart(Part):
    """Reports, usage and stale nodes."""

    def __init__(self, run: Run, sealer: Sealer) -> None:
        super().__init__(run, sealer)
        # Whether there may be more stale nodes after the commit.
        self.marked_stale = False

    # reports
    def report(self, namespace: str, name: str) -> StoredReport | None:
        found = self._run(sql.REPORT, {"namespace": namespace, "name": name})
        return first(stored_report_of, found)

    def last_seen(self, namespace: str, name: str) -> datetime | None:
        found = self._run(sql.LAST_SEEN, {"namespace": namespace, "name": name})
        return moment(found[0][0]) if found else None

    def put_report(
        self, namespace: str, name: str, report: Report, encoding: str, now: datetime
    ) -> None:
        row: Parameters = {
            "namespace": namespace,
            "name": name,
            "document": report.document.decode(),
            "run": report.order.run,
            "sequence": report.order.sequence,
            "encoding": encoding,
            "received": micros(now),
        }
        try:
            self._run(sql.PUT_REPORT, row)
        except BrokenReference as error:
            raise NotFound("node", name) from error

    def put_usage(self, namespace: str, name: str, usage: bytes, now: datetime) -> bool:
        key = {"namespace": namespace, "name": name}
        row: Parameters = {**key, "usage": usage.decode(), "now": micros(now)}
        return bool(self._run(sql.PUT_USAGE, row))

    def reporter(self, namespace: str, name: str) -> Reporter | None:
        found = self._run(sql.REPORTER, {"namespace": namespace, "name": name})
        return reporter_of(name, found[0]) if found else None

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

    def mark_selected_stale(self, namespace: str, selector: Selector) -> None:
        if selector:
            Selection(self._run, NODE, namespace, selector).mark_stale()
            self.marked_stale = True

    def take_stale(self, limit: int) -> Sequence[tuple[str, str]]:
        taken = self._run(sql.TAKE_STALE, {"limit": max(limit, 0)})
        return [(namespace, name) for namespace, name in taken]

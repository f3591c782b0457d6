"""Points of usage of nodes, over the last day."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from cloud.core.usage import UsagePoint
from cloud.store.parts.reporters import REPORTERS
from cloud.store.parts.reports import HEARD_NODES, LAST_REPORTS
from cloud.store.parts.row_sets import Lookup, RowSetPart
from cloud.store.rows import Parameters, Row, micros, moment
from cloud.store.statements import set_statement, statement

USAGE_POINTS = statement(
    """
    SELECT time, cpu, memory, cpu_part, memory_part FROM usage_point
    WHERE namespace = :namespace AND name = :name AND time > :since ORDER BY time
    """,
    reads={"usage_point"},
)
PUT_USAGE_POINT = set_statement(
    """
    INSERT INTO usage_point (namespace, name, slot, time, cpu, memory, cpu_part, memory_part)
    SELECT :namespace, :name, :slot, :time, :cpu, :memory, :cpu_part, :memory_part {rows}
    ON CONFLICT (namespace, name, slot) DO UPDATE SET time = excluded.time, cpu = excluded.cpu,
        memory = excluded.memory, cpu_part = excluded.cpu_part, memory_part = excluded.memory_part
    """,
    numbers={"slot", "time", "cpu", "memory", "cpu_part", "memory_part"},
    reads={"node"},
    writes={"usage_point"},
)
SET_LAST_USAGE = set_statement(
    """
    UPDATE node_status SET cpu = :cpu, memory = :memory, cpu_part = :cpu_part,
        memory_part = :memory_part {rows}
    AND node_status.namespace = :namespace AND node_status.name = :name
    """,
    numbers={"cpu", "memory", "cpu_part", "memory_part"},
    order=2,
    writes={"node_status"},
)
SET_USAGE_STEP = set_statement(
    """
    UPDATE report SET usage_step = :step {rows}
    AND report.namespace = :namespace AND report.name = :name
    """,
    numbers={"step"},
    order=2,
    writes={"report"},
)


class UsagePart(RowSetPart):
    """Usage points."""

    def usage_points(self, namespace: str, name: str, since: datetime) -> Sequence[UsagePoint]:
        """Those after *since*, the oldest first."""
        where: Parameters = {"namespace": namespace, "name": name, "since": micros(since)}
        return [_point_of(row) for row in self._run(USAGE_POINTS, where)]

    def put_usage_point(self, namespace: str, name: str, slot: int, point: UsagePoint) -> None:
        """Put *point* in the place of what was at *slot*; it is the last one of the node.

        NotFound if there is no such node.
        """
        row: Parameters = {
            "namespace": namespace,
            "name": name,
            "cpu": point.cpu,
            "memory": point.memory,
            "cpu_part": point.cpu_part,
            "memory_part": point.memory_part,
        }
        of_slot: Parameters = {**row, "slot": slot, "time": micros(point.time)}
        self._sets.put(PUT_USAGE_POINT, (namespace, name, slot), of_slot)
        self._sets.put(SET_LAST_USAGE, (namespace, name), row)

    def set_usage_step(self, namespace: str, name: str, number: int) -> None:
        """Record that the step of that *number* has its point."""
        place = namespace, name
        row: Parameters = {"namespace": namespace, "name": name, "step": number}
        becomes: dict[Lookup[Any], Any] = {}
        if self._sets.is_known(REPORTERS, place) and (own := self._sets.value(REPORTERS, place)):
            becomes[REPORTERS] = msgspec.structs.replace(own, usage_step=number)
        keeps = (HEARD_NODES, LAST_REPORTS)
        self._sets.put(SET_USAGE_STEP, place, row, place=place, becomes=becomes, keeps=keeps)


def _point_of(row: Row) -> UsagePoint:
    time, *used = row
    return UsagePoint(moment(time), *used)

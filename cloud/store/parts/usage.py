"""Points of usage of nodes, over the last day."""

from collections.abc import Sequence
from datetime import datetime

from cloud.core.usage import UsagePoint
from cloud.errors import NotFound
from cloud.store.parts.part import BrokenReference, TransactionPart
from cloud.store.rows import Parameters, Row, micros, moment
from cloud.store.statements import statement

USAGE_POINTS = statement(
    """
    SELECT time, cpu, memory, cpu_part, memory_part FROM usage_point
    WHERE namespace = :namespace AND name = :name AND time > :since ORDER BY time
    """,
    reads={"usage_point"},
)
PUT_USAGE_POINT = statement(
    """
    INSERT INTO usage_point (namespace, name, slot, time, cpu, memory, cpu_part, memory_part)
    VALUES (:namespace, :name, :slot, :time, :cpu, :memory, :cpu_part, :memory_part)
    ON CONFLICT (namespace, name, slot) DO UPDATE SET time = excluded.time, cpu = excluded.cpu,
        memory = excluded.memory, cpu_part = excluded.cpu_part, memory_part = excluded.memory_part
    """,
    reads={"node"},
    writes={"usage_point"},
)
SET_USAGE_STEP = statement(
    """
    UPDATE report SET usage_step = :step WHERE namespace = :namespace AND name = :name
    """,
    writes={"report"},
)


class UsagePart(TransactionPart):
    """Usage points."""

    def usage_points(self, namespace: str, name: str, since: datetime) -> Sequence[UsagePoint]:
        """Those after *since*, the oldest first."""
        where: Parameters = {"namespace": namespace, "name": name, "since": micros(since)}
        return [_point_of(row) for row in self._run(USAGE_POINTS, where)]

    def put_usage_point(self, namespace: str, name: str, slot: int, point: UsagePoint) -> None:
        """Put *point* in the place of what was at *slot*; NotFound if there is no such node."""
        row: Parameters = {
            "namespace": namespace,
            "name": name,
            "slot": slot,
            "time": micros(point.time),
            "cpu": point.cpu,
            "memory": point.memory,
            "cpu_part": point.cpu_part,
            "memory_part": point.memory_part,
        }
        try:
            self._run(PUT_USAGE_POINT, row)
        except BrokenReference as error:
            raise NotFound("node", name) from error

    def set_usage_step(self, namespace: str, name: str, number: int) -> None:
        """Record that the step of that *number* has its point."""
        row: Parameters = {"namespace": namespace, "name": name, "step": number}
        self._run(SET_USAGE_STEP, row)


def _point_of(row: Row) -> UsagePoint:
    time, *used = row
    return UsagePoint(moment(time), *used)

"""What runs in a fleet, and what its nodes use."""
# ruff: noqa: D102  # `usage_interface` says what each method promises

from collections.abc import Mapping, Sequence
from datetime import datetime

from cloud.core.readiness import GONE, QUIET, State
from cloud.core.running import RunningApp
from cloud.core.selectors import parse_selector
from cloud.core.usage import UsagePoint
from cloud.errors import NotFound
from cloud.store import sql, usage_sql
from cloud.store.parts.part import BrokenReference, Part
from cloud.store.parts.reports import states_of
from cloud.store.rows import Parameters, Row, micros, moment
from cloud.store.selection import NODE, Selection
from cloud.store.usage_interface import Waiting


class UsagePart(Part):
    """Reported apps, usage points, and the figures of a namespace."""

    # what nodes say they run
    def running_apps(self, namespace: str, name: str) -> Sequence[RunningApp]:
        found = self._run(usage_sql.RUNNING_APPS, {"namespace": namespace, "name": name})
        return [RunningApp(*row) for row in found]

    def put_running(
        self, namespace: str, name: str, apps: Sequence[RunningApp], digest: str
    ) -> None:
        key: Parameters = {"namespace": namespace, "name": name}
        # First, so that whoever notes the same node at the same time waits here.
        self._run(usage_sql.SET_RUNNING, {**key, "running": digest})
        before = set(self.running_apps(namespace, name))
        kept = {(app.name, app.version) for app in apps}
        for app in sorted(before):
            if (app.name, app.version) not in kept:
                own: Parameters = {"app": app.name, "version": app.version}
                self._run(usage_sql.DELETE_RUNNING_APP, {**key, **own})
        for app in apps:
            if app not in before:
                own = {"app": app.name, "version": app.version, "state": app.state}
                self._run(usage_sql.PUT_RUNNING_APP, {**key, **own})

    def count_running(self, namespace: str, app: str) -> Mapping[tuple[str, str], int]:
        found = self._run(usage_sql.COUNT_RUNNING, {"namespace": namespace, "app": app})
        return {(version, state): count for version, state, count in found}

    def count_away(
        self, namespace: str, selector: str, app: str, version: str, now: datetime
    ) -> int:
        terms = parse_selector(selector)
        if not terms:
            return 0
        values: Parameters = {"app": app, "version": version, "now": micros(now), "gone": GONE}
        selection = Selection(self._run, NODE, namespace, terms)
        return selection.count_where((usage_sql.LACKS, usage_sql.IS_AWAY), values)

    # what nodes used
    def usage_points(self, namespace: str, name: str, since: datetime) -> Sequence[UsagePoint]:
        where: Parameters = {"namespace": namespace, "name": name, "since": micros(since)}
        return [_point_of(row) for row in self._run(usage_sql.USAGE_POINTS, where)]

    def put_usage_point(self, namespace: str, name: str, slot: int, point: UsagePoint) -> None:
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
            self._run(usage_sql.PUT_USAGE_POINT, row)
        except BrokenReference as error:
            raise NotFound("node", name) from error

    def set_usage_step(self, namespace: str, name: str, number: int) -> None:
        row: Parameters = {"namespace": namespace, "name": name, "step": number}
        self._run(usage_sql.SET_USAGE_STEP, row)

    # a namespace at a glance
    def count_states_in(self, namespace: str, now: datetime) -> Mapping[State, int]:
        where: Parameters = {"namespace": namespace, "now": micros(now)}
        bounds: Parameters = {"quiet": QUIET, "gone": GONE}
        return states_of(self._run(usage_sql.COUNT_STATES_IN, {**where, **bounds})[0])

    def count_ends_in(self, namespace: str, bounds: Sequence[datetime]) -> Sequence[int]:
        counts = []
        for bound in bounds:
            where: Parameters = {"namespace": namespace, "before": micros(bound)}
            counts.append(int(self._run(sql.COUNT_CERTIFICATE_ENDS, where)[0][0]))
        return counts

    def count_activations(self, namespace: str, since: datetime) -> int:
        where: Parameters = {"namespace": namespace, "since": micros(since)}
        return int(self._run(usage_sql.COUNT_ACTIVATIONS, where)[0][0])

    def count_waiting_in(self, namespace: str) -> Waiting:
        nodes, deliveries = self._run(usage_sql.COUNT_WAITING_IN, {"namespace": namespace})[0]
        return Waiting(nodes, deliveries)


def _point_of(row: Row) -> UsagePoint:
    time, *used = row
    return UsagePoint(moment(time), *used)

"""Apps that nodes report as running; counted by indexes, no report is read for it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from cloud.core.readiness import OFFLINE_AFTER_INTERVALS
from cloud.core.running import RunningApp
from cloud.core.selectors import parse_selector
from cloud.store.parts.part import TransactionPart
from cloud.store.rows import Parameters, micros
from cloud.store.selection import NODE, Selection
from cloud.store.statements import fragment, statement

RUNNING_APPS = statement(
    """
    SELECT app, version, state FROM reported_app WHERE namespace = :namespace AND name = :name
    ORDER BY app, version
    """,
    reads={"reported_app"},
)
PUT_RUNNING_APP = statement(
    """
    INSERT INTO reported_app (namespace, name, app, version, state)
    VALUES (:namespace, :name, :app, :version, :state)
    ON CONFLICT (namespace, name, app, version) DO UPDATE SET state = excluded.state
    """,
    reads={"node"},
    writes={"reported_app"},
)
DELETE_RUNNING_APP = statement(
    """
    DELETE FROM reported_app
    WHERE namespace = :namespace AND name = :name AND app = :app AND version = :version
    """,
    reads={"node"},
    writes={"reported_app"},
)
SET_RUNNING = statement(
    """
    UPDATE report SET running = :running WHERE namespace = :namespace AND name = :name
    """,
    writes={"report"},
)
COUNT_RUNNING = statement(
    """
    SELECT version, state, count(*) FROM reported_app WHERE namespace = :namespace AND app = :app
    GROUP BY version, state
    """,
    reads={"reported_app"},
)

FAILED_NODES = statement(
    """
    SELECT name FROM reported_app
    WHERE namespace = :namespace AND app = :app AND version = :version
    AND state IN ('failed', 'refused') ORDER BY name LIMIT :limit
    """,
    reads={"reported_app"},
)

# fragments of a statement that `selection` puts together
LACKS = fragment(
    """NOT {exists} (SELECT 1 FROM reported_app AS own WHERE own.namespace = :namespace
AND own.name = place.name AND own.app = :app AND own.version = :version
AND own.state = 'running')""",
    reads={"reported_app"},
)
IS_AWAY = fragment(
    """NOT {exists} (SELECT 1 FROM report WHERE report.namespace = :namespace
AND report.name = place.name AND :now - CASE WHEN usage_received > received
THEN usage_received ELSE received END < :gone * report_interval)""",
    reads={"report"},
)


class RunningAppPart(TransactionPart):
    """Reported apps."""

    def running_apps(self, namespace: str, name: str) -> Sequence[RunningApp]:
        """Apps that the node reported last as running, by name and version."""
        found = self._run(RUNNING_APPS, {"namespace": namespace, "name": name})
        return [RunningApp(*row) for row in found]

    def put_running(
        self, namespace: str, name: str, apps: Sequence[RunningApp], digest: str
    ) -> None:
        """Record what the node runs, and its *digest*; only differences are written.

        The node has to have a report.
        """
        key: Parameters = {"namespace": namespace, "name": name}
        # First, so that concurrent writes of the same node wait here.
        self._run(SET_RUNNING, {**key, "running": digest})
        before = set(self.running_apps(namespace, name))
        kept = {(app.name, app.version) for app in apps}
        for app in sorted(before):
            if (app.name, app.version) not in kept:
                own: Parameters = {"app": app.name, "version": app.version}
                self._run(DELETE_RUNNING_APP, {**key, **own})
        for app in apps:
            if app not in before:
                own = {"app": app.name, "version": app.version, "state": app.state}
                self._run(PUT_RUNNING_APP, {**key, **own})

    def count_running(self, namespace: str, app: str) -> Mapping[tuple[str, str], int]:
        """How many nodes report *app*, by version and `RunState`."""
        found = self._run(COUNT_RUNNING, {"namespace": namespace, "app": app})
        return {(version, state): count for version, state, count in found}

    def failed_nodes(self, namespace: str, app: str, version: str, limit: int) -> Sequence[str]:
        """The first nodes by name that failed with *app* at *version*, up to *limit*."""
        key: Parameters = {"namespace": namespace, "app": app, "version": version}
        return [name for (name,) in self._run(FAILED_NODES, {**key, "limit": limit})]

    def count_away(
        self, namespace: str, selector: str, app: str, version: str, now: datetime
    ) -> int:
        """How many of the selected nodes do not run *app* at *version*, and are offline at *now*.

        So are those that never reported. Looks at each selected node.
        """
        terms = parse_selector(selector)
        if not terms:
            return 0
        values: Parameters = {
            "app": app,
            "version": version,
            "now": micros(now),
            "gone": OFFLINE_AFTER_INTERVALS,
        }
        selection = Selection(self._run, NODE, namespace, terms)
        return selection.count_where((LACKS, IS_AWAY), values)

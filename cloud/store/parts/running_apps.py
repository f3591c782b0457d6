"""Apps that nodes report as running; counted by indexes, no report is read for it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from cloud.core.readiness import OFFLINE_AFTER_INTERVALS
from cloud.core.running import RunningApp
from cloud.core.selectors import parse_selector
from cloud.store.node_selection import NodeSelection
from cloud.store.parts.reporters import REPORTERS
from cloud.store.parts.reports import HEARD_NODES, LAST_REPORTS
from cloud.store.parts.row_sets import Lookup, RowSetPart
from cloud.store.rows import Parameters, micros
from cloud.store.statements import fragment, set_statement, statement, statement_apart

RUNNING_APPS = statement(
    """
    SELECT app, version, state, cause FROM reported_app
    WHERE namespace = :namespace AND name = :name ORDER BY app, version
    """,
    reads={"reported_app"},
)
PUT_RUNNING_APP = set_statement(
    """
    INSERT INTO reported_app (namespace, name, app, version, state, cause)
    SELECT :namespace, :name, :app, :version, :state, :cause {rows}
    ON CONFLICT (namespace, name, app, version) DO UPDATE SET state = excluded.state,
        cause = excluded.cause
    WHERE reported_app.state <> excluded.state OR reported_app.cause <> excluded.cause
    """,
    reads={"node"},
    writes={"app_count", "reported_app"},
)
# Those that the node does not run any more; `_identity` distinguishes what it runs.
DELETE_RUNNING_APPS = set_statement(
    """
    DELETE FROM reported_app {using_rows}
    AND reported_app.namespace = :namespace AND reported_app.name = :name
    AND length(app) || ' ' || app || version NOT IN (SELECT given.value FROM {elements[kept]})
    """,
    order=2,
    reads={"node"},
    writes={"app_count", "reported_app"},
)
SET_RUNNING = set_statement(
    """
    UPDATE report SET running = :running {rows}
    AND report.namespace = :namespace AND report.name = :name
    """,
    order=2,
    writes={"report"},
)
COUNT_RUNNING = statement_apart(
    sqlite="""
    SELECT version, state, nodes FROM app_count WHERE namespace = :namespace AND app = :app
    """,
    postgres="""
    SELECT version, state, count(*) FROM reported_app WHERE namespace = :namespace AND app = :app
    GROUP BY version, state
    """,
    reads={"app_count"},
)

# Of an app that is rolled out, each node by the version for it.
COUNT_WANTED = statement(
    """
    SELECT own.state, count(*) FROM reported_app AS own LEFT JOIN assignment AS assigned
        ON assigned.namespace = own.namespace AND assigned.name = own.name
        AND assigned.app = own.app
    WHERE own.namespace = :namespace AND own.app = :app
        AND own.version = COALESCE(assigned.version, :version)
    GROUP BY own.state
    """,
    reads={"assignment", "reported_app"},
)
_FAILED = """
    FROM reported_app AS own WHERE own.namespace = :namespace AND own.app = :app
    AND own.state IN ('failed', 'refused', 'rolledBack') AND own.version = """
_ONE_VERSION = ":version"
_ASSIGNED_TO = """COALESCE((
        SELECT assigned.version FROM assignment AS assigned
        WHERE assigned.namespace = :namespace AND assigned.name = {node}
            AND assigned.app = :app
    ), :version)"""
_ASSIGNED = _ASSIGNED_TO.format(node="own.name")
_BY_NAME = " ORDER BY own.name LIMIT :limit"
_BY_CAUSE = " GROUP BY own.cause ORDER BY count(*) DESC, own.cause LIMIT :limit"
FAILED_NODES = statement(
    f"SELECT own.name {_FAILED}{_ONE_VERSION}{_BY_NAME}",
    reads={"reported_app"},
)
FAILED_ASSIGNED = statement(
    f"SELECT own.name {_FAILED}{_ASSIGNED}{_BY_NAME}",
    reads={"assignment", "reported_app"},
)
COUNT_CAUSES = statement(
    f"SELECT own.cause, count(*) {_FAILED}{_ONE_VERSION}{_BY_CAUSE}",
    reads={"reported_app"},
)
COUNT_CAUSES_ASSIGNED = statement(
    f"SELECT own.cause, count(*) {_FAILED}{_ASSIGNED}{_BY_CAUSE}",
    reads={"assignment", "reported_app"},
)
IS_REPORTED = statement(
    "SELECT 1 FROM reported_app WHERE namespace = :namespace AND app = :app LIMIT 1",
    reads={"reported_app"},
)

# fragments of a statement that `selection` puts together
_LACKS = """NOT {{exists}} (SELECT 1 FROM reported_app AS own WHERE own.namespace = :namespace
AND own.name = place.name AND own.app = :app AND own.version = {version}
AND own.state = 'running')"""
LACKS = fragment(_LACKS.format(version=_ONE_VERSION), reads={"reported_app"})
LACKS_ASSIGNED = fragment(_LACKS.format(version=_ASSIGNED), reads={"assignment", "reported_app"})
IS_FOR_NODE = fragment(f"{_ASSIGNED_TO.format(node='place.name')} <> ''", reads={"assignment"})
IS_AWAY = fragment("(place.heard IS NULL OR :now - place.heard >= :gone * place.report_interval)")


class RunningAppPart(RowSetPart):
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
        place = namespace, name
        key: Parameters = {"namespace": namespace, "name": name}
        becomes: dict[Lookup[Any], Any] = {}
        if self._sets.is_known(REPORTERS, place) and (own := self._sets.value(REPORTERS, place)):
            becomes[REPORTERS] = msgspec.structs.replace(own, running=digest)
        keeps = (HEARD_NODES, LAST_REPORTS)
        running: Parameters = {**key, "running": digest}
        self._sets.put(SET_RUNNING, place, running, place=place, becomes=becomes, keeps=keeps)
        for app in apps:
            row: Parameters = {"app": app.name, "version": app.version}
            state: Parameters = {"state": app.state, "cause": app.cause}
            row = {**key, **row, **state}
            self._sets.put(PUT_RUNNING_APP, (*place, app.name, app.version), row)
        kept = msgspec.json.encode([_identity(app) for app in apps]).decode()
        self._sets.put(DELETE_RUNNING_APPS, place, {**key, "kept": kept})

    def count_running(self, namespace: str, app: str) -> Mapping[tuple[str, str], int]:
        """How many nodes report *app*, by version and `RunState`."""
        found = self._run(COUNT_RUNNING, {"namespace": namespace, "app": app})
        return {(version, state): count for version, state, count in found}

    def count_wanted(self, namespace: str, app: str, version: str) -> Mapping[str, int]:
        """How many nodes report the version of *app* that is for them, by `RunState`.

        That is the one that is assigned to them, else *version*.
        """
        key: Parameters = {"namespace": namespace, "app": app, "version": version}
        return {state: int(count) for state, count in self._run(COUNT_WANTED, key)}

    def failed_nodes(
        self, namespace: str, app: str, version: str, limit: int, *, is_governed: bool = False
    ) -> Sequence[str]:
        """The first nodes by name that failed with *app* at *version*, up to *limit*.

        Where the app *is_governed*, each node with the version that is assigned to it, if one is.
        """
        key: Parameters = {"namespace": namespace, "app": app, "version": version}
        statement = FAILED_ASSIGNED if is_governed else FAILED_NODES
        return [name for (name,) in self._run(statement, {**key, "limit": limit})]

    def count_causes(
        self, namespace: str, app: str, version: str, limit: int, *, is_governed: bool = False
    ) -> Sequence[tuple[str, int]]:
        """Causes of failures with *app* at *version* and how many nodes have each, most first.

        *is_governed* as for `failed_nodes`.
        """
        key: Parameters = {"namespace": namespace, "app": app, "version": version}
        statement = COUNT_CAUSES_ASSIGNED if is_governed else COUNT_CAUSES
        found = self._run(statement, {**key, "limit": limit})
        return [(cause, int(nodes)) for cause, nodes in found]

    def is_reported_app(self, namespace: str, app: str) -> bool:
        """Whether a node names *app* in its last report, at any version."""
        return bool(self._run(IS_REPORTED, {"namespace": namespace, "app": app}))

    def count_away(
        self,
        namespace: str,
        selector: str,
        app: str,
        version: str,
        now: datetime,
        *,
        is_governed: bool = False,
    ) -> int:
        """How many of the selected nodes do not run *app* at *version*, and are offline at *now*.

        So are those that never reported. Looks at the status of each selected node. *is_governed*
        as for `failed_nodes`.
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
        selection = NodeSelection(self._run, namespace, terms, (), now=now, apps={})
        lacks = (IS_FOR_NODE, LACKS_ASSIGNED) if is_governed else (LACKS,)
        return selection.count_where((IS_AWAY, *lacks), values)


def _identity(app: RunningApp) -> str:
    """Name and version as one text, that of no other two."""
    return f"{len(app.name)} {app.name}{app.version}"

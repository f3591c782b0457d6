"""Rollouts, and the versions of apps that nodes get by them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from cloud.core.app import App
from cloud.core.desired import GovernedApp, governed_apps
from cloud.core.listing import ListOptions, Page
from cloud.core.readiness import STALE_AFTER_INTERVALS
from cloud.core.rollout import Rollout, RolloutState
from cloud.core.rollout_stages import RolloutNode, in_order
from cloud.core.selectors import Selector
from cloud.store.cache import SelectedNodes
from cloud.store.parts.assignments import AssignmentPart
from cloud.store.parts.nodes import labels_of
from cloud.store.parts.part import NOTHING, first, page_bounds, page_of
from cloud.store.rows import (
    ALL,
    Parameters,
    Row,
    document,
    json_rows,
    json_text,
    micros,
    moment,
)
from cloud.store.selection import NODE, Selection
from cloud.store.statements import statement

PUT_ROLLOUT = statement(
    """
    INSERT INTO rollout (namespace, name, app, number, state, created, document)
    VALUES (:namespace, :name, :app, :number, :state, :created, :document)
    ON CONFLICT (namespace, name) DO UPDATE SET state = excluded.state,
        document = excluded.document
    """,
    writes={"rollout"},
)
ROLLOUT = statement(
    "SELECT document FROM rollout WHERE namespace = :namespace AND name = :name",
    reads={"rollout"},
)
NEWEST_ROLLOUT = statement(
    """
    SELECT document FROM rollout WHERE namespace = :namespace AND app = :app
    ORDER BY number DESC LIMIT 1
    """,
    reads={"rollout"},
)
# A rollout that is done binds nothing but what it has assigned.
BINDING_ROLLOUTS = statement(
    """
    SELECT document FROM rollout WHERE namespace = :namespace AND number = (
        SELECT max(own.number) FROM rollout AS own
        WHERE own.namespace = rollout.namespace AND own.app = rollout.app
    ) AND (state <> 'done' OR EXISTS (
        SELECT 1 FROM assignment
        WHERE assignment.namespace = rollout.namespace AND assignment.app = rollout.app
    ))
    """,
    reads={"assignment", "rollout"},
)
ROLLOUTS_IN = statement(
    """
    SELECT document FROM rollout
    WHERE state IN (SELECT given.value FROM {elements[states]}) ORDER BY created, namespace, name
    """,
    reads={"rollout"},
)
LIST_ROLLOUTS = statement(
    """
    SELECT document FROM rollout WHERE namespace = :namespace
        AND (app = :app OR :app = '') AND (created, name) > (:after, :after_name)
    ORDER BY created, name LIMIT :limit
    """,
    reads={"rollout"},
)
COUNT_ROLLOUTS = statement(
    """
    SELECT count(*) FROM rollout WHERE namespace = :namespace AND (app = :app OR :app = '')
    """,
    reads={"rollout"},
)
DELETE_OLD_ROLLOUTS = statement(
    """
    DELETE FROM rollout WHERE namespace = :namespace AND app = :app AND number IN (
        SELECT number FROM rollout WHERE namespace = :namespace AND app = :app
        ORDER BY number DESC LIMIT :limit OFFSET :kept
    )
    """,
    writes={"rollout"},
)
APPS_IN_PROGRESS = statement(
    """
    SELECT DISTINCT namespace, app FROM rollout WHERE {exists} (
        SELECT 1 FROM assignment
        WHERE assignment.namespace = rollout.namespace AND assignment.app = rollout.app
            AND assignment.state
                IN ('waiting', 'offered', 'admitted', 'sent', 'skipped', 'returning')
    ) ORDER BY namespace, app
    """,
    reads={"assignment", "rollout"},
)

FLEET_LABELS = statement(
    """
    SELECT CAST({json_group_array}({json_array}(node.name, node.document)) AS TEXT)
    FROM {elements[names]} CROSS JOIN node
    WHERE node.namespace = :namespace AND node.name = given.value
    """,
    reads={"node"},
)
COUNT_FLEET = statement(
    "SELECT count(*) FROM node_status WHERE namespace = :namespace", reads={"node_status"}
)
# Of a fleet, every second while it is rolled out to, those that are not as most are: that are away,
# or know offers where that matters. One row: each that is fetched lets go of the interpreter.
_UNLIKE_MOST = """
    SELECT CAST({{json_group_array}}({{json_array}}(own.name, own.is_away, own.knows)) AS TEXT)
    FROM (
        SELECT place.name AS name, place.knows_offers AS knows, CASE WHEN place.revoked <> 0
            OR place.heard IS NULL OR place.name IN (
                SELECT name FROM node WHERE namespace = :namespace AND mode = 'local'
            ) OR :now >= :quiet * place.report_interval
                + CASE WHEN place.heard > :since THEN place.heard ELSE :since END
            THEN 1 ELSE 0 END AS is_away
        FROM {source}node_status AS place WHERE place.namespace = :namespace{condition}
    ) AS own WHERE own.is_away = 1 OR (own.knows = 1 AND :with_offers = 1)
"""
UNLIKE_MOST_IN = statement(
    _UNLIKE_MOST.format(source="", condition=""), reads={"node", "node_status"}
)
UNLIKE_MOST_OF = statement(
    _UNLIKE_MOST.format(
        source="{elements[names]} CROSS JOIN ", condition=" AND place.name = given.value"
    ),
    reads={"node", "node_status"},
)
# Apart, for those that it matters of: a page is read for each report.
REPORT_TIMES = statement(
    """
    SELECT CAST({json_group_array}({json_array}(report.name, report.received)) AS TEXT)
    FROM {elements[names]} CROSS JOIN report
    WHERE report.namespace = :namespace AND report.name = given.value
    """,
    reads={"report"},
)

MOST_OF = 2
"""Of up to so many times as many nodes all are looked at in a row, in a third of the time."""

_ROLLOUT = msgspec.json.Decoder(Rollout)


class RolloutPart(AssignmentPart):
    """Rollouts, and the nodes that they are for."""

    def put_rollout(self, rollout: Rollout) -> None:
        """Add it, or keep what has become of it; the highest target of an app is the newest.

        What it assigns to nodes is put before it is done.
        """
        before = self.rollout(rollout.namespace, rollout.name)
        row: Parameters = {
            "namespace": rollout.namespace,
            "name": rollout.name,
            "app": rollout.app,
            "number": int(rollout.target),
            "state": rollout.state.value,
            "created": micros(rollout.created),
            "document": document(rollout),
        }
        self._run(PUT_ROLLOUT, row)
        self.changed_rollouts = True
        if _differs(before, rollout):
            self._record_change()

    def rollout(self, namespace: str, name: str) -> Rollout | None:
        return first(_rollout_of, self._run(ROLLOUT, {"namespace": namespace, "name": name}))

    def newest_rollout(self, namespace: str, app: str) -> Rollout | None:
        """The newest of the app, whatever its state."""
        return first(_rollout_of, self._run(NEWEST_ROLLOUT, {"namespace": namespace, "app": app}))

    def rollouts_in(self, states: Iterable[RolloutState]) -> Sequence[Rollout]:
        """Those of all namespaces that are in one of *states*."""
        given = json_text([state.value for state in states])
        return [_rollout_of(row) for row in self._run(ROLLOUTS_IN, {"states": given})]

    def list_rollouts(self, namespace: str, options: ListOptions, app: str = "") -> Page[Rollout]:
        """The page that *options* asks for, of all or of one *app*; selectors are not applied."""
        key: Parameters = {"namespace": namespace, "app": app}
        found = [
            _rollout_of(row) for row in self._run(LIST_ROLLOUTS, {**key, **page_bounds(options)})
        ]
        total: int = self._run(COUNT_ROLLOUTS, key)[0][0]
        return page_of(found, total, options.limit, lambda one: (one.created, one.name))

    def delete_old_rollouts(self, namespace: str, app: str, kept: int) -> None:
        """Forget those of the app but the newest *kept*."""
        which: Parameters = {"namespace": namespace, "app": app, "kept": kept, "limit": ALL}
        self._run(DELETE_OLD_ROLLOUTS, which)

    def fleet_nodes(
        self,
        namespace: str,
        selector: Selector,
        *,
        now: datetime,
        watched: datetime | None = None,
        judged: Collection[str] = (),
        with_offers: bool = True,
    ) -> Sequence[RolloutNode]:
        """The nodes that *selector* selects as they are at *now*, in the order of rollouts.

        They can be heard since *watched* (None: always). Of those *judged*, by name, the time of
        the last report is looked up; whether nodes know offers, *with_offers*. None without terms.
        """
        if not selector:
            return ()
        revision = self._labels_revision((NODE, namespace))
        if revision is None:
            selected = self._fleet(namespace, selector)
        else:
            selected = self._cache.selected.value(
                (namespace, tuple(selector)), revision, lambda _: self._fleet(namespace, selector)
            )
        wanted: Parameters = {
            "namespace": namespace,
            "now": micros(now),
            "since": micros(watched) if watched else 0,
            "quiet": STALE_AFTER_INTERVALS,
            "with_offers": int(with_offers),
        }
        if selected.are_most:
            found = self._run(UNLIKE_MOST_IN, wanted)
        else:
            found = self._run(UNLIKE_MOST_OF, {**wanted, "names": selected.names})
        unlike = json_rows(found)
        away = {name for name, is_away, _ in unlike if is_away}
        knowing = {name for name, _, knows in unlike if knows}
        reports = self._report_times(namespace, judged)
        present = _present(namespace, selected, watched)
        if not unlike and not reports:
            return present
        unlike_most = away | knowing | reports.keys()
        return [
            msgspec.structs.replace(
                node,
                is_online=node.name not in away,
                last_report=reports.get(node.name),
                knows_offers=node.name in knowing,
            )
            if node.name in unlike_most
            else node
            for node in present
        ]

    def _report_times(self, namespace: str, names: Collection[str]) -> Mapping[str, datetime]:
        """When the last report of each of the nodes of these *names* was received."""
        if not names:
            return {}
        wanted = {"namespace": namespace, "names": json_text(list(names))}
        rows = json_rows(self._run(REPORT_TIMES, wanted))
        # Without a value for each time: many are the same.
        times = {received: moment(received) for received in {one for _, one in rows}}
        return {name: times[received] for name, received in rows}

    def _fleet(self, namespace: str, selector: Selector) -> SelectedNodes:
        selection = Selection(self._run, NODE, namespace, selector)
        names = json_text([name for name, _ in selection.page(None, ALL, selection.total())])
        rows = json_rows(self._run(FLEET_LABELS, {"namespace": namespace, "names": names}))
        total: int = self._run(COUNT_FLEET, {"namespace": namespace})[0][0]
        labels = {name: labels_of(name, text) for name, text in rows}
        labels = {name: labels[name] for name in in_order(namespace, labels)}
        return SelectedNodes(labels, names, are_most=total <= MOST_OF * len(labels))

    def apps_in_progress(self) -> Sequence[tuple[str, str]]:
        """Namespace and name of each app that a node waits for, or was sent, a version of."""
        return [(namespace, app) for namespace, app in self._run(APPS_IN_PROGRESS, NOTHING)]

    def _governed(self, apps: Sequence[App]) -> Mapping[str, GovernedApp]:
        namespace = apps[0].namespace
        found = self._run(BINDING_ROLLOUTS, {"namespace": namespace})
        rollouts = [_rollout_of(row) for row in found]
        pinned = self.pinned_apps(namespace) if rollouts else ()
        return governed_apps(apps, rollouts, pinned)


def _rollout_of(row: Row) -> Rollout:
    return _ROLLOUT.decode(row[0])


def _present(
    namespace: str, selected: SelectedNodes, watched: datetime | None
) -> Sequence[RolloutNode]:
    """The nodes *selected* as most of them are: online. Made once as long as they are the same."""
    known = selected.present.get(watched)
    if known is None:
        known = [
            RolloutNode(namespace, name, labels, is_online=True, watched=watched)
            for name, labels in selected.labels.items()
        ]
        selected.present.clear()
        selected.present[watched] = known
    return known


def _differs(before: Rollout | None, after: Rollout) -> bool:
    """Whether more than the count of changes is another one: catalogs have rollouts in them."""
    if before is None:
        return True
    same = {"revision": before.revision, "updated": before.updated}
    return msgspec.structs.replace(after, **same) != before

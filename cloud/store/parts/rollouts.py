"""Rollouts, and the versions of apps that nodes get by them."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from cloud.core.app import App
from cloud.core.core_configuration import Mode
from cloud.core.deploys import Deploy
from cloud.core.desired import GovernedApp, governed_apps
from cloud.core.listing import ListOptions, Page
from cloud.core.rollout import Assignment, AssignmentState, Rollout, RolloutState
from cloud.core.rollout_evidence import with_deploy
from cloud.core.rollout_stages import FleetNode
from cloud.core.selectors import Selector
from cloud.store.cache import StoreCache
from cloud.store.parts.nodes import labels_of
from cloud.store.parts.part import NOTHING, Run, first, page_bounds, page_of
from cloud.store.parts.pinned_versions import PinnedVersionPart
from cloud.store.parts.row_sets import Lookup, NodePlace
from cloud.store.rows import (
    ALL,
    Parameters,
    Row,
    document,
    json_rows,
    json_text,
    micros,
    moment_or_none,
    span,
)
from cloud.store.sealing import Sealer
from cloud.store.selection import NODE, Selection
from cloud.store.statements import set_statement, statement

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
PUT_ASSIGNMENT = set_statement(
    """
    INSERT INTO assignment (namespace, name, app, version, previous, stage, state, document)
    SELECT :namespace, :name, :app, :version, :previous, :stage, :state, :document {rows}
    AND EXISTS (SELECT 1 FROM node WHERE node.namespace = :namespace AND node.name = :name)
    ON CONFLICT (namespace, name, app) DO UPDATE SET version = excluded.version,
        previous = excluded.previous, stage = excluded.stage, state = excluded.state,
        document = excluded.document
    """,
    numbers={"stage"},
    reads={"node"},
    writes={"assignment"},
)
# The columns of an index stay as they are: this takes a third of the time.
SET_ASSIGNMENT = set_statement(
    """
    UPDATE assignment SET document = :document {rows} AND assignment.namespace = :namespace
    AND assignment.name = :name AND assignment.app = :app
    """,
    order=2,
    writes={"assignment"},
)
ASSIGNMENTS_OF_NODE = statement(
    "SELECT document FROM assignment WHERE namespace = :namespace AND name = :name ORDER BY app",
    reads={"assignment"},
)
ASSIGNMENTS_OF_NODES = statement(
    """
    SELECT CAST({json_group_array}({json_array}(assignment.name, assignment.document)) AS TEXT)
    FROM {elements[names]} CROSS JOIN assignment
    WHERE assignment.namespace = :namespace AND assignment.name = given.value
    """,
    reads={"assignment"},
)
# As one row: each that is fetched lets go of the interpreter. Of nodes that were admitted with
# their newest deploy, by which they stand.
ASSIGNMENTS_OF_APP = statement(
    """
    SELECT CAST({json_group_array}({json_array}(document, CASE WHEN state = 'admitted' THEN (
        SELECT deploy.document FROM deploy WHERE deploy.namespace = assignment.namespace
            AND deploy.name = assignment.name ORDER BY number DESC LIMIT 1
    ) END)) AS TEXT) FROM assignment
    WHERE namespace = :namespace AND app = :app
    """,
    reads={"assignment", "deploy"},
)
DELETE_ASSIGNMENTS_OF = statement(
    """
    DELETE FROM assignment WHERE namespace = :namespace AND app = :app
        AND name IN (SELECT given.value FROM {elements[names]})
    """,
    reads={"node"},
    writes={"assignment"},
)
DELETE_ASSIGNMENTS = statement(
    "DELETE FROM assignment WHERE namespace = :namespace AND app = :app",
    reads={"node"},
    writes={"assignment"},
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

# All of a fleet, every second while it is rolled out to: in one row, without what is not needed.
FLEET_NODES = statement(
    """
    SELECT CAST({json_group_array}({json_array}(node.name, node.document, node.mode,
        place.revoked, place.knows_offers, place.heard, place.report_interval, report.received
        )) AS TEXT)
    FROM {elements[names]} CROSS JOIN node
    JOIN node_status AS place ON place.namespace = node.namespace AND place.name = node.name
    LEFT JOIN report ON report.namespace = node.namespace AND report.name = node.name
    WHERE node.namespace = :namespace AND node.name = given.value
    """,
    reads={"node", "node_status", "report"},
)

_ROLLOUT = msgspec.json.Decoder(Rollout)
_ASSIGNMENT = msgspec.json.Decoder(Assignment)
_DEPLOY = msgspec.json.Decoder(Deploy)
_NO_ASSIGNMENTS: Mapping[str, Assignment] = MappingProxyType({})


def _by_app(_place: NodePlace, rows: Sequence[Row]) -> Mapping[str, Assignment]:
    if not rows:
        return _NO_ASSIGNMENTS
    found = [_ASSIGNMENT.decode(text) for (text,) in rows]
    return {one.app: one for one in found}


OF_NODE = Lookup(ASSIGNMENTS_OF_NODE, ASSIGNMENTS_OF_NODES, _by_app)


class RolloutPart(PinnedVersionPart):
    """Rollouts and assignments."""

    def __init__(self, run: Run, sealer: Sealer, cache: StoreCache) -> None:
        super().__init__(run, sealer, cache)
        # Whether some are others after the commit.
        self.changed_rollouts = False

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

    def fleet_nodes(self, namespace: str, selector: Selector) -> Sequence[FleetNode]:
        """The nodes that *selector* selects, in no order; without terms: none."""
        if not selector:
            return ()
        selection = Selection(self._run, NODE, namespace, selector)
        names = [name for name, _ in selection.page(None, ALL, selection.total())]
        wanted = {"namespace": namespace, "names": json_text(names)}
        return [_fleet_node(*row) for row in json_rows(self._run(FLEET_NODES, wanted))]

    def assignments_of_node(self, namespace: str, name: str) -> Mapping[str, Assignment]:
        """What is stored of what rollouts have assigned to the node, by app.

        How the node stands follows from it and from its deploy (`rollout_evidence.with_deploy`).
        """
        return self._sets.value(OF_NODE, (namespace, name))

    def assigned_versions(self, namespace: str, name: str) -> Mapping[str, str]:
        """The versions of that, by app."""
        found = self.assignments_of_node(namespace, name)
        return {app: one.version for app, one in found.items()}

    def assignments(self, namespace: str, app: str) -> Mapping[str, Assignment]:
        """How each node stands that has one of the app, by the names of nodes."""
        found = json_rows(self._run(ASSIGNMENTS_OF_APP, {"namespace": namespace, "app": app}))
        rows = {}
        for text, deploy in found:
            row = _ASSIGNMENT.decode(text)
            rows[row.node] = with_deploy(row, _DEPLOY.decode(deploy)) if deploy else row
        return rows

    def apps_in_progress(self) -> Sequence[tuple[str, str]]:
        """Namespace and name of each app that a node waits for, or was sent, a version of."""
        return [(namespace, app) for namespace, app in self._run(APPS_IN_PROGRESS, NOTHING)]

    def put_assignments(self, namespace: str, assignments: Iterable[Assignment]) -> None:
        """Keep them; nodes that are not there are left out."""
        for one in assignments:
            self.changed_rollouts = True
            row: Parameters = {
                "namespace": namespace,
                "name": one.node,
                "app": one.app,
                "version": one.version,
                "previous": one.previous,
                "stage": one.stage,
                "state": one.state.value,
                "document": document(one),
            }
            place = (namespace, one.node)
            key = (*place, one.app)
            becomes: dict[Lookup[Any], Any] = {}
            before = None
            if self._sets.is_known(OF_NODE, place):
                known = self._sets.value(OF_NODE, place)
                before = known.get(one.app)
                becomes[OF_NODE] = {**known, one.app: one}
            is_same = before is not None and _columns_of(before) == _columns_of(one)
            if is_same and not self._sets.is_waiting(PUT_ASSIGNMENT, key):
                own = {name: row[name] for name in ("namespace", "name", "app", "document")}
                self._sets.put(SET_ASSIGNMENT, key, own, place=place, becomes=becomes)
                continue
            self._sets.withdraw(SET_ASSIGNMENT, key)
            self._sets.put(PUT_ASSIGNMENT, key, row, place=place, becomes=becomes)

    def delete_assignments(
        self, namespace: str, app: str, nodes: Iterable[str] | None = None
    ) -> None:
        """Forget those of the app, all or those of *nodes*."""
        which: Parameters = {"namespace": namespace, "app": app}
        if nodes is None:
            self._run(DELETE_ASSIGNMENTS, which)
        else:
            self._run(DELETE_ASSIGNMENTS_OF, {**which, "names": json_text(list(nodes))})

    def _governed(self, apps: Sequence[App]) -> Mapping[str, GovernedApp]:
        namespace = apps[0].namespace
        found = self._run(BINDING_ROLLOUTS, {"namespace": namespace})
        rollouts = [_rollout_of(row) for row in found]
        pinned = self.pinned_apps(namespace) if rollouts else ()
        return governed_apps(apps, rollouts, pinned)


def _columns_of(one: Assignment) -> tuple[str, str, int, AssignmentState]:
    """What stands in columns of its own, beside the document."""
    return one.version, one.previous, one.stage, one.state


def _rollout_of(row: Row) -> Rollout:
    return _ROLLOUT.decode(row[0])


def _fleet_node(
    name: str,
    text: str,
    mode: str,
    revoked: int,
    knows_offers: int,
    heard: int | None,
    interval: int,
    received: int | None,
) -> FleetNode:
    return FleetNode(
        name,
        labels_of(name, text),
        moment_or_none(heard),
        span(interval),
        moment_or_none(received),
        is_shut_out=bool(revoked) or mode == Mode.LOCAL.value,
        knows_offers=bool(knows_offers),
    )


def _differs(before: Rollout | None, after: Rollout) -> bool:
    """Whether more than the count of changes is another one: catalogs have rollouts in them."""
    if before is None:
        return True
    same = {"revision": before.revision, "updated": before.updated}
    return msgspec.structs.replace(after, **same) != before

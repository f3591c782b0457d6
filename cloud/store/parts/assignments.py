"""What rollouts have assigned to nodes."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from cloud.core.deploys import Deploy
from cloud.core.rollout import Assignment, AssignmentState
from cloud.core.rollout_evidence import with_deploy
from cloud.store.cache import StoreCache
from cloud.store.parts.part import BrokenReference, Run
from cloud.store.parts.pinned_versions import PinnedVersionPart
from cloud.store.parts.row_sets import Lookup, NodePlace
from cloud.store.rows import Parameters, Row, document, json_rows, json_text
from cloud.store.sealing import Sealer
from cloud.store.statements import set_statement, statement

_BEGINNING = '{"node":"'
"""The nine characters that each document begins with; the name of the node follows."""

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
# The same for many nodes: each document gets the name of its node here. Most often all are there,
# which the reference to them shows; to look for each before takes a fifth of the time.
_SAME_ASSIGNMENTS = """
    INSERT INTO assignment (namespace, name, app, version, previous, stage, state, document)
    SELECT :namespace, given.value, :app, :version, :previous, :stage, :state,
        :beginning || given.value || :rest
    FROM {{elements[names]}} WHERE {condition}
    ON CONFLICT (namespace, name, app) DO UPDATE SET version = excluded.version,
        previous = excluded.previous, stage = excluded.stage, state = excluded.state,
        document = excluded.document
"""
PUT_SAME_ASSIGNMENTS = statement(
    _SAME_ASSIGNMENTS.format(condition="TRUE"), reads={"node"}, writes={"assignment"}
)
PUT_SAME_OF_THOSE_THERE = statement(
    _SAME_ASSIGNMENTS.format(
        condition="EXISTS (SELECT 1 FROM node"
        " WHERE node.namespace = :namespace AND node.name = given.value)"
    ),
    reads={"node"},
    writes={"assignment"},
)
# The documents from the end of the name of the node on: those of most nodes of a stage are the same
# then, and given once.
ASSIGNMENTS_OF_NODE = statement(
    """
    SELECT substr(document, 10 + length(name)) FROM assignment
    WHERE namespace = :namespace AND name = :name
    """,
    reads={"assignment"},
)
ASSIGNMENTS_OF_NODES = statement(
    """
    SELECT CAST({json_group_array}({json_array}(own.names, own.document)) AS TEXT) FROM (
        SELECT CAST({json_group_array}(assignment.name) AS TEXT) AS names,
            substr(assignment.document, 10 + length(assignment.name)) AS document
        FROM {elements[names]} CROSS JOIN assignment
        WHERE assignment.namespace = :namespace AND assignment.name = given.value
        GROUP BY 2
    ) AS own
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


class StoredAssignments(dict[str, Assignment]):
    """Assignments by the names of nodes, and the text that they were *stored* as."""

    def __init__(self, stored: str | None = None) -> None:
        super().__init__()
        self.stored = stored


SAME_AT_LEAST = 16
"""Nodes with equal assignments that are put by one statement."""

_ASSIGNMENT = msgspec.json.Decoder(Assignment)
_DEPLOY = msgspec.json.Decoder(Deploy)


class NodeAssignments(msgspec.Struct, frozen=True):
    """The assignments of a node by app, without its name, and the versions of these.

    *is_admitted*: it stands by its deploys with some of them.
    """

    rows: Mapping[str, Assignment]
    versions: Mapping[str, str]
    is_admitted: bool


def _assignments_of(rows: Iterable[Assignment]) -> NodeAssignments:
    by_app = {one.app: one for one in rows}
    versions = {app: one.version for app, one in by_app.items()}
    is_admitted = any(one.state is AssignmentState.ADMITTED for one in by_app.values())
    return NodeAssignments(by_app, versions, is_admitted)


# Those of the nodes of a stage differ by the names of the nodes alone.
@lru_cache(maxsize=1024)
def _assignments_in(documents: tuple[str, ...]) -> NodeAssignments:
    found = [_ASSIGNMENT.decode(_BEGINNING + text) for text in documents]
    return _assignments_of(sorted(found, key=lambda one: one.app))


NO_ASSIGNMENTS = _assignments_of(())


def _by_app(_place: NodePlace, rows: Sequence[Row]) -> NodeAssignments:
    return _assignments_in(tuple([text for (text,) in rows])) if rows else NO_ASSIGNMENTS


OF_NODE = Lookup(ASSIGNMENTS_OF_NODE, ASSIGNMENTS_OF_NODES, _by_app, are_shared=True)


class AssignmentPart(PinnedVersionPart):
    """Assignments."""

    def __init__(self, run: Run, sealer: Sealer, cache: StoreCache) -> None:
        super().__init__(run, sealer, cache)
        # Whether rollouts or assignments are others after the commit.
        self.changed_rollouts = False

    def assignments_of_node(self, namespace: str, name: str) -> Mapping[str, Assignment]:
        """What is stored of what rollouts have assigned to the node, by app.

        How the node stands follows from it and from its deploy (`rollout_evidence.with_deploy`).
        """
        found = self.assigned(namespace, name).rows
        return {app: msgspec.structs.replace(one, node=name) for app, one in found.items()}

    def assigned(self, namespace: str, name: str) -> NodeAssignments:
        """The same without the name of the node, in less time."""
        return self._sets.value(OF_NODE, (namespace, name))

    def assigned_to_each(self, nodes: Sequence[NodePlace]) -> Sequence[NodeAssignments]:
        """As `assigned` of each of *nodes* (namespace, name), which are expected."""
        return self._sets.values(OF_NODE, nodes)

    def assigned_versions(self, namespace: str, name: str) -> Mapping[str, str]:
        """The versions of that, by app."""
        return self.assigned(namespace, name).versions

    def assignments(self, namespace: str, app: str) -> StoredAssignments:
        """How each node stands that has one of the app, by the names of nodes."""
        found = self._run(ASSIGNMENTS_OF_APP, {"namespace": namespace, "app": app})
        rows = StoredAssignments(found[0][0])
        for text, deploy in json_rows(found):
            row = _ASSIGNMENT.decode(text)
            rows[row.node] = with_deploy(row, _DEPLOY.decode(deploy)) if deploy else row
        return rows

    def are_assignments(self, namespace: str, app: str, before: StoredAssignments) -> bool:
        """Whether all of the app are certainly those *before*; faster than to look at each."""
        found = self._run(ASSIGNMENTS_OF_APP, {"namespace": namespace, "app": app})
        return bool(found[0][0] == before.stored)

    def put_assignments(self, namespace: str, assignments: Iterable[Assignment]) -> None:
        """Keep them; nodes that are not there are left out."""
        given = list(assignments)
        self.changed_rollouts = self.changed_rollouts or bool(given)
        if len(given) < SAME_AT_LEAST:
            for one in given:
                self._put_assignment(namespace, one)
            return
        for same, names in _alike(given).items():
            if len(names) < SAME_AT_LEAST:
                for name in names:
                    self._put_assignment(namespace, msgspec.structs.replace(same, node=name))
            else:
                row = {**_row_of(namespace, same), "beginning": _BEGINNING}
                row["rest"] = str(row.pop("document")).removeprefix(_BEGINNING)
                del row["name"]
                # In the order of the table, which is faster, and that of others' locks.
                row["names"] = json_text(sorted(names))
                try:
                    self._run(PUT_SAME_ASSIGNMENTS, row)
                except BrokenReference:
                    self._run(PUT_SAME_OF_THOSE_THERE, row)

    def _put_assignment(self, namespace: str, one: Assignment) -> None:
        row, place = _row_of(namespace, one), (namespace, one.node)
        key = (*place, one.app)
        becomes: dict[Lookup[Any], Any] = {}
        before = None
        if self._sets.is_known(OF_NODE, place):
            known = self._sets.value(OF_NODE, place).rows
            before = known.get(one.app)
            unnamed = msgspec.structs.replace(one, node="")
            becomes[OF_NODE] = _assignments_of({**known, one.app: unnamed}.values())
        is_same = before is not None and _columns_of(before) == _columns_of(one)
        if is_same and not self._sets.is_waiting(PUT_ASSIGNMENT, key):
            own = {name: row[name] for name in ("namespace", "name", "app", "document")}
            self._sets.put(SET_ASSIGNMENT, key, own, place=place, becomes=becomes)
            return
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


def _alike(rows: Iterable[Assignment]) -> Mapping[Assignment, Sequence[str]]:
    """The names of the nodes of *rows*, by what else they state."""
    found: dict[Assignment, list[str]] = {}
    same, names = None, list[str]()
    for row in rows:
        unnamed = msgspec.structs.replace(row, node="")
        # Most are like the one before, which takes less time to find out than to hash it.
        if unnamed != same:
            same, names = unnamed, found.setdefault(unnamed, [])
        names.append(row.node)
    return found


def _row_of(namespace: str, one: Assignment) -> dict[str, str | int]:
    return {
        "namespace": namespace,
        "name": one.node,
        "app": one.app,
        "version": one.version,
        "previous": one.previous,
        "stage": one.stage,
        "state": one.state.value,
        "document": document(one),
    }


def _columns_of(one: Assignment) -> tuple[str, str, int, AssignmentState]:
    """What stands in columns of its own, beside the document."""
    return one.version, one.previous, one.stage, one.state

"""Deploys: the desired state that was sent to a node, and its outcome."""

from collections.abc import Sequence
from typing import Any

import msgspec

from cloud.core.deploys import Deploy
from cloud.store.parts.nodes import NODE_PROPERTIES, NODES
from cloud.store.parts.reporters import REPORTERS
from cloud.store.parts.row_sets import Lookup, NodePlace, RowSetPart
from cloud.store.rows import ALL, Parameters, Row, document
from cloud.store.statements import set_statement, statement

# Which deploy of a node is open stands with the node.
DEPLOYS = statement(
    """
    SELECT document FROM deploy WHERE namespace = :namespace AND name = :name
    ORDER BY number DESC LIMIT :limit
    """,
    reads={"deploy"},
)
OPEN_DEPLOY = statement(
    """
    SELECT deploy.document FROM node JOIN deploy ON deploy.namespace = node.namespace
        AND deploy.name = node.name AND deploy.number = node.open_deploy
    WHERE node.namespace = :namespace AND node.name = :name
    """,
    reads={"deploy", "node"},
)
LAST_DEPLOY = statement(
    """
    SELECT document FROM deploy WHERE namespace = :namespace AND name = :name
    ORDER BY number DESC LIMIT 1
    """,
    reads={"deploy"},
)
LAST_DEPLOYS = statement(
    """
    SELECT CAST({json_group_array}({json_array}(deploy.name, deploy.document)) AS TEXT)
    FROM {elements[names]} CROSS JOIN deploy
    WHERE deploy.namespace = :namespace AND deploy.name = given.value AND deploy.number = (
        SELECT max(own.number) FROM deploy AS own
        WHERE own.namespace = deploy.namespace AND own.name = deploy.name
    )
    """,
    reads={"deploy"},
)
OPEN_DEPLOYS = statement(
    """
    SELECT CAST({json_group_array}({json_array}(node.name, deploy.document)) AS TEXT)
    FROM {elements[names]} CROSS JOIN node CROSS JOIN deploy
    WHERE node.namespace = :namespace AND node.name = given.value
        AND deploy.namespace = node.namespace AND deploy.name = node.name
        AND deploy.number = node.open_deploy
    """,
    reads={"deploy", "node"},
)
PUT_DEPLOY = set_statement(
    """
    INSERT INTO deploy (namespace, name, number, document)
    SELECT :namespace, :name, :number, :document {rows}
    ON CONFLICT (namespace, name, number) DO UPDATE SET document = excluded.document
    """,
    numbers={"number"},
    documents={"document"},
    reads={"node"},
    writes={"deploy"},
)
SET_OPEN_DEPLOY = set_statement(
    """
    UPDATE node SET open_deploy = :number {rows}
    AND node.namespace = :namespace AND node.name = :name
    """,
    numbers={"number"},
    order=2,
    writes={"node"},
)
DELETE_OLD_DEPLOYS = set_statement(
    """
    DELETE FROM deploy {using_rows}
    AND deploy.namespace = :namespace AND deploy.name = :name AND deploy.number <= :number
    """,
    numbers={"number"},
    order=2,
    reads={"node"},
    writes={"deploy"},
)

_DEPLOY = msgspec.json.Decoder(Deploy)


def _only_deploy(_place: NodePlace, rows: Sequence[Row]) -> Deploy | None:
    return _DEPLOY.decode(rows[0][0]) if rows else None


OPEN = Lookup(OPEN_DEPLOY, OPEN_DEPLOYS, _only_deploy)
LAST = Lookup(LAST_DEPLOY, LAST_DEPLOYS, _only_deploy)


class DeployPart(RowSetPart):
    """Deploys, the newest of each node."""

    def deploys(self, namespace: str, name: str, limit: int | None = None) -> Sequence[Deploy]:
        """Those of the node, the newest first."""
        key = {"namespace": namespace, "name": name}
        found = self._run(DEPLOYS, {**key, "limit": ALL if limit is None else limit})
        return [_deploy_of(row) for row in found]

    def open_deploy(self, namespace: str, name: str) -> Deploy | None:
        """The one whose end is waited for, if there is one."""
        return self._sets.value(OPEN, (namespace, name))

    def last_deploy(self, namespace: str, name: str) -> Deploy | None:
        """The newest of the node, open or not."""
        place = (namespace, name)
        return self._known_last(place) or self._sets.value(LAST, place)

    def put_deploy(self, namespace: str, name: str, deploy: Deploy, *, is_open: bool) -> None:
        """NotFound if there is no such node."""
        place, number = (namespace, name), deploy.number
        key: Parameters = {"namespace": namespace, "name": name}
        becomes: dict[Lookup[Any], Any] = {OPEN: deploy if is_open else None}
        if self._sets.is_known(LAST, place) or self._known_last(place):
            last = self.last_deploy(namespace, name)
            becomes[LAST] = deploy if last is None or last.number <= number else last
        if self._sets.is_known(REPORTERS, place) and (own := self._sets.value(REPORTERS, place)):
            becomes[REPORTERS] = msgspec.structs.replace(own, has_open_deploy=is_open)
        row: Parameters = {**key, "number": number, "document": document(deploy)}
        self._sets.put(PUT_DEPLOY, (*place, number), row, place=place, becomes=becomes)
        opened: Parameters = {**key, "number": number if is_open else None}
        keeps = (*becomes, NODES, NODE_PROPERTIES)
        self._sets.put(SET_OPEN_DEPLOY, place, opened, place=place, keeps=keeps)

    def _known_last(self, place: NodePlace) -> Deploy | None:
        """The one that is known to be open, and so is the newest; None where that is not known."""
        if self._sets.is_known(LAST, place) or not self._sets.is_known(OPEN, place):
            return None
        return self._sets.value(OPEN, place)

    def delete_old_deploys(self, namespace: str, name: str, number: int) -> None:
        """Forget those of the node up to *number*."""
        key: Parameters = {"namespace": namespace, "name": name, "number": number}
        place = (namespace, name)
        keeps = [
            lookup
            for lookup in (OPEN, LAST)
            if self._sets.is_known(lookup, place)
            and ((own := self._sets.value(lookup, place)) is None or own.number > number)
        ]
        self._sets.put(DELETE_OLD_DEPLOYS, place, key, place=place, keeps=keeps)


def _deploy_of(row: Row) -> Deploy:
    return _DEPLOY.decode(row[0])

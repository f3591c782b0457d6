"""Deploys: the desired state that was sent to a node, and its outcome."""

from collections.abc import Sequence

import msgspec

from cloud.core.deploys import Deploy
from cloud.errors import NotFound
from cloud.store.parts.part import BrokenReference, TransactionPart, first
from cloud.store.rows import ALL, Parameters, Row, document
from cloud.store.statements import statement

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
PUT_DEPLOY = statement(
    """
    INSERT INTO deploy (namespace, name, number, document)
    VALUES (:namespace, :name, :number, :document)
    ON CONFLICT (namespace, name, number) DO UPDATE SET document = excluded.document
    """,
    reads={"node"},
    writes={"deploy"},
)
SET_OPEN_DEPLOY = statement(
    """
    UPDATE node SET open_deploy = :number WHERE namespace = :namespace AND name = :name
    """,
    writes={"node"},
)
DELETE_OLD_DEPLOYS = statement(
    """
    DELETE FROM deploy WHERE namespace = :namespace AND name = :name AND number <= :number
    """,
    reads={"node"},
    writes={"deploy"},
)

_DEPLOY = msgspec.json.Decoder(Deploy)


class DeployPart(TransactionPart):
    """Deploys, the newest of each node."""

    def deploys(self, namespace: str, name: str, limit: int | None = None) -> Sequence[Deploy]:
        """Those of the node, the newest first."""
        key = {"namespace": namespace, "name": name}
        found = self._run(DEPLOYS, {**key, "limit": ALL if limit is None else limit})
        return [_deploy_of(row) for row in found]

    def open_deploy(self, namespace: str, name: str) -> Deploy | None:
        """The one whose end is waited for, if there is one."""
        found = self._run(OPEN_DEPLOY, {"namespace": namespace, "name": name})
        return first(_deploy_of, found)

    def put_deploy(self, namespace: str, name: str, deploy: Deploy, *, is_open: bool) -> None:
        """NotFound if there is no such node."""
        key: Parameters = {"namespace": namespace, "name": name}
        number = deploy.number
        try:
            self._run(PUT_DEPLOY, {**key, "number": number, "document": document(deploy)})
        except BrokenReference as error:
            raise NotFound("node", name) from error
        self._run(SET_OPEN_DEPLOY, {**key, "number": number if is_open else None})

    def delete_old_deploys(self, namespace: str, name: str, number: int) -> None:
        """Forget those of the node up to *number*."""
        key: Parameters = {"namespace": namespace, "name": name, "number": number}
        self._run(DELETE_OLD_DEPLOYS, key)


def _deploy_of(row: Row) -> Deploy:
    return _DEPLOY.decode(row[0])

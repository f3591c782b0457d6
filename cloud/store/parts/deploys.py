"""What nodes were told to run, and what came of it."""
# ruff: noqa: D102  # `interface` says what each method promises

from collections.abc import Sequence

import msgspec

from cloud.core.deploys import Deploy
from cloud.errors import NotFound
from cloud.store import sql
from cloud.store.parts.part import BrokenReference, Part, first
from cloud.store.rows import Parameters, Row, document
from cloud.store.selection import ALL

_DEPLOY = msgspec.json.Decoder(Deploy)


class DeployPart(Part):
    """Deploys, the newest of each node."""

    def deploys(self, namespace: str, name: str, limit: int | None = None) -> Sequence[Deploy]:
        key = {"namespace": namespace, "name": name}
        found = self._run(sql.DEPLOYS, {**key, "limit": ALL if limit is None else limit})
        return [_deploy_of(row) for row in found]

    def open_deploy(self, namespace: str, name: str) -> Deploy | None:
        found = self._run(sql.OPEN_DEPLOY, {"namespace": namespace, "name": name})
        return first(_deploy_of, found)

    def put_deploy(self, namespace: str, name: str, deploy: Deploy, *, is_open: bool) -> None:
        key: Parameters = {"namespace": namespace, "name": name}
        number = deploy.number
        try:
            self._run(sql.PUT_DEPLOY, {**key, "number": number, "document": document(deploy)})
        except BrokenReference as error:
            raise NotFound("node", name) from error
        self._run(sql.SET_OPEN_DEPLOY, {**key, "number": number if is_open else None})

    def delete_old_deploys(self, namespace: str, name: str, number: int) -> None:
        key: Parameters = {"namespace": namespace, "name": name, "number": number}
        self._run(sql.DELETE_OLD_DEPLOYS, key)


def _deploy_of(row: Row) -> Deploy:
    return _DEPLOY.decode(row[0])

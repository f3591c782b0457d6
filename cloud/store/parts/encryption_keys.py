"""Encryption keys of nodes."""

from collections.abc import Sequence
from typing import Any

import msgspec

from cloud.core.encryption_key import EncryptionKey
from cloud.store.parts.reporters import REPORTERS
from cloud.store.parts.row_sets import Lookup, NodePlace, RowSetPart
from cloud.store.rows import Parameters, Row
from cloud.store.statements import set_statement, statement

PUT_ENCRYPTION_KEY = set_statement(
    """
    INSERT INTO encryption_key (namespace, name, key, time)
    SELECT :namespace, :name, :key, :time {rows}
    ON CONFLICT (namespace, name) DO UPDATE SET key = excluded.key, time = excluded.time
    """,
    numbers={"time"},
    reads={"node"},
    writes={"encryption_key"},
)
ENCRYPTION_KEY = statement(
    "SELECT key, time FROM encryption_key WHERE namespace = :namespace AND name = :name",
    reads={"encryption_key"},
)
ENCRYPTION_KEYS_OF_NODES = statement(
    """
    SELECT CAST({json_group_array}({json_array}(encryption_key.name, encryption_key.key,
        encryption_key.time)) AS TEXT)
    FROM {elements[names]} CROSS JOIN encryption_key
    WHERE encryption_key.namespace = :namespace AND encryption_key.name = given.value
    """,
    reads={"encryption_key"},
)
DELETE_ENCRYPTION_KEY = statement(
    "DELETE FROM encryption_key WHERE namespace = :namespace AND name = :name",
    reads={"node"},
    writes={"encryption_key"},
)


class EncryptionKeyPart(RowSetPart):
    """Encryption keys."""

    def encryption_key(self, namespace: str, name: str) -> EncryptionKey | None:
        """The one of the node, if it has one."""
        return self._sets.value(KEYS_OF_NODES, (namespace, name))

    def put_encryption_key(self, namespace: str, name: str, key: EncryptionKey) -> None:
        """Have secrets sealed to *key* from now on. NotFound, once written: no such node."""
        place = namespace, name
        becomes: dict[Lookup[Any], Any] = {KEYS_OF_NODES: key}
        if self._sets.is_known(REPORTERS, place) and (own := self._sets.value(REPORTERS, place)):
            becomes[REPORTERS] = msgspec.structs.replace(own, encryption=key)
        row: Parameters = {"namespace": namespace, "name": name, "key": key.key, "time": key.time}
        self._sets.put(PUT_ENCRYPTION_KEY, place, row, place=place, becomes=becomes)

    def delete_encryption_key(self, namespace: str, name: str) -> None:
        """Forget the one of the node, if it has one."""
        self._run(DELETE_ENCRYPTION_KEY, {"namespace": namespace, "name": name})


def _only_key(_place: NodePlace, rows: Sequence[Row]) -> EncryptionKey | None:
    return EncryptionKey(str(rows[0][0]), int(rows[0][1])) if rows else None


KEYS_OF_NODES = Lookup(ENCRYPTION_KEY, ENCRYPTION_KEYS_OF_NODES, _only_key)

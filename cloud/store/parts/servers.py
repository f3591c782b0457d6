"""Servers that share the database, and those that are gone."""

from datetime import datetime

from cloud.store.parts.part import (
    TransactionPart,
)
from cloud.store.rows import micros
from cloud.store.statements import statement

RECORD_SERVER = statement(
    """
    INSERT INTO server (id, seen, version) VALUES (:id, :now, :version)
    ON CONFLICT (id) DO UPDATE SET seen = excluded.seen, version = excluded.version
    """,
    writes={"server"},
)
CLAIM_SERVER = statement(
    """
    UPDATE server SET seen = :now WHERE id =
        (SELECT id FROM server WHERE seen < :since ORDER BY seen, id LIMIT 1 {skip_locked})
    AND seen < :since RETURNING id
    """,
    writes={"server"},
)
KEEP_SERVER = statement("UPDATE server SET seen = :now WHERE id = :id", writes={"server"})
FORGET_SERVER = statement("DELETE FROM server WHERE id = :id", writes={"server"})


class ServerPart(TransactionPart):
    """Servers."""

    def record_server(self, server_id: str, now: datetime, version: str) -> None:
        """Record that the server, which runs *version*, was seen at *now*."""
        self._run(RECORD_SERVER, {"id": server_id, "now": micros(now), "version": version})

    def claim_server(self, since: datetime, now: datetime) -> str | None:
        """A server that was not seen since *since*, seen again at *now*; no two callers get it.

        None: there is none.
        """
        found = self._run(CLAIM_SERVER, {"since": micros(since), "now": micros(now)})
        return str(found[0][0]) if found else None

    def renew_server(self, server_id: str, now: datetime) -> None:
        """As `record_server`, if the server is not forgotten."""
        self._run(KEEP_SERVER, {"id": server_id, "now": micros(now)})

    def forget_server(self, server_id: str) -> None:
        self._run(FORGET_SERVER, {"id": server_id})

"""Which servers share the database, and which of them is gone."""
# ruff: noqa: D102  # `interface` says what each method promises

from datetime import datetime

from cloud.store.parts.part import Part
from cloud.store.rows import micros

NOTE_SERVER = """
INSERT INTO server (id, seen) VALUES (:id, :now) ON CONFLICT (id) DO UPDATE SET seen = excluded.seen
"""
CLAIM_SERVER = """
UPDATE server SET seen = :now WHERE id =
    (SELECT id FROM server WHERE seen < :since ORDER BY seen, id LIMIT 1)
AND seen < :since RETURNING id
"""
KEEP_SERVER = "UPDATE server SET seen = :now WHERE id = :id"
FORGET_SERVER = "DELETE FROM server WHERE id = :id"


class ServerPart(Part):
    """The servers."""

    def note_server(self, server_id: str, now: datetime) -> None:
        self._run(NOTE_SERVER, {"id": server_id, "now": micros(now)})

    def claim_server(self, since: datetime, now: datetime) -> str | None:
        found = self._run(CLAIM_SERVER, {"since": micros(since), "now": micros(now)})
        return str(found[0][0]) if found else None

    def keep_server(self, server_id: str, now: datetime) -> None:
        self._run(KEEP_SERVER, {"id": server_id, "now": micros(now)})

    def forget_server(self, server_id: str) -> None:
        self._run(FORGET_SERVER, {"id": server_id})

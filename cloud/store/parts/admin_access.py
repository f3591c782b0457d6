"""The administrator's token, once a command has changed it."""

from datetime import datetime

from cloud.core.admin_access import INITIAL_ACCESS, AdminAccess
from cloud.store.parts.part import NOTHING, TransactionPart, first
from cloud.store.rows import Parameters, Row, micros, moment
from cloud.store.statements import statement

ADMIN_ACCESS = statement(
    "SELECT digest, enabled, changed FROM admin_access WHERE id = 1",
    reads={"admin_access"},
)
PUT_ADMIN_ACCESS = statement(
    """
    INSERT INTO admin_access (id, digest, enabled, changed) VALUES (1, :digest, :enabled, :changed)
    ON CONFLICT (id) DO UPDATE SET
        digest = excluded.digest, enabled = excluded.enabled, changed = excluded.changed
    """,
    writes={"admin_access"},
)


class AdminAccessPart(TransactionPart):
    """The administrator's token."""

    def admin_access(self) -> AdminAccess:
        """Which token is accepted, if any."""
        return first(_access_of, self._run(ADMIN_ACCESS, NOTHING)) or INITIAL_ACCESS

    def put_admin_access(self, digest: str, *, is_enabled: bool, now: datetime) -> None:
        """In place of what was there."""
        row: Parameters = {"digest": digest, "enabled": int(is_enabled), "changed": micros(now)}
        self._run(PUT_ADMIN_ACCESS, row)


def _access_of(row: Row) -> AdminAccess:
    digest, enabled, changed = row
    return AdminAccess(digest, bool(enabled), moment(changed))

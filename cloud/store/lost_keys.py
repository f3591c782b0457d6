"""Keys that a database was written with and that the data directory lacks."""

from collections.abc import Sequence
from pathlib import Path

from cloud.errors import Unavailable
from cloud.store.parts.audit import AUDIT_HEAD
from cloud.store.sealing import SEALED_CHECK
from cloud.store.upkeep import Database
from cloud.store.witness import KEY_FILE

SEALING_KEY = "secrets.key"
AUTHORITY = "ca"

_WITHOUT = {
    KEY_FILE: "no older entry of the audit log can be verified then",
    AUTHORITY: "no node that was activated before can connect then",
}
"""The consequence of making a new one."""

_BRING_BACK = "restore it from a backup, or from another server on the same database"


def lost_keys(database: Database, directory: Path) -> Sequence[str]:
    """Names of what is missing in *directory*; none for a database that no server has opened yet.

    Unavailable if the database cannot be read.
    """
    if database.missing():
        return ()
    with database.look() as rows:
        tables = {row[0] for row in rows(database.tables)}
        if "sealing" not in tables or not list(rows(SEALED_CHECK)):
            return ()
        needed = [SEALING_KEY, AUTHORITY]
        # A version without an audit log may have used it last.
        if "audit_head" in tables and any(row[-1] for row in rows(AUDIT_HEAD)):
            needed.append(KEY_FILE)
    return sorted(name for name in needed if not (directory / name).exists())


def check_lost(lost: Sequence[str], directory: Path, *, may_replace: bool) -> None:
    """Unavailable, with what to do, if keys are *lost* that may not be replaced."""
    if SEALING_KEY in lost:
        raise Unavailable(
            f"{', '.join(lost)}: missing in {directory}, and what the database holds cannot be"
            f" opened without {SEALING_KEY}; {_BRING_BACK}"
        )
    if lost and not may_replace:
        costs = "; ".join(f"{name}: {_WITHOUT[name]}" for name in lost)
        raise Unavailable(
            f"{', '.join(lost)}: missing in {directory} although the database has been in use;"
            f" {_BRING_BACK}. --replace-lost-keys starts with new ones ({costs})"
        )


def check_log_keys(database: Database, directory: Path) -> None:
    """Unavailable if a key is lost that an entry of the audit log needs."""
    lost = [name for name in lost_keys(database, directory) if name != AUTHORITY]
    check_lost(lost, directory, may_replace=False)

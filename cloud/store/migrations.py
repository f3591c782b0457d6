"""The tables, and the migration of a database of an older version.

Each migration stays as it was once released; a new one is added below it. Nothing else imports
sqlite_utils.
"""

import sqlite3
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from cloud.errors import Unavailable
from cloud.store.tables import (
    admin_access,
    agents,
    assignments,
    audit,
    commands,
    deliveries,
    device_logins,
    encryption_keys,
    events,
    first,
    guard,
    local_users,
    node_status,
    probe,
    refused,
    revisions,
    secret_sources,
    sessions,
    tokens,
    trends,
    usage,
    user_sessions,
)
from cloud.store.tables.definition import Definition

if TYPE_CHECKING:
    from sqlite_utils import Database

_SET = "edgesync"
"""What sqlite_utils calls these migrations."""

Step = tuple[str, tuple[Definition, ...]]
"""An id, and the definitions of the step."""

STEPS: tuple[Step, ...] = (
    ("0001_first_tables", first.FIRST_TABLES),
    ("0002_install_tokens", first.INSTALL_TOKENS),
    ("0003_api_tokens", first.API_TOKENS),
    ("0004_labels", first.LABELS),
    ("0005_certificate_keys", first.CERTIFICATE_KEYS),
    ("0006_properties", first.PROPERTIES),
    ("0007_revocation", first.REVOCATION),
    ("0008_uses", first.USES),
    ("0009_audit", audit.AUDIT),
    ("0010_deploys", first.DEPLOYS),
    ("0011_record_names", first.RECORD_NAMES),
    ("0012_callbacks", first.CALLBACKS),
    ("0013_last_certificates", first.LAST_CERTIFICATES),
    ("0014_record_counts", first.RECORD_COUNTS),
    ("0015_pace", first.PACE),
    ("0016_servers", first.SERVERS),
    ("0017_revisions", revisions.REVISIONS),
    ("0018_events", events.EVENTS),
    ("0019_usage", usage.USAGE),
    ("0020_commands", commands.COMMANDS),
    ("0021_guard", guard.GUARD),
    ("0022_command_parts", commands.COMMAND_PARTS),
    ("0023_write_probe", probe.PROBE),
    ("0024_ended_sessions", sessions.ENDED_SESSIONS),
    ("0025_init_reports", agents.INIT_REPORTS),
    ("0026_event_folds", events.EVENT_FOLDS),
    ("0027_said_intervals", first.SAID_INTERVALS),
    ("0028_node_status", node_status.NODE_STATUS),
    ("0029_sent_deliveries", deliveries.SENT_DELIVERIES),
    ("0030_refused_devices", refused.REFUSED_DEVICES),
    ("0031_node_usage", node_status.NODE_USAGE),
    ("0032_trends", trends.TRENDS),
    ("0033_notification_groups", deliveries.NOTIFICATION_GROUPS),
    ("0034_user_sessions", user_sessions.USER_SESSIONS),
    ("0035_assignments", assignments.ASSIGNMENTS),
    ("0036_offers", node_status.KNOWS_OFFERS),
    ("0037_admin_access", admin_access.ADMIN_ACCESS),
    ("0038_encryption_keys", encryption_keys.ENCRYPTION_KEYS),
    ("0039_label_text", node_status.LABEL_TEXT),
    ("0040_token_scopes", tokens.TOKEN_SCOPES),
    ("0041_label_text_outdated", node_status.LABEL_TEXT_OUTDATED),
    ("0042_app_counts", usage.APP_COUNTS),
    ("0043_local_users", local_users.LOCAL_USERS),
    ("0044_secret_sources", secret_sources.SECRET_SOURCES),
    ("0045_server_versions", first.SERVER_VERSIONS),
    ("0046_assignments_by_state", assignments.BY_STATE_FIRST),
    ("0047_device_logins", device_logins.DEVICE_LOGINS),
    ("0048_nodes_by_labels", node_status.NODES_BY_LABELS),
    ("0049_online_until", node_status.ONLINE_UNTIL),
    ("0050_local_nodes", node_status.LOCAL_NODES),
)
"""Every migration there ever was, by its id, in their order."""


def migrate(connection: sqlite3.Connection, steps: tuple[Step, ...] = STEPS) -> None:
    """Take the steps the database has not taken yet, each in a transaction of its own.

    Unavailable if it has taken one that is not among them: a newer server has written it.
    """
    taken = _taken(connection)
    refuse_unknown(taken, steps)
    if taken.issuperset(name for name, _ in steps):
        return
    from sqlite_utils import Database, Migrations  # a tenth of the time that a server starts in

    migrations = Migrations(_SET)
    for name, definitions in steps:
        migrations(name=name)(_taking(definitions))
    migrations.apply(Database(connection, execute_plugins=False))


def _taken(connection: sqlite3.Connection) -> set[str]:
    """Names of the steps that the database has taken, as sqlite_utils keeps them."""
    tables = "SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'"
    if connection.execute(tables).fetchone() is None:
        return set()
    names = "SELECT name FROM _sqlite_migrations WHERE migration_set = ?"
    return {name for (name,) in connection.execute(names, [_SET])}


def refuse_unknown(taken: Iterable[str], steps: tuple[Step, ...] = STEPS) -> None:
    """Unavailable if a step was *taken* that is not among *steps*: a newer server did."""
    if unknown := sorted(set(taken) - {name for name, _ in steps}):
        raise Unavailable(
            f"a newer version of this server has written the database: it took {unknown[-1]}."
            " Install that version again, or restore the backup that was made before the upgrade"
            " (docs/upgrading.md)"
        )


def _taking(definitions: tuple[Definition, ...]) -> Callable[["Database"], None]:
    def take(db: "Database") -> None:
        for definition in definitions:
            db.execute(definition.sqlite)

    return take

"""The tables, and how a database of an older version becomes one of this version.

Each migration stays as it was once released; a new one is added below it. Nothing else imports
sqlite_utils.
"""

import sqlite3
from collections.abc import Callable

from sqlite_utils import Database, Migrations

from cloud.errors import Unavailable

Step = Callable[[Database], None]

_FIRST_TABLES = (
    """
    CREATE TABLE node (
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        document TEXT NOT NULL,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        PRIMARY KEY (namespace, name)
    ) STRICT
    """,
    """
    CREATE TABLE resource (
        kind TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        document TEXT NOT NULL,
        version TEXT NOT NULL,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        PRIMARY KEY (kind, namespace, name)
    ) STRICT
    """,
    """
    CREATE TABLE revision (
        id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
        version INTEGER NOT NULL,
        resources INTEGER NOT NULL
    ) STRICT
    """,
    "INSERT INTO revision (id, version, resources) VALUES (1, 0, 0)",
    """
    CREATE TABLE batch (
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        document TEXT NOT NULL,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        PRIMARY KEY (namespace, name)
    ) STRICT
    """,
    """
    CREATE TABLE record (
        namespace TEXT NOT NULL,
        batch TEXT NOT NULL,
        name TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        normalised TEXT NOT NULL,
        node_name TEXT NOT NULL,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        active INTEGER NOT NULL,
        active_ip TEXT NOT NULL,
        active_time INTEGER,
        PRIMARY KEY (namespace, batch, name),
        UNIQUE (namespace, batch, normalised),
        FOREIGN KEY (namespace, batch) REFERENCES batch (namespace, name)
    ) STRICT
    """,
    "CREATE INDEX record_of_node ON record (namespace, node_name)",
    """
    CREATE TABLE certificate (
        serial TEXT NOT NULL PRIMARY KEY,
        node_id TEXT NOT NULL,
        created INTEGER NOT NULL,
        expires INTEGER NOT NULL,
        revoked INTEGER
    ) STRICT
    """,
    "CREATE INDEX certificate_of_node ON certificate (node_id)",
    """
    CREATE TABLE report (
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        run TEXT NOT NULL,
        sequence INTEGER,
        encoding TEXT NOT NULL,
        received INTEGER NOT NULL,
        usage_received INTEGER,
        document TEXT NOT NULL,
        usage TEXT,
        PRIMARY KEY (namespace, name),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ) STRICT
    """,
    """
    CREATE TABLE stale_node (
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        PRIMARY KEY (namespace, name),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ) STRICT
    """,
    "CREATE TABLE sealing (id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), sealed TEXT NOT NULL)"
    " STRICT",
)

_INSTALL_TOKENS = (
    """
    CREATE TABLE install_token (
        digest TEXT NOT NULL PRIMARY KEY,
        namespace TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        created INTEGER NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE INDEX install_token_of_target ON install_token (namespace, kind, name)",
    "CREATE INDEX install_token_by_expiry ON install_token (expires)",
)

_LABELS = (
    """
    CREATE TABLE label (
        kind TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        number INTEGER,
        created INTEGER NOT NULL,
        PRIMARY KEY (kind, namespace, name, key)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX label_by_value ON label (kind, namespace, key, value, created, name, number)",
    "CREATE INDEX node_by_age ON node (namespace, created, name)",
    "CREATE INDEX resource_by_age ON resource (kind, namespace, created, name)",
    "CREATE INDEX batch_by_age ON batch (namespace, created, name)",
    "CREATE INDEX record_by_age ON record (namespace, batch, created, name)",
    # Nouns of before, whose labels are to be filled in by who has the key.
    """
    CREATE TABLE unlabelled (
        kind TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        PRIMARY KEY (kind, namespace, name)
    ) STRICT, WITHOUT ROWID
    """,
    """
    INSERT INTO label (kind, namespace, name, key, value, number, created)
    SELECT kind, namespace, name, 'secret-type',
        CASE kind WHEN 'secret' THEN 'config' ELSE 'registry' END, NULL, created
    FROM resource WHERE kind IN ('secret', 'registry')
    """,
    "INSERT INTO unlabelled SELECT 'node', namespace, name FROM node",
    """
    INSERT INTO unlabelled
    SELECT kind, namespace, name FROM resource WHERE kind IN ('app', 'config')
    """,
)


_API_TOKENS = (
    """
    CREATE TABLE api_token (
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        digest TEXT NOT NULL UNIQUE,
        role TEXT NOT NULL,
        created INTEGER NOT NULL,
        expires INTEGER,
        last_used INTEGER,
        PRIMARY KEY (namespace, name)
    ) STRICT
    """,
)
_REVOCATION = (
    """
    CREATE TABLE revocation (
        id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
        changes INTEGER NOT NULL,
        number INTEGER NOT NULL,
        issued INTEGER NOT NULL
    ) STRICT
    """,
    "INSERT INTO revocation (id, changes, number, issued) VALUES (1, 0, 0, 0)",
    "CREATE INDEX certificate_revoked ON certificate (expires) WHERE revoked IS NOT NULL",
)

_CERTIFICATE_KEYS = ("ALTER TABLE certificate ADD COLUMN key TEXT NOT NULL DEFAULT ''",)

_PROPERTIES = (
    "ALTER TABLE node ADD COLUMN mode TEXT NOT NULL DEFAULT 'cloud'",
    "ALTER TABLE node ADD COLUMN core TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE node ADD COLUMN properties TEXT",
)

_USES = (
    """
    CREATE TABLE app_use (
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        used_kind TEXT NOT NULL,
        used_name TEXT NOT NULL,
        created INTEGER NOT NULL,
        PRIMARY KEY (namespace, name, used_kind, used_name)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX app_using ON app_use (namespace, used_kind, used_name, created, name)",
    """
    CREATE TABLE label_revision (
        kind TEXT NOT NULL,
        namespace TEXT NOT NULL,
        revision INTEGER NOT NULL,
        PRIMARY KEY (kind, namespace)
    ) STRICT, WITHOUT ROWID
    """,
    # The apps of before: what they use is filled in as labels are.
    """
    INSERT INTO unlabelled SELECT kind, namespace, name FROM resource WHERE kind = 'app'
    ON CONFLICT DO NOTHING
    """,
)


def _first_tables(db: Database) -> None:
    for statement in _FIRST_TABLES:
        db.execute(statement)


def _install_tokens(db: Database) -> None:
    for statement in _INSTALL_TOKENS:
        db.execute(statement)


def _api_tokens(db: Database) -> None:
    for statement in _API_TOKENS:
        db.execute(statement)


def _labels(db: Database) -> None:
    for statement in _LABELS:
        db.execute(statement)


def _certificate_keys(db: Database) -> None:
    for statement in _CERTIFICATE_KEYS:
        db.execute(statement)


def _properties(db: Database) -> None:
    for statement in _PROPERTIES:
        db.execute(statement)


def _revocation(db: Database) -> None:
    for statement in _REVOCATION:
        db.execute(statement)


def _uses(db: Database) -> None:
    for statement in _USES:
        db.execute(statement)


STEPS: tuple[tuple[str, Step], ...] = (
    ("0001_first_tables", _first_tables),
    ("0002_install_tokens", _install_tokens),
    ("0003_api_tokens", _api_tokens),
    ("0004_labels", _labels),
    ("0005_certificate_keys", _certificate_keys),
    ("0006_properties", _properties),
    ("0007_revocation", _revocation),
    ("0008_uses", _uses),
)
"""Every migration there ever was, by its id, in their order."""


def migrate(connection: sqlite3.Connection, steps: tuple[tuple[str, Step], ...] = STEPS) -> None:
    """Take the steps the database has not taken yet, each in a transaction of its own.

    Unavailable if it has taken one that is not among them: a newer server has written it.
    """
    migrations = Migrations("edgesync")
    for name, step in steps:
        migrations(name=name)(step)
    db = Database(connection, execute_plugins=False)
    taken = {migration.name for migration in migrations.applied(db)}
    if unknown := sorted(taken - {name for name, _ in steps}):
        raise Unavailable(
            f"a newer version of this server has written the database: it took {unknown[-1]}"
        )
    migrations.apply(db)

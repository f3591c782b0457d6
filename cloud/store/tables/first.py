"""The tables of nodes, resources, batches, credentials, the audit log and what goes with them."""

FIRST_TABLES = (
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

INSTALL_TOKENS = (
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

LABELS = (
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


API_TOKENS = (
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
REVOCATION = (
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

CERTIFICATE_KEYS = ("ALTER TABLE certificate ADD COLUMN key TEXT NOT NULL DEFAULT ''",)

PROPERTIES = (
    "ALTER TABLE node ADD COLUMN mode TEXT NOT NULL DEFAULT 'cloud'",
    "ALTER TABLE node ADD COLUMN core TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE node ADD COLUMN properties TEXT",
)
CALLBACKS = (
    """
    CREATE TABLE callback (
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        document TEXT NOT NULL,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        last_success INTEGER,
        last_error TEXT NOT NULL DEFAULT '',
        last_error_time INTEGER,
        PRIMARY KEY (namespace, name)
    ) STRICT
    """,
    """
    CREATE TABLE delivery (
        id TEXT NOT NULL PRIMARY KEY,
        namespace TEXT NOT NULL,
        callback TEXT NOT NULL,
        content_type TEXT NOT NULL,
        content TEXT NOT NULL,
        created INTEGER NOT NULL,
        due INTEGER,
        attempts INTEGER NOT NULL,
        error TEXT NOT NULL,
        FOREIGN KEY (namespace, callback) REFERENCES callback (namespace, name) ON DELETE CASCADE
    ) STRICT
    """,
    "CREATE INDEX delivery_by_due ON delivery (due, namespace, callback)",
    "CREATE INDEX delivery_of_callback ON delivery (namespace, callback, due, created)",
)


USES = (
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

AUDIT = (
    """
    CREATE TABLE audit_entry (
        number INTEGER NOT NULL PRIMARY KEY,
        time INTEGER NOT NULL,
        actor_kind TEXT NOT NULL,
        actor_name TEXT NOT NULL,
        actor_namespace TEXT NOT NULL,
        action TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        address TEXT NOT NULL,
        request_id TEXT NOT NULL,
        reason TEXT NOT NULL,
        outcome TEXT NOT NULL,
        before TEXT NOT NULL,
        after TEXT NOT NULL,
        also TEXT NOT NULL,
        code TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX audit_entry_of_thing ON audit_entry (namespace, name, number)",
    "CREATE INDEX audit_entry_of_actor ON audit_entry (actor_name, number)",
    # The last entry, and the last of those that are gone: `number` and `gone`.
    """
    CREATE TABLE audit_head (
        id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
        number INTEGER NOT NULL,
        code TEXT NOT NULL,
        gone INTEGER NOT NULL,
        gone_code TEXT NOT NULL,
        seal TEXT NOT NULL
    ) STRICT
    """,
    "INSERT INTO audit_head (id, number, code, gone, gone_code, seal) VALUES (1, 0, '', 0, '', '')",
    """
    CREATE TRIGGER audit_entry_never_changes BEFORE UPDATE ON audit_entry
    BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END
    """,
    """
    CREATE TRIGGER audit_entry_goes_by_age BEFORE DELETE ON audit_entry
    WHEN old.number > (SELECT gone FROM audit_head)
    BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END
    """,
    """
    CREATE TRIGGER audit_entry_comes_last BEFORE INSERT ON audit_entry
    WHEN new.number <> (SELECT number FROM audit_head)
    BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END
    """,
    """
    CREATE TRIGGER audit_head_goes_up BEFORE UPDATE ON audit_head
    WHEN new.number < old.number OR new.gone < old.gone OR new.gone > new.number
    BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END
    """,
    """
    CREATE TRIGGER audit_head_stays BEFORE DELETE ON audit_head
    BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END
    """,
)

DEPLOYS = (
    """
    CREATE TABLE deploy (
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        number INTEGER NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (namespace, name, number),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID
    """,
    "ALTER TABLE node ADD COLUMN open_deploy INTEGER",
)

RECORD_NAMES = (
    # A part of a name or of a fingerprint is looked for in the index alone.
    "DROP INDEX record_by_age",
    "CREATE INDEX record_by_age ON record (namespace, batch, created, name, normalised)",
)

LAST_CERTIFICATES = (
    # Of each node the certificate that ends last, among those that were not taken back.
    """
    CREATE TABLE last_certificate (
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        serial TEXT NOT NULL,
        expires INTEGER NOT NULL,
        PRIMARY KEY (namespace, name),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ) STRICT
    """,
    "CREATE INDEX last_certificate_by_end ON last_certificate (namespace, expires, name)",
    "CREATE INDEX last_certificate_by_end_of_all ON last_certificate (expires)",
    """
    INSERT INTO last_certificate (namespace, name, serial, expires)
    SELECT node.namespace, node.name, own.serial, own.expires
    FROM node JOIN certificate AS own ON own.node_id = node.namespace || '.' || node.name
    WHERE own.revoked IS NULL AND NOT EXISTS (
        SELECT 1 FROM certificate AS later WHERE later.node_id = own.node_id
        AND later.revoked IS NULL AND (later.expires, later.serial) > (own.expires, own.serial)
    )
    """,
)

RECORD_COUNTS = (
    "ALTER TABLE batch ADD COLUMN records INTEGER NOT NULL DEFAULT 0",
    """
    UPDATE batch SET records = (
        SELECT count(*) FROM record
        WHERE record.namespace = batch.namespace AND record.batch = batch.name
    )
    """,
)

PACE = (
    "ALTER TABLE report ADD COLUMN report_interval INTEGER NOT NULL DEFAULT 20000000",
    "ALTER TABLE report ADD COLUMN longest_gap INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE report ADD COLUMN online_since INTEGER",
)


SERVERS = (
    """
    CREATE TABLE server (
        id TEXT NOT NULL PRIMARY KEY,
        seen INTEGER NOT NULL
    ) STRICT
    """,
)

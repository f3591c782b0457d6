"""The tables of nodes, resources, batches, credentials and what goes with them."""

from cloud.store.tables.definition import definition

FIRST_TABLES = (
    definition("""
    CREATE TABLE node (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        document {text} NOT NULL,
        created {integer} NOT NULL,
        updated {integer} NOT NULL,
        PRIMARY KEY (namespace, name)
    ){strict}
    """),
    definition("""
    CREATE TABLE resource (
        kind {text} NOT NULL,
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        document {text} NOT NULL,
        version {text} NOT NULL,
        created {integer} NOT NULL,
        updated {integer} NOT NULL,
        PRIMARY KEY (kind, namespace, name)
    ){strict}
    """),
    definition("""
    CREATE TABLE revision (
        id {integer} NOT NULL PRIMARY KEY CHECK (id = 1),
        version {integer} NOT NULL,
        resources {integer} NOT NULL
    ){strict}
    """),
    definition("INSERT INTO revision (id, version, resources) VALUES (1, 0, 0)"),
    definition("""
    CREATE TABLE batch (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        document {text} NOT NULL,
        created {integer} NOT NULL,
        updated {integer} NOT NULL,
        PRIMARY KEY (namespace, name)
    ){strict}
    """),
    definition("""
    CREATE TABLE record (
        namespace {text} NOT NULL,
        batch {text} NOT NULL,
        name {text} NOT NULL,
        fingerprint {text} NOT NULL,
        normalised {text} NOT NULL,
        node_name {text} NOT NULL,
        created {integer} NOT NULL,
        updated {integer} NOT NULL,
        active {integer} NOT NULL,
        active_ip {text} NOT NULL,
        active_time {integer},
        PRIMARY KEY (namespace, batch, name),
        UNIQUE (namespace, batch, normalised),
        FOREIGN KEY (namespace, batch) REFERENCES batch (namespace, name)
    ){strict}
    """),
    definition("CREATE INDEX record_of_node ON record (namespace, node_name)"),
    definition("""
    CREATE TABLE certificate (
        serial {text} NOT NULL PRIMARY KEY,
        node_id {text} NOT NULL,
        created {integer} NOT NULL,
        expires {integer} NOT NULL,
        revoked {integer}
    ){strict}
    """),
    definition("CREATE INDEX certificate_of_node ON certificate (node_id)"),
    definition("""
    CREATE TABLE report (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        run {text} NOT NULL,
        sequence {integer},
        encoding {text} NOT NULL,
        received {integer} NOT NULL,
        usage_received {integer},
        document {text} NOT NULL,
        usage {text},
        PRIMARY KEY (namespace, name),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ){strict}
    """),
    definition("""
    CREATE TABLE stale_node (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        PRIMARY KEY (namespace, name),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ){strict}
    """),
    definition("""
    CREATE TABLE sealing (
        id {integer} NOT NULL PRIMARY KEY CHECK (id = 1),
        sealed {text} NOT NULL
    ){strict}
    """),
)

INSTALL_TOKENS = (
    definition("""
    CREATE TABLE install_token (
        digest {text} NOT NULL PRIMARY KEY,
        namespace {text} NOT NULL,
        kind {text} NOT NULL,
        name {text} NOT NULL,
        created {integer} NOT NULL,
        expires {integer} NOT NULL
    ){strict}
    """),
    definition("CREATE INDEX install_token_of_target ON install_token (namespace, kind, name)"),
    definition("CREATE INDEX install_token_by_expiry ON install_token (expires)"),
)

LABELS = (
    definition("""
    CREATE TABLE label (
        kind {text} NOT NULL,
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        key {text} NOT NULL,
        value {text} NOT NULL,
        number {integer},
        created {integer} NOT NULL,
        PRIMARY KEY (kind, namespace, name, key)
    ){strict_by_key}
    """),
    definition(
        "CREATE INDEX label_by_value ON label (kind, namespace, key, value, created, name, number)"
    ),
    definition("CREATE INDEX node_by_age ON node (namespace, created, name)"),
    definition("CREATE INDEX resource_by_age ON resource (kind, namespace, created, name)"),
    definition("CREATE INDEX batch_by_age ON batch (namespace, created, name)"),
    definition("CREATE INDEX record_by_age ON record (namespace, batch, created, name)"),
    # Older nouns, whose labels are filled in when the store opens, with its key.
    definition("""
    CREATE TABLE unlabelled (
        kind {text} NOT NULL,
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        PRIMARY KEY (kind, namespace, name)
    ){strict_by_key}
    """),
    definition("""
    INSERT INTO label (kind, namespace, name, key, value, number, created)
    SELECT kind, namespace, name, 'secret-type',
        CASE kind WHEN 'secret' THEN 'config' ELSE 'registry' END, NULL, created
    FROM resource WHERE kind IN ('secret', 'registry')
    """),
    definition("INSERT INTO unlabelled SELECT 'node', namespace, name FROM node"),
    definition("""
    INSERT INTO unlabelled
    SELECT kind, namespace, name FROM resource WHERE kind IN ('app', 'config')
    """),
)


API_TOKENS = (
    definition("""
    CREATE TABLE api_token (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        digest {text} NOT NULL UNIQUE,
        role {text} NOT NULL,
        created {integer} NOT NULL,
        expires {integer},
        last_used {integer},
        PRIMARY KEY (namespace, name)
    ){strict}
    """),
)
REVOCATION = (
    definition("""
    CREATE TABLE revocation (
        id {integer} NOT NULL PRIMARY KEY CHECK (id = 1),
        changes {integer} NOT NULL,
        number {integer} NOT NULL,
        issued {integer} NOT NULL
    ){strict}
    """),
    definition("INSERT INTO revocation (id, changes, number, issued) VALUES (1, 0, 0, 0)"),
    definition(
        "CREATE INDEX certificate_revoked ON certificate (expires) WHERE revoked IS NOT NULL"
    ),
)

CERTIFICATE_KEYS = (
    definition("ALTER TABLE certificate ADD COLUMN key {text} NOT NULL DEFAULT ''"),
)

PROPERTIES = (
    definition("ALTER TABLE node ADD COLUMN mode {text} NOT NULL DEFAULT 'cloud'"),
    definition("ALTER TABLE node ADD COLUMN core {text} NOT NULL DEFAULT '{{}}'"),
    definition("ALTER TABLE node ADD COLUMN properties {text}"),
)
CALLBACKS = (
    definition("""
    CREATE TABLE callback (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        document {text} NOT NULL,
        created {integer} NOT NULL,
        updated {integer} NOT NULL,
        last_success {integer},
        last_error {text} NOT NULL DEFAULT '',
        last_error_time {integer},
        PRIMARY KEY (namespace, name)
    ){strict}
    """),
    definition("""
    CREATE TABLE delivery (
        id {text} NOT NULL PRIMARY KEY,
        namespace {text} NOT NULL,
        callback {text} NOT NULL,
        content_type {text} NOT NULL,
        content {text} NOT NULL,
        created {integer} NOT NULL,
        due {integer},
        attempts {integer} NOT NULL,
        error {text} NOT NULL,
        FOREIGN KEY (namespace, callback) REFERENCES callback (namespace, name) ON DELETE CASCADE
    ){strict}
    """),
    definition("CREATE INDEX delivery_by_due ON delivery (due, namespace, callback)"),
    definition("CREATE INDEX delivery_of_callback ON delivery (namespace, callback, due, created)"),
)


USES = (
    definition("""
    CREATE TABLE app_use (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        used_kind {text} NOT NULL,
        used_name {text} NOT NULL,
        created {integer} NOT NULL,
        PRIMARY KEY (namespace, name, used_kind, used_name)
    ){strict_by_key}
    """),
    definition(
        "CREATE INDEX app_using ON app_use (namespace, used_kind, used_name, created, name)"
    ),
    definition("""
    CREATE TABLE label_revision (
        kind {text} NOT NULL,
        namespace {text} NOT NULL,
        revision {integer} NOT NULL,
        PRIMARY KEY (kind, namespace)
    ){strict_by_key}
    """),
    # The apps of before: what they use is filled in as labels are.
    definition("""
    INSERT INTO unlabelled SELECT kind, namespace, name FROM resource WHERE kind = 'app'
    ON CONFLICT DO NOTHING
    """),
)

DEPLOYS = (
    definition("""
    CREATE TABLE deploy (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        number {integer} NOT NULL,
        document {text} NOT NULL,
        PRIMARY KEY (namespace, name, number),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ){strict_by_key}
    """),
    definition("ALTER TABLE node ADD COLUMN open_deploy {integer}"),
)

RECORD_NAMES = (
    # A part of a name or of a fingerprint is looked for in the index alone.
    definition("DROP INDEX record_by_age"),
    definition(
        "CREATE INDEX record_by_age ON record (namespace, batch, created, name, normalised)"
    ),
)

LAST_CERTIFICATES = (
    # Of each node the certificate that ends last, among those that were not revoked.
    definition("""
    CREATE TABLE last_certificate (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        serial {text} NOT NULL,
        expires {integer} NOT NULL,
        PRIMARY KEY (namespace, name),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ){strict}
    """),
    definition(
        "CREATE INDEX last_certificate_by_end ON last_certificate (namespace, expires, name)"
    ),
    definition("CREATE INDEX last_certificate_by_end_of_all ON last_certificate (expires)"),
    definition("""
    INSERT INTO last_certificate (namespace, name, serial, expires)
    SELECT node.namespace, node.name, own.serial, own.expires
    FROM node JOIN certificate AS own ON own.node_id = node.namespace || '.' || node.name
    WHERE own.revoked IS NULL AND NOT EXISTS (
        SELECT 1 FROM certificate AS later WHERE later.node_id = own.node_id
        AND later.revoked IS NULL AND (later.expires, later.serial) > (own.expires, own.serial)
    )
    """),
)

RECORD_COUNTS = (
    definition("ALTER TABLE batch ADD COLUMN records {integer} NOT NULL DEFAULT 0"),
    definition("""
    UPDATE batch SET records = (
        SELECT count(*) FROM record
        WHERE record.namespace = batch.namespace AND record.batch = batch.name
    )
    """),
)

PACE = (
    definition("ALTER TABLE report ADD COLUMN report_interval {integer} NOT NULL DEFAULT 20000000"),
    definition("ALTER TABLE report ADD COLUMN longest_gap {integer} NOT NULL DEFAULT 0"),
    definition("ALTER TABLE report ADD COLUMN online_since {integer}"),
)

SAID_INTERVALS = (
    definition("ALTER TABLE report ADD COLUMN said_interval {integer} NOT NULL DEFAULT 0"),
)


SERVER_VERSIONS = (
    # Empty: of a server from before this step.
    definition("ALTER TABLE server ADD COLUMN version {text} NOT NULL DEFAULT ''"),
)

SERVERS = (
    definition("""
    CREATE TABLE server (
        id {text} NOT NULL PRIMARY KEY,
        seen {integer} NOT NULL
    ){strict}
    """),
)

"""The table that lists of nodes are selected by: a narrow row for each node, in list order."""

from cloud.store.tables.definition import Definition, definition

_FROM_REPORTS = """
    INSERT INTO node_status (namespace, created, name, heard, report_interval, deploy, agent,
        expires, revoked)
    SELECT node.namespace, node.created, node.name,
        CASE WHEN report.usage_received > report.received THEN report.usage_received
            ELSE report.received END,
        coalesce(report.report_interval, 20000000),
        CASE WHEN EXISTS (
                SELECT 1 FROM reported_app AS own WHERE own.namespace = node.namespace
                    AND own.name = node.name AND own.state IN ('failed', 'refused')
            ) THEN 'failed'
            WHEN report.received IS NULL OR node.open_deploy IS NOT NULL OR EXISTS (
                SELECT 1 FROM stale_node
                WHERE stale_node.namespace = node.namespace AND stale_node.name = node.name
            ) THEN 'pending' ELSE 'converged' END,
        coalesce(%s, ''), last_certificate.expires,
        CASE WHEN last_certificate.expires IS NULL AND EXISTS (
            SELECT 1 FROM certificate
            WHERE certificate.node_id = node.namespace || '.' || node.name
                AND certificate.revoked IS NOT NULL AND certificate.created >= node.created
        ) THEN 1 ELSE 0 END
    FROM node
    LEFT JOIN report ON report.namespace = node.namespace AND report.name = node.name
    LEFT JOIN last_certificate
        ON last_certificate.namespace = node.namespace AND last_certificate.name = node.name
"""

NODE_STATUS = (
    # What changes with every report stands in no index: a scan of 100,000 rows takes 15 ms.
    definition("""
    CREATE TABLE node_status (
        namespace {text} NOT NULL,
        created {integer} NOT NULL,
        name {text} NOT NULL,
        heard {integer},
        report_interval {integer} NOT NULL,
        deploy {text} NOT NULL,
        agent {text} NOT NULL,
        expires {integer},
        revoked {integer} NOT NULL,
        PRIMARY KEY (namespace, created, name),
        UNIQUE (namespace, name),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ){strict_by_key}
    """),
    Definition(
        _FROM_REPORTS % "json_extract(report.document, '$.core.binVersion')",
        _FROM_REPORTS % "CAST(report.document AS json) #>> '{core,binVersion}'",
    ),
    # Nodes that failed, by the group of causes: counted by the index alone.
    definition("ALTER TABLE reported_app ADD COLUMN cause {text} NOT NULL DEFAULT ''"),
    definition("DROP INDEX reported_app_by_app"),
    definition(
        "CREATE INDEX reported_app_by_app ON reported_app (namespace, app, version, state, cause)"
    ),
)

# Whether the last report of the node has offers (docs/protocol.md, "Offers").
KNOWS_OFFERS = (
    definition("ALTER TABLE node_status ADD COLUMN knows_offers {integer} NOT NULL DEFAULT 0"),
)

_WITH_LABELS = """
    INSERT INTO labelled_status (namespace, created, name, heard, report_interval, revoked, deploy,
        cpu_part, memory_part, agent, expires, knows_offers, cpu, memory, labels)
    SELECT namespace, created, name, heard, report_interval, revoked, deploy,
        cpu_part, memory_part, agent, expires, knows_offers, cpu, memory, (
        SELECT '&' || %s FROM label
        WHERE label.kind = 'node' AND label.namespace = node_status.namespace
            AND label.name = node_status.name AND label.key <> 'baetyl-node-name'
    ) FROM node_status
"""
_LABEL = """label.key || '=' || label.value || '&' || CASE WHEN label.number IS NULL THEN ''
    ELSE '#' || label.key || '=' || label.number || '&' END"""

LABEL_TEXT = (
    # What a scan looks at comes first: each column of SQLite is found by those before it.
    definition("""
    CREATE TABLE labelled_status (
        namespace {text} NOT NULL,
        created {integer} NOT NULL,
        name {text} NOT NULL,
        heard {integer},
        report_interval {integer} NOT NULL,
        revoked {integer} NOT NULL,
        deploy {text} NOT NULL,
        labels {text},
        cpu_part {integer},
        memory_part {integer},
        agent {text} NOT NULL,
        expires {integer},
        knows_offers {integer} NOT NULL DEFAULT 0,
        cpu {integer},
        memory {integer},
        PRIMARY KEY (namespace, created, name),
        UNIQUE (namespace, name),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ){strict_by_key}
    """),
    Definition(
        _WITH_LABELS % f"group_concat({_LABEL}, '')",
        _WITH_LABELS % f"string_agg({_LABEL}, '' ORDER BY label.key)",
    ),
    # Without labels yet, or too long (`cloud/store/label_text.py`).
    definition("UPDATE labelled_status SET labels = NULL WHERE length(labels) > 512"),
    definition("DROP TABLE node_status"),
    definition("ALTER TABLE labelled_status RENAME TO node_status"),
)

_TRIGGER = """
        CREATE TRIGGER label_text_outdated AFTER UPDATE OF document ON node
        WHEN new.document <> old.document
        BEGIN
            UPDATE node_status SET labels = NULL
            WHERE namespace = new.namespace AND name = new.name;
        END
        """

NODE_USAGE = (
    # The last usage point, by which nodes are sorted; empty until the next one.
    definition("ALTER TABLE node_status ADD COLUMN cpu {integer}"),
    definition("ALTER TABLE node_status ADD COLUMN memory {integer}"),
    definition("ALTER TABLE node_status ADD COLUMN cpu_part {integer}"),
    definition("ALTER TABLE node_status ADD COLUMN memory_part {integer}"),
)

# A server of before `LABEL_TEXT`, beside which this one runs during an upgrade, changes labels and
# leaves the text as it was: the labels of that node are looked up then. A server that knows the
# text writes it after the document.
LABEL_TEXT_OUTDATED = (
    Definition(
        _TRIGGER,
        """
        CREATE FUNCTION label_text_outdated() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            UPDATE node_status SET labels = NULL
            WHERE namespace = new.namespace AND name = new.name;
            RETURN NULL;
        END $$;
        CREATE TRIGGER label_text_outdated AFTER UPDATE OF document ON node FOR EACH ROW
        WHEN (new.document <> old.document) EXECUTE FUNCTION label_text_outdated()
        """,
    ),
)

_BY_LABELS = Definition(
    "CREATE INDEX node_status_by_labels ON node_status (namespace, labels, deploy)", "SELECT 1"
)

# The different sets of labels, and how many nodes of each stand how (`cloud/store/label_sets.py`).
# Reports change none of its columns. PostgreSQL would not use it.
NODES_BY_LABELS = (_BY_LABELS,)

_COLUMNS = """namespace, created, name, heard, report_interval, revoked, deploy, labels, cpu_part,
    memory_part, agent, expires, knows_offers, cpu, memory"""


def _of_sqlite(text: str) -> Definition:
    return Definition(text, "SELECT 1")


# One comparison instead of four for each row that is looked at: 12 instead of 17 ms of 100,000.
# It stands before what it is made of, and in a table that is made anew, as each column is found by
# those before it. PostgreSQL finds columns by their place.
ONLINE_UNTIL = (
    _of_sqlite("DROP TRIGGER label_text_outdated"),
    _of_sqlite("""
    CREATE TABLE timed_status (
        namespace TEXT NOT NULL,
        created INTEGER NOT NULL,
        name TEXT NOT NULL,
        online_until INTEGER NOT NULL GENERATED ALWAYS AS (
            CASE WHEN heard IS NULL OR revoked <> 0 THEN 0 ELSE heard + 3 * report_interval END
        ) STORED,
        heard INTEGER,
        report_interval INTEGER NOT NULL,
        revoked INTEGER NOT NULL,
        deploy TEXT NOT NULL,
        labels TEXT,
        cpu_part INTEGER,
        memory_part INTEGER,
        agent TEXT NOT NULL,
        expires INTEGER,
        knows_offers INTEGER NOT NULL DEFAULT 0,
        cpu INTEGER,
        memory INTEGER,
        PRIMARY KEY (namespace, created, name),
        UNIQUE (namespace, name),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID
    """),
    _of_sqlite(f"INSERT INTO timed_status ({_COLUMNS}) SELECT {_COLUMNS} FROM node_status"),  # noqa: S608
    _of_sqlite("DROP TABLE node_status"),
    _of_sqlite("ALTER TABLE timed_status RENAME TO node_status"),
    _BY_LABELS,
    _of_sqlite(_TRIGGER),
)

# Few: what looks through a fleet excludes them without looking up each of its nodes.
LOCAL_NODES = (
    definition("CREATE INDEX node_local ON node (namespace, name) WHERE mode = 'local'"),
)

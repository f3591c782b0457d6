"""The tables of what nodes say they run, and of what they used over the last day."""

USAGE = (
    # A digest of the rows of `reported_app`, and the number of the last step with a usage point.
    "ALTER TABLE report ADD COLUMN running TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE report ADD COLUMN usage_step INTEGER NOT NULL DEFAULT 0",
    """
    CREATE TABLE reported_app (
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        app TEXT NOT NULL,
        version TEXT NOT NULL,
        state TEXT NOT NULL,
        PRIMARY KEY (namespace, name, app, version),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX reported_app_by_app ON reported_app (namespace, app, version, state)",
    """
    CREATE TABLE usage_point (
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        slot INTEGER NOT NULL,
        time INTEGER NOT NULL,
        cpu INTEGER,
        memory INTEGER,
        cpu_part INTEGER,
        memory_part INTEGER,
        PRIMARY KEY (namespace, name, slot),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX record_by_activation ON record (namespace, active_time)",
)

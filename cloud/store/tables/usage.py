"""The tables of reported apps and of points of usage."""

from cloud.store.tables.definition import definition

USAGE = (
    # A digest of the rows of `reported_app`, and the number of the last step with a usage point.
    definition("ALTER TABLE report ADD COLUMN running {text} NOT NULL DEFAULT ''"),
    definition("ALTER TABLE report ADD COLUMN usage_step {integer} NOT NULL DEFAULT 0"),
    definition("""
    CREATE TABLE reported_app (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        app {text} NOT NULL,
        version {text} NOT NULL,
        state {text} NOT NULL,
        PRIMARY KEY (namespace, name, app, version),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ){strict_by_key}
    """),
    definition("CREATE INDEX reported_app_by_app ON reported_app (namespace, app, version, state)"),
    definition("""
    CREATE TABLE usage_point (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        slot {integer} NOT NULL,
        time {integer} NOT NULL,
        cpu {integer},
        memory {integer},
        cpu_part {integer},
        memory_part {integer},
        PRIMARY KEY (namespace, name, slot),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ){strict_by_key}
    """),
    definition("CREATE INDEX record_by_activation ON record (namespace, active_time)"),
)

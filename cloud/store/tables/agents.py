"""The table of what is known of stock agents beside their reports."""

from cloud.store.tables.definition import definition

INIT_REPORTS = (
    # When `baetyl-init` reported last while `baetyl-core` did not.
    definition("""
    CREATE TABLE init_report (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        received {integer} NOT NULL,
        PRIMARY KEY (namespace, name),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ){strict_by_key}
    """),
)

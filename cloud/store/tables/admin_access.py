"""The table with the one row of the administrator's token."""

from cloud.store.tables.definition import definition

ADMIN_ACCESS = (
    definition("""
    CREATE TABLE admin_access (
        id {integer} NOT NULL PRIMARY KEY CHECK (id = 1),
        digest {text} NOT NULL,
        enabled {integer} NOT NULL,
        changed {integer} NOT NULL
    ){strict}
    """),
)

"""The table with the one row that is written to see whether anything can be."""

from cloud.store.tables.definition import definition

PROBE = (
    definition("""
    CREATE TABLE write_probe (
        id {integer} NOT NULL PRIMARY KEY CHECK (id = 1),
        number {integer} NOT NULL
    ){strict}
    """),
    definition("INSERT INTO write_probe (id, number) VALUES (1, 0)"),
)

"""The table of guards."""

from cloud.store.tables.definition import definition

GUARD = (
    # The share is a text: both databases give back just what was put in.
    definition("""
    CREATE TABLE guard (
        namespace {text} NOT NULL PRIMARY KEY,
        max_share {text} NOT NULL,
        min_nodes {integer} NOT NULL
    ){strict}
    """),
)

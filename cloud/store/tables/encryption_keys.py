"""The table of encryption keys: public keys of nodes to which secrets are sealed."""

from cloud.store.tables.definition import definition

ENCRYPTION_KEYS = (
    definition("""
    CREATE TABLE encryption_key (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        key {text} NOT NULL,
        time {integer} NOT NULL,
        PRIMARY KEY (namespace, name),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ){strict_by_key}
    """),
)

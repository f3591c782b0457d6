"""The table of secrets with sources: what is known of their values, and why they cannot be read."""

from cloud.store.tables.definition import definition

SECRET_SOURCES = (
    # `document` is sealed: a digest of the values and its key; empty until they were read.
    definition("""
    CREATE TABLE secret_source (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        document {text} NOT NULL,
        error {text} NOT NULL,
        since {integer} NOT NULL,
        PRIMARY KEY (namespace, name)
    ){strict_by_key}
    """),
)

"""The table of devices that batches refused."""

from cloud.store.tables.definition import definition

REFUSED_DEVICES = (
    definition("""
    CREATE TABLE refused_device (
        namespace {text} NOT NULL,
        batch {text} NOT NULL,
        reason {text} NOT NULL,
        normalised {text} NOT NULL,
        fingerprint {text} NOT NULL,
        address {text} NOT NULL,
        attempts {integer} NOT NULL,
        first {integer} NOT NULL,
        last {integer} NOT NULL,
        PRIMARY KEY (namespace, batch, reason, normalised)
    ){strict_by_key}
    """),
)

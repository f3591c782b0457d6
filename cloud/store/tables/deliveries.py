"""The tables of deliveries to channels, and what those to callbacks have in common with them."""

from cloud.store.tables.definition import definition

SENT_DELIVERIES = (
    definition("ALTER TABLE delivery ADD COLUMN sent {integer}"),
    definition("ALTER TABLE delivery ADD COLUMN answer {text} NOT NULL DEFAULT ''"),
    # Deliveries to channels, by the statements of those to callbacks.
    definition("""
    CREATE TABLE message (
        id {text} NOT NULL PRIMARY KEY,
        kind {text} NOT NULL DEFAULT 'channel',
        namespace {text} NOT NULL,
        channel {text} NOT NULL,
        content_type {text} NOT NULL,
        content {text} NOT NULL,
        created {integer} NOT NULL,
        due {integer},
        attempts {integer} NOT NULL,
        error {text} NOT NULL,
        sent {integer},
        answer {text} NOT NULL,
        FOREIGN KEY (kind, namespace, channel) REFERENCES resource (kind, namespace, name)
            ON DELETE CASCADE
    ){strict}
    """),
    definition("CREATE INDEX message_by_due ON message (due, namespace, channel)"),
    definition("CREATE INDEX message_of_channel ON message (namespace, channel, created)"),
)

NOTIFICATION_GROUPS = (
    # Events of a rule that are alike, and when a message about them is due.
    definition("""
    CREATE TABLE notification_group (
        namespace {text} NOT NULL,
        rule {text} NOT NULL,
        key {text} NOT NULL,
        due {integer} NOT NULL,
        document {text} NOT NULL,
        PRIMARY KEY (namespace, rule, key)
    ){strict}
    """),
    definition("CREATE INDEX notification_group_by_due ON notification_group (due)"),
)

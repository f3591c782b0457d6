"""The table of sessions that identity providers vouch for."""

from cloud.store.tables.definition import definition

USER_SESSIONS = (
    definition("""
    CREATE TABLE user_session (
        id {text} NOT NULL PRIMARY KEY,
        digest {text} NOT NULL UNIQUE,
        provider {text} NOT NULL,
        subject {text} NOT NULL,
        name {text} NOT NULL,
        kind {text} NOT NULL,
        grants {text} NOT NULL,
        created {integer} NOT NULL,
        expires {integer} NOT NULL,
        last_used {integer} NOT NULL,
        address {text} NOT NULL
    ){strict}
    """),
    definition("CREATE INDEX user_session_by_user ON user_session (provider, subject, created)"),
    definition("CREATE INDEX user_session_by_end ON user_session (expires)"),
)

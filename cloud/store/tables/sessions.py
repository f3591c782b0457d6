"""The table of sessions that were ended before their time."""

from cloud.store.tables.definition import definition

ENDED_SESSIONS = (
    definition("""
    CREATE TABLE ended_session (
        digest {text} NOT NULL PRIMARY KEY,
        ends {integer} NOT NULL
    ){strict}
    """),
    definition("CREATE INDEX ended_session_by_end ON ended_session (ends)"),
)

"""The table of logins of the command line that wait for a user."""

from cloud.store.tables.definition import definition

DEVICE_LOGINS = (
    definition("""
    CREATE TABLE device_login (
        digest {text} NOT NULL PRIMARY KEY,
        user_code {text} NOT NULL UNIQUE,
        address {text} NOT NULL,
        site {text} NOT NULL,
        created {integer} NOT NULL,
        expires {integer} NOT NULL,
        polled {integer} NOT NULL,
        poll_interval {integer} NOT NULL,
        session {text} NOT NULL,
        denied {integer} NOT NULL
    ){strict}
    """),
    definition("CREATE INDEX device_login_by_end ON device_login (expires)"),
)

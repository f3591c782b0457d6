"""The table of users that the server itself keeps."""

from cloud.store.tables.definition import definition

LOCAL_USERS = (
    # `totp` is sealed, empty without a second factor; `totp_step` the last step that was used.
    definition("""
    CREATE TABLE local_user (
        name {text} NOT NULL PRIMARY KEY,
        id {text} NOT NULL UNIQUE,
        password {text} NOT NULL,
        grants {text} NOT NULL,
        totp {text} NOT NULL,
        totp_step {integer} NOT NULL,
        disabled {integer} NOT NULL,
        created {integer} NOT NULL,
        updated {integer} NOT NULL
    ){strict}
    """),
    definition("CREATE INDEX local_user_in_order ON local_user (created, name)"),
)

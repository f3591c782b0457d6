"""Tables of rollouts, of what nodes get by them, and of versions that a rollout has replaced."""

from cloud.store.tables.definition import definition

ASSIGNMENTS = (
    # Which content a version of an app consists of: the app itself and all that it uses.
    definition("""
    CREATE TABLE pinned_part (
        namespace {text} NOT NULL,
        app {text} NOT NULL,
        version {text} NOT NULL,
        kind {text} NOT NULL,
        name {text} NOT NULL,
        part {text} NOT NULL,
        PRIMARY KEY (namespace, app, version, kind, name)
    ){strict_by_key}
    """),
    definition("CREATE INDEX pinned_part_by_body ON pinned_part (namespace, kind, name, part)"),
    # A document is that of the resource, sealed where that is; versions that share it share a row.
    definition("""
    CREATE TABLE pinned_body (
        kind {text} NOT NULL,
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        version {text} NOT NULL,
        document {text} NOT NULL,
        created {integer} NOT NULL,
        updated {integer} NOT NULL,
        PRIMARY KEY (namespace, kind, name, version)
    ){strict}
    """),
    # The newest of an app has the highest number.
    definition("""
    CREATE TABLE rollout (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        app {text} NOT NULL,
        number {integer} NOT NULL,
        state {text} NOT NULL,
        created {integer} NOT NULL,
        document {text} NOT NULL,
        PRIMARY KEY (namespace, name)
    ){strict}
    """),
    definition("CREATE UNIQUE INDEX rollout_by_app ON rollout (namespace, app, number)"),
    definition("CREATE INDEX rollout_by_state ON rollout (state)"),
    definition("""
    CREATE TABLE assignment (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        app {text} NOT NULL,
        version {text} NOT NULL,
        previous {text} NOT NULL,
        stage {integer} NOT NULL,
        state {text} NOT NULL,
        document {text} NOT NULL,
        PRIMARY KEY (namespace, name, app),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ){strict_by_key}
    """),
    # Those that are waited for, and counts by stage and state; the version is for joins.
    definition(
        "CREATE INDEX assignment_by_state ON assignment"
        " (namespace, app, stage, state, name, version, previous)"
    ),
    # Looked for every second; most nodes have come to an end.
    definition(
        "CREATE INDEX assignment_in_progress ON assignment (namespace, app)"
        " WHERE state NOT IN ('updated', 'failed', 'returned')"
    ),
)

# By state first, so that an app in progress is found by it. Each row of the partial index took as
# long to change as the row itself: the condition makes a table of its list.
BY_STATE_FIRST = (
    definition("DROP INDEX assignment_in_progress"),
    definition("DROP INDEX assignment_by_state"),
    definition(
        "CREATE INDEX assignment_by_state ON assignment"
        " (namespace, app, state, stage, name, version, previous)"
    ),
)

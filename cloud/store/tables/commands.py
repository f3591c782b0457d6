"""The table of commands to nodes."""

from cloud.store.tables.definition import definition

COMMANDS = (
    definition("""
    CREATE TABLE node_command (
        id {text} NOT NULL PRIMARY KEY,
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        command {text} NOT NULL,
        app {text} NOT NULL,
        lines {integer} NOT NULL,
        actor_kind {text} NOT NULL,
        actor_name {text} NOT NULL,
        actor_namespace {text} NOT NULL,
        created {integer} NOT NULL,
        deadline {integer} NOT NULL,
        status {text} NOT NULL,
        sent {integer},
        ended {integer},
        output {text} NOT NULL,
        cause {text} NOT NULL,
        cut {integer} NOT NULL,
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ){strict}
    """),
    definition("CREATE INDEX node_command_of_node ON node_command (namespace, name, created)"),
    definition(
        "CREATE INDEX node_command_waiting ON node_command (deadline) WHERE status = 'waiting'"
    ),
)

COMMAND_PARTS = (
    definition("ALTER TABLE node_command ADD COLUMN since_seconds {integer} NOT NULL DEFAULT 0"),
    definition("ALTER TABLE node_command ADD COLUMN follow {integer} NOT NULL DEFAULT 0"),
    definition("ALTER TABLE node_command ADD COLUMN part {integer} NOT NULL DEFAULT 0"),
    definition("ALTER TABLE node_command ADD COLUMN output_end {integer} NOT NULL DEFAULT 0"),
)

"""The table of commands to nodes."""

COMMANDS = (
    """
    CREATE TABLE node_command (
        id TEXT NOT NULL PRIMARY KEY,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        command TEXT NOT NULL,
        app TEXT NOT NULL,
        lines INTEGER NOT NULL,
        actor_kind TEXT NOT NULL,
        actor_name TEXT NOT NULL,
        actor_namespace TEXT NOT NULL,
        created INTEGER NOT NULL,
        deadline INTEGER NOT NULL,
        status TEXT NOT NULL,
        sent INTEGER,
        ended INTEGER,
        output TEXT NOT NULL,
        cause TEXT NOT NULL,
        cut INTEGER NOT NULL,
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ) STRICT
    """,
    "CREATE INDEX node_command_of_node ON node_command (namespace, name, created)",
    "CREATE INDEX node_command_waiting ON node_command (deadline) WHERE status = 'waiting'",
)

COMMAND_PARTS = (
    "ALTER TABLE node_command ADD COLUMN since_seconds INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE node_command ADD COLUMN follow INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE node_command ADD COLUMN part INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE node_command ADD COLUMN output_end INTEGER NOT NULL DEFAULT 0",
)

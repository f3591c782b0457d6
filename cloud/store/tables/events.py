"""The tables of events, and of what is remembered so that nothing is told twice."""

EVENTS = (
    # What happened and has no number yet; the id says in which order.
    """
    CREATE TABLE new_event (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        time INTEGER NOT NULL,
        type TEXT NOT NULL,
        namespace TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        document TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE event (
        number INTEGER NOT NULL PRIMARY KEY,
        time INTEGER NOT NULL,
        type TEXT NOT NULL,
        family TEXT NOT NULL,
        namespace TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        document TEXT NOT NULL
    ) STRICT
    """,
    # All that filters look at but names, so that few rows are read of many that are counted.
    "CREATE INDEX event_of_namespace ON event (namespace, number, type, family, kind, time)",
    "CREATE INDEX event_of_thing ON event (namespace, kind, name, number)",
    # The last number that was given, and the last of those that are gone.
    """
    CREATE TABLE event_head (
        id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
        number INTEGER NOT NULL,
        gone INTEGER NOT NULL
    ) STRICT
    """,
    "INSERT INTO event_head (id, number, gone) VALUES (1, 0, 0)",
    # Nodes that were said to be ready; until `look` they need not be looked at.
    """
    CREATE TABLE ready_node (
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        look INTEGER NOT NULL,
        PRIMARY KEY (namespace, name),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ) STRICT
    """,
    "CREATE INDEX ready_node_by_look ON ready_node (look)",
    # Who was there when the server was there last need not be said to be ready again.
    """
    INSERT INTO ready_node (namespace, name, look)
    SELECT namespace, name, 0 FROM report
    WHERE received > (SELECT max(received) FROM report) - 3 * report_interval
    """,
    # Certificates of which it was told that they end.
    """
    CREATE TABLE ending_certificate (
        serial TEXT NOT NULL PRIMARY KEY,
        expires INTEGER NOT NULL
    ) STRICT
    """,
)

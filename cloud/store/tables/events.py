"""The tables of events, of ready nodes and of certificates whose end was announced."""

from cloud.store.tables.definition import definition

EVENTS = (
    # What happened and has no number yet; the id states in which order.
    definition("""
    CREATE TABLE new_event (
        id {integer} NOT NULL {counted_key},
        time {integer} NOT NULL,
        type {text} NOT NULL,
        namespace {text} NOT NULL,
        kind {text} NOT NULL,
        name {text} NOT NULL,
        document {text} NOT NULL
    ){strict}
    """),
    definition("""
    CREATE TABLE event (
        number {integer} NOT NULL PRIMARY KEY,
        time {integer} NOT NULL,
        type {text} NOT NULL,
        family {text} NOT NULL,
        namespace {text} NOT NULL,
        kind {text} NOT NULL,
        name {text} NOT NULL,
        document {text} NOT NULL
    ){strict}
    """),
    # All that filters look at but names, so that few rows are read of many that are counted.
    definition(
        "CREATE INDEX event_of_namespace ON event (namespace, number, type, family, kind, time)"
    ),
    definition("CREATE INDEX event_of_thing ON event (namespace, kind, name, number)"),
    # The last number that was given, and the last of those that are gone.
    definition("""
    CREATE TABLE event_head (
        id {integer} NOT NULL PRIMARY KEY CHECK (id = 1),
        number {integer} NOT NULL,
        gone {integer} NOT NULL
    ){strict}
    """),
    definition("INSERT INTO event_head (id, number, gone) VALUES (1, 0, 0)"),
    # Nodes that are ready; they are checked at `look`.
    definition("""
    CREATE TABLE ready_node (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        look {integer} NOT NULL,
        PRIMARY KEY (namespace, name),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ){strict}
    """),
    definition("CREATE INDEX ready_node_by_look ON ready_node (look)"),
    # Nodes that were online when the server last ran are ready already.
    definition("""
    INSERT INTO ready_node (namespace, name, look)
    SELECT namespace, name, 0 FROM report
    WHERE received > (SELECT max(received) FROM report) - 3 * report_interval
    """),
    # Certificates whose end was announced by an event.
    definition("""
    CREATE TABLE ending_certificate (
        serial {text} NOT NULL PRIMARY KEY,
        expires {integer} NOT NULL
    ){strict}
    """),
)

EVENT_FOLDS = (
    # Events of one node and type that are shown as one, once `ends` is over.
    definition("""
    CREATE TABLE event_fold (
        key {text} NOT NULL PRIMARY KEY,
        ends {integer} NOT NULL,
        document {text} NOT NULL
    ){strict}
    """),
    definition("CREATE INDEX event_fold_by_end ON event_fold (ends)"),
)

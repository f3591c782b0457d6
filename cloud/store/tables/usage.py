"""The tables of reported apps and of points of usage."""

from cloud.store.tables.definition import Definition, definition

USAGE = (
    # A digest of the rows of `reported_app`, and the number of the last step with a usage point.
    definition("ALTER TABLE report ADD COLUMN running {text} NOT NULL DEFAULT ''"),
    definition("ALTER TABLE report ADD COLUMN usage_step {integer} NOT NULL DEFAULT 0"),
    definition("""
    CREATE TABLE reported_app (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        app {text} NOT NULL,
        version {text} NOT NULL,
        state {text} NOT NULL,
        PRIMARY KEY (namespace, name, app, version),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ){strict_by_key}
    """),
    definition("CREATE INDEX reported_app_by_app ON reported_app (namespace, app, version, state)"),
    definition("""
    CREATE TABLE usage_point (
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        slot {integer} NOT NULL,
        time {integer} NOT NULL,
        cpu {integer},
        memory {integer},
        cpu_part {integer},
        memory_part {integer},
        PRIMARY KEY (namespace, name, slot),
        FOREIGN KEY (namespace, name) REFERENCES node (namespace, name) ON DELETE CASCADE
    ){strict_by_key}
    """),
    definition("CREATE INDEX record_by_activation ON record (namespace, active_time)"),
)

_NOTHING = "SELECT 1"
_ONE_MORE = """
    INSERT INTO app_count (namespace, app, version, state, nodes)
    VALUES (new.namespace, new.app, new.version, new.state, 1)
    ON CONFLICT (namespace, app, version, state) DO UPDATE SET nodes = nodes + 1;
"""
_ONE_LESS = """
    UPDATE app_count SET nodes = nodes - 1 WHERE namespace = old.namespace AND app = old.app
        AND version = old.version AND state = old.state;
    DELETE FROM app_count WHERE namespace = old.namespace AND app = old.app
        AND version = old.version AND state = old.state AND nodes <= 0;
"""

APP_COUNTS = (
    # How many rows of `reported_app` there are of each app, version and state, by triggers, which
    # see also what goes with a node. Not on PostgreSQL: reports that are stored concurrently would
    # wait for each other, so it counts the index.
    Definition(
        """
        CREATE TABLE app_count (
            namespace TEXT NOT NULL,
            app TEXT NOT NULL,
            version TEXT NOT NULL,
            state TEXT NOT NULL,
            nodes INTEGER NOT NULL,
            PRIMARY KEY (namespace, app, version, state)
        ) STRICT, WITHOUT ROWID
        """,
        _NOTHING,
    ),
    Definition(
        """
        INSERT INTO app_count (namespace, app, version, state, nodes)
        SELECT namespace, app, version, state, count(*) FROM reported_app
        GROUP BY namespace, app, version, state
        """,
        _NOTHING,
    ),
    Definition(
        f"CREATE TRIGGER reported_app_added AFTER INSERT ON reported_app BEGIN {_ONE_MORE} END",
        _NOTHING,
    ),
    Definition(
        f"CREATE TRIGGER reported_app_removed AFTER DELETE ON reported_app BEGIN {_ONE_LESS} END",
        _NOTHING,
    ),
    Definition(
        f"""
        CREATE TRIGGER reported_app_changed AFTER UPDATE OF state ON reported_app
        WHEN new.state <> old.state BEGIN {_ONE_LESS} {_ONE_MORE} END
        """,
        _NOTHING,
    ),
)

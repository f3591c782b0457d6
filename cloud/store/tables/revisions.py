"""The table of revisions of apps, configs, secrets and registries."""

REVISIONS = (
    # A document is as that of the resource, sealed where that is; null: the thing was deleted.
    """
    CREATE TABLE resource_revision (
        kind TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        number INTEGER NOT NULL,
        version TEXT NOT NULL,
        time INTEGER NOT NULL,
        actor_kind TEXT NOT NULL,
        actor_name TEXT NOT NULL,
        actor_namespace TEXT NOT NULL,
        reason TEXT NOT NULL,
        action TEXT NOT NULL,
        document TEXT,
        PRIMARY KEY (kind, namespace, name, number)
    ) STRICT
    """,
    """
    CREATE INDEX resource_revision_deleted ON resource_revision (kind, namespace, time, name)
    WHERE action = 'delete'
    """,
    # What was there before begins with what it is now; who made it so is not known.
    """
    INSERT INTO resource_revision (kind, namespace, name, number, version, time,
        actor_kind, actor_name, actor_namespace, reason, action, document)
    SELECT kind, namespace, name, 1, version, updated, 'unknown', '', '', '', 'create', document
    FROM resource WHERE kind IN ('app', 'config', 'secret', 'registry')
    """,
)

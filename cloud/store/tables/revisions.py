"""The table of revisions of apps, configs, secrets and registries."""

from cloud.store.tables.definition import definition

REVISIONS = (
    # A document is as that of the resource, sealed where that is; null: the thing was deleted.
    definition("""
    CREATE TABLE resource_revision (
        kind {text} NOT NULL,
        namespace {text} NOT NULL,
        name {text} NOT NULL,
        number {integer} NOT NULL,
        version {text} NOT NULL,
        time {integer} NOT NULL,
        actor_kind {text} NOT NULL,
        actor_name {text} NOT NULL,
        actor_namespace {text} NOT NULL,
        reason {text} NOT NULL,
        action {text} NOT NULL,
        document {text},
        PRIMARY KEY (kind, namespace, name, number)
    ){strict}
    """),
    definition("""
    CREATE INDEX resource_revision_deleted ON resource_revision (kind, namespace, time, name)
    WHERE action = 'delete'
    """),
    # Things of older versions begin with their present state, by an unknown actor.
    definition("""
    INSERT INTO resource_revision (kind, namespace, name, number, version, time,
        actor_kind, actor_name, actor_namespace, reason, action, document)
    SELECT kind, namespace, name, 1, version, updated, 'unknown', '', '', '', 'create', document
    FROM resource WHERE kind IN ('app', 'config', 'secret', 'registry')
    """),
)

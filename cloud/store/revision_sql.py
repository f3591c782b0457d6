"""Statements about revisions; see `sql` for what holds for all of them."""

PUT_REVISION = """
INSERT INTO resource_revision (kind, namespace, name, number, version, time,
    actor_kind, actor_name, actor_namespace, reason, action, document)
VALUES (:kind, :namespace, :name, :number, :version, :time,
    :actor_kind, :actor_name, :actor_namespace, :reason, :action, :document)
"""
COUNT_REVISIONS = """
SELECT count(*) FROM resource_revision
WHERE kind = :kind AND namespace = :namespace AND name = :name
"""
REVISIONS = """
SELECT number, version, time, actor_kind, actor_name, actor_namespace, reason, action
FROM resource_revision
WHERE kind = :kind AND namespace = :namespace AND name = :name AND number < :below
ORDER BY number DESC LIMIT :limit
"""
REVISION = """
SELECT number, version, time, actor_kind, actor_name, actor_namespace, reason, action, document
FROM resource_revision
WHERE kind = :kind AND namespace = :namespace AND name = :name AND number = :number
"""
DELETE_OLD_REVISIONS = """
DELETE FROM resource_revision
WHERE kind = :kind AND namespace = :namespace AND name = :name AND number <= :number
"""
FORGET_DELETED = """
DELETE FROM resource_revision WHERE kind = :kind AND namespace = :namespace AND name IN (
    SELECT gone.name FROM resource_revision AS gone
    WHERE gone.kind = :kind AND gone.namespace = :namespace AND gone.action = 'delete'
        AND NOT EXISTS (
            SELECT 1 FROM resource_revision AS later
            WHERE later.kind = gone.kind AND later.namespace = gone.namespace
                AND later.name = gone.name AND later.number > gone.number
        )
    ORDER BY gone.time DESC, gone.name DESC LIMIT :limit OFFSET :kept
)
"""

# for a new key
SEALED_REVISIONS = """
SELECT kind, namespace, name, number FROM resource_revision
WHERE kind <> 'app' AND document IS NOT NULL
"""
RESEAL_REVISION = """
UPDATE resource_revision SET document = :document
WHERE kind = :kind AND namespace = :namespace AND name = :name AND number = :number
"""

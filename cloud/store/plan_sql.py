"""The statements about whom a change reaches, as those of `sql`."""

SET_STALE_ASIDE = "DELETE FROM stale_node WHERE namespace = :namespace RETURNING name"
# Each name is looked up; the other way round 10,000 of 10,000 nodes take 20 seconds.
PUT_STALE_BACK = """
INSERT INTO stale_node (namespace, name)
SELECT node.namespace, node.name FROM json_each(:names) AS given
CROSS JOIN node WHERE node.namespace = :namespace AND node.name = given.value
ON CONFLICT (namespace, name) DO NOTHING
"""
STALE_REACH = """
SELECT count(*), coalesce(sum(CASE
        WHEN report.received IS NOT NULL AND :now - CASE
            WHEN report.usage_received > report.received THEN report.usage_received
            ELSE report.received END < :quiet * report.report_interval
        THEN 0 ELSE 1 END), 0),
    (SELECT count(*) FROM node WHERE namespace = :namespace)
FROM stale_node
LEFT JOIN report ON report.namespace = stale_node.namespace AND report.name = stale_node.name
WHERE stale_node.namespace = :namespace
"""
SOME_STALE = """
SELECT name FROM stale_node WHERE namespace = :namespace ORDER BY name LIMIT :limit
"""
GUARD = "SELECT max_share, min_nodes FROM guard WHERE namespace = :namespace"
PUT_GUARD = """
INSERT INTO guard (namespace, max_share, min_nodes) VALUES (:namespace, :max_share, :min_nodes)
ON CONFLICT (namespace) DO UPDATE SET
    max_share = excluded.max_share, min_nodes = excluded.min_nodes
"""

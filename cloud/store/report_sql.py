"""The statements about reports, as those of `sql`."""

REPORT = """
SELECT document, run, sequence, encoding, received, usage, usage_received FROM report
WHERE namespace = :namespace AND name = :name
"""
# As one row, JSON text: each row that is fetched lets go of the interpreter and waits for it. A
# cross join is done in the order it is written in; else SQLite would look at every node for each.
REPORTERS = """
SELECT CAST(json_group_array(json_array(node.name, node.document, node.mode, node.core,
    node.properties, node.open_deploy, (
        SELECT max(certificate.expires) FROM certificate
        WHERE certificate.node_id = node.namespace || '.' || node.name
            AND certificate.revoked IS NULL
    ), report.run, report.sequence, report.running, report.usage_step, report.received,
    report.usage_received, report.report_interval, report.longest_gap, report.online_since,
    ready_node.name)) AS TEXT)
FROM json_each(:names) AS given CROSS JOIN node
LEFT JOIN report ON report.namespace = node.namespace AND report.name = node.name
LEFT JOIN ready_node
    ON ready_node.namespace = node.namespace AND ready_node.name = node.name
WHERE node.namespace = :namespace AND node.name = given.value
"""
HEARD = """
SELECT received, usage_received, report_interval, longest_gap, online_since FROM report
WHERE namespace = :namespace AND name = :name
"""
COUNT_STATES = """
SELECT (SELECT count(*) FROM node), count(*),
    coalesce(sum(CASE WHEN silence < :quiet * report_interval THEN 1 ELSE 0 END), 0),
    coalesce(sum(CASE WHEN silence < :gone * report_interval THEN 1 ELSE 0 END), 0)
FROM (
    SELECT report_interval,
        :now - CASE WHEN usage_received > received THEN usage_received ELSE received END AS silence
    FROM report
) AS heard
"""
# A document that says what it said before keeps its place: PostgreSQL stores long values apart, and
# those that are kept are not written again (3 kB: a tenth of the log, 20 kB: a seventieth).
PUT_REPORT = """
INSERT INTO report (namespace, name, run, sequence, encoding, received, usage_received, document,
    usage, report_interval, longest_gap, online_since)
VALUES (:namespace, :name, :run, :sequence, :encoding, :received, NULL, :document, NULL,
    :report_interval, :longest_gap, :online_since)
ON CONFLICT (namespace, name) DO UPDATE SET
    run = excluded.run, sequence = excluded.sequence, encoding = excluded.encoding,
    received = excluded.received, document = CASE
        WHEN report.document = excluded.document THEN report.document ELSE excluded.document END,
    usage = NULL, usage_received = NULL, report_interval = excluded.report_interval,
    longest_gap = excluded.longest_gap, online_since = excluded.online_since
"""
PUT_USAGE = """
UPDATE report SET usage = :usage, usage_received = :now, online_since = CASE
    WHEN :now - received < :quiet * report_interval
        OR :now - usage_received < :quiet * report_interval
    THEN online_since ELSE :now END
WHERE namespace = :namespace AND name = :name RETURNING usage_step
"""
IS_STALE = "SELECT 1 FROM stale_node WHERE namespace = :namespace AND name = :name"
COUNT_WAITING = """
SELECT (SELECT count(*) FROM stale_node), (SELECT count(*) FROM delivery WHERE due IS NOT NULL)
"""

"""The statements about what runs in a fleet and what its nodes use, as those of `sql`."""

# what nodes say they run
RUNNING_APPS = """
SELECT app, version, state FROM reported_app WHERE namespace = :namespace AND name = :name
ORDER BY app, version
"""
PUT_RUNNING_APP = """
INSERT INTO reported_app (namespace, name, app, version, state)
VALUES (:namespace, :name, :app, :version, :state)
ON CONFLICT (namespace, name, app, version) DO UPDATE SET state = excluded.state
"""
DELETE_RUNNING_APP = """
DELETE FROM reported_app
WHERE namespace = :namespace AND name = :name AND app = :app AND version = :version
"""
SET_RUNNING = """
UPDATE report SET running = :running WHERE namespace = :namespace AND name = :name
"""
COUNT_RUNNING = """
SELECT version, state, count(*) FROM reported_app WHERE namespace = :namespace AND app = :app
GROUP BY version, state
"""

# fragments of a statement that `selection` puts together
LACKS = """NOT EXISTS (SELECT 1 FROM reported_app AS said WHERE said.namespace = :namespace
AND said.name = place.name AND said.app = :app AND said.version = :version
AND said.state = 'running')"""
IS_AWAY = """NOT EXISTS (SELECT 1 FROM report WHERE report.namespace = :namespace
AND report.name = place.name AND :now - CASE WHEN usage_received > received
THEN usage_received ELSE received END < :gone * report_interval)"""

# what nodes used
USAGE_POINTS = """
SELECT time, cpu, memory, cpu_part, memory_part FROM usage_point
WHERE namespace = :namespace AND name = :name AND time > :since ORDER BY time
"""
PUT_USAGE_POINT = """
INSERT INTO usage_point (namespace, name, slot, time, cpu, memory, cpu_part, memory_part)
VALUES (:namespace, :name, :slot, :time, :cpu, :memory, :cpu_part, :memory_part)
ON CONFLICT (namespace, name, slot) DO UPDATE SET time = excluded.time, cpu = excluded.cpu,
    memory = excluded.memory, cpu_part = excluded.cpu_part, memory_part = excluded.memory_part
"""
SET_USAGE_STEP = """
UPDATE report SET usage_step = :step WHERE namespace = :namespace AND name = :name
"""

# a namespace at a glance
COUNT_STATES_IN = """
SELECT (SELECT count(*) FROM node WHERE namespace = :namespace), count(*),
    coalesce(sum(CASE WHEN silence < :quiet * report_interval THEN 1 ELSE 0 END), 0),
    coalesce(sum(CASE WHEN silence < :gone * report_interval THEN 1 ELSE 0 END), 0)
FROM (
    SELECT report_interval,
        :now - CASE WHEN usage_received > received THEN usage_received ELSE received END AS silence
    FROM report WHERE namespace = :namespace
) AS heard
"""
COUNT_ACTIVATIONS = """
SELECT count(*) FROM record WHERE namespace = :namespace AND active_time > :since
"""
COUNT_WAITING_IN = """
SELECT (SELECT count(*) FROM stale_node WHERE namespace = :namespace),
    (SELECT count(*) FROM delivery WHERE namespace = :namespace AND due IS NOT NULL)
"""

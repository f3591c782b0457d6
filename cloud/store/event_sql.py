"""The statements about events and readiness, as those of `sql`."""

NOTE_EVENT = """
INSERT INTO new_event (time, type, namespace, kind, name, document)
VALUES (:time, :type, :namespace, :kind, :name, :document)
"""
ANY_NEW_EVENT = "SELECT id FROM new_event LIMIT 1"
TAKE_NEW_EVENTS = """
DELETE FROM new_event WHERE id IN (SELECT id FROM new_event ORDER BY id LIMIT :limit)
RETURNING id, time, type, namespace, kind, name, document
"""
NEXT_EVENT_NUMBERS = """
UPDATE event_head SET number = number + :count WHERE id = 1 RETURNING number
"""
PUT_EVENT = """
INSERT INTO event (number, time, type, family, namespace, kind, name, document)
VALUES (:number, :time, :type, :family, :namespace, :kind, :name, :document)
"""
EVENT_RANGE = "SELECT gone, number FROM event_head WHERE id = 1"
FIRST_EVENT_SINCE = "SELECT number FROM event WHERE time >= :since ORDER BY number LIMIT 1"
EVENT_BEYOND = "SELECT number FROM event ORDER BY number DESC LIMIT :limit OFFSET :kept"
PUT_EVENTS_GONE = "UPDATE event_head SET gone = :gone WHERE id = 1"
DELETE_EVENTS = "DELETE FROM event WHERE number <= :gone"

# fragments of statements that filter: a beginning, conditions, an end
EVENTS = """
SELECT number, time, type, namespace, kind, name, document FROM event
WHERE number > :above AND number < :below
"""
COUNT_EVENTS = "SELECT count(*) FROM event WHERE number > :above AND number < :below"
OF_NAMESPACE = " AND namespace = :namespace"
OF_TYPES = """ AND (type IN (SELECT given.value FROM json_each(:types) AS given)
    OR family IN (SELECT given.value FROM json_each(:families) AS given))"""
OF_KIND = " AND kind = :kind"
OF_NAME = " AND name = :name"
SINCE = " AND time >= :since"
NEWEST_FIRST = " ORDER BY number DESC LIMIT :limit"
OLDEST_FIRST = " ORDER BY number LIMIT :limit"

# readiness
NOTE_READY = """
INSERT INTO ready_node (namespace, name, look) VALUES (:namespace, :name, :look)
ON CONFLICT (namespace, name) DO NOTHING RETURNING name
"""
ANY_TO_LOOK_AT = "SELECT name FROM ready_node WHERE look <= :now LIMIT 1"
# Whoever was heard since is looked at once that is too long ago.
LOOK_LATER = """
UPDATE ready_node SET look = coalesce((
    SELECT :quiet * report_interval + CASE
        WHEN received >= :listening AND received >= coalesce(usage_received, 0) THEN received
        WHEN usage_received >= :listening THEN usage_received
        ELSE :listening END
    FROM report AS own WHERE own.namespace = ready_node.namespace AND own.name = ready_node.name
), 0) WHERE look <= :now
"""
TAKE_LOST = """
DELETE FROM ready_node WHERE (namespace, name) IN
    (SELECT namespace, name FROM ready_node WHERE look <= :now ORDER BY look LIMIT :limit)
RETURNING namespace, name
"""

# certificates that end
UNTOLD_ENDS = """
SELECT namespace, name, serial, expires FROM last_certificate AS own
WHERE expires > :now AND expires <= :before AND NOT EXISTS (
    SELECT 1 FROM ending_certificate AS told WHERE told.serial = own.serial
) ORDER BY expires, namespace, name LIMIT :limit
"""
NOTE_END = "INSERT INTO ending_certificate (serial, expires) VALUES (:serial, :expires)"
FORGET_ENDS = "DELETE FROM ending_certificate WHERE expires <= :now"

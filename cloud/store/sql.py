"""Every statement, in the SQL that SQLite and PostgreSQL both speak, json_each apart.

Times are integer microseconds since the epoch (`rows.micros`), text sorts bytewise, parameters are
named. Lists are oldest first, then by name. Only what `selection` puts together is not a whole
statement here: it is made of these fragments, and nothing that a caller wrote is part of it.
"""

# nodes
NODE = """
SELECT namespace, name, document, created, updated, mode, core FROM node
WHERE namespace = :namespace AND name = :name
"""
NODES = """
SELECT namespace, name, document, created, updated, mode, core FROM node
WHERE namespace = :namespace ORDER BY created, name
"""
PUT_NODE = """
INSERT INTO node (namespace, name, document, created, updated, mode, core)
VALUES (:namespace, :name, :document, :created, :updated, :mode, :core)
ON CONFLICT (namespace, name) DO UPDATE SET
    document = excluded.document, created = excluded.created, updated = excluded.updated,
    mode = excluded.mode, core = excluded.core
"""
DELETE_NODE = "DELETE FROM node WHERE namespace = :namespace AND name = :name RETURNING name"

# properties of nodes
PROPERTIES = "SELECT properties FROM node WHERE namespace = :namespace AND name = :name"
PUT_PROPERTIES = """
UPDATE node SET properties = :properties WHERE namespace = :namespace AND name = :name
RETURNING name
"""

# deploys; which one of a node is open stands with the node
DEPLOYS = """
SELECT document FROM deploy WHERE namespace = :namespace AND name = :name
ORDER BY number DESC LIMIT :limit
"""
OPEN_DEPLOY = """
SELECT deploy.document FROM node JOIN deploy ON deploy.namespace = node.namespace
    AND deploy.name = node.name AND deploy.number = node.open_deploy
WHERE node.namespace = :namespace AND node.name = :name
"""
PUT_DEPLOY = """
INSERT INTO deploy (namespace, name, number, document)
VALUES (:namespace, :name, :number, :document)
ON CONFLICT (namespace, name, number) DO UPDATE SET document = excluded.document
"""
SET_OPEN_DEPLOY = """
UPDATE node SET open_deploy = :number WHERE namespace = :namespace AND name = :name
"""
DELETE_OLD_DEPLOYS = """
DELETE FROM deploy WHERE namespace = :namespace AND name = :name AND number <= :number
"""

# labels of everything that is listed by selector, and how often those of a kind have changed
LABELS = """
SELECT key, value, created FROM label
WHERE kind = :kind AND namespace = :namespace AND name = :name
"""
PUT_LABEL = """
INSERT INTO label (kind, namespace, name, key, value, number, created)
VALUES (:kind, :namespace, :name, :key, :value, :number, :created)
"""
DELETE_LABELS = """
DELETE FROM label WHERE kind = :kind AND namespace = :namespace AND name = :name
RETURNING key, value
"""
LABELS_REVISION = """
SELECT revision FROM label_revision WHERE kind = :kind AND namespace = :namespace
"""
LABELS_CHANGED = """
INSERT INTO label_revision (kind, namespace, revision) VALUES (:kind, :namespace, 1)
ON CONFLICT (kind, namespace) DO UPDATE SET revision = label_revision.revision + 1
RETURNING revision
"""
UNLABELLED = "SELECT kind, namespace, name FROM unlabelled"
ALL_LABELLED = "DELETE FROM unlabelled"

# what apps use
PUT_USE = """
INSERT INTO app_use (namespace, name, used_kind, used_name, created)
VALUES (:namespace, :name, :used_kind, :used_name, :created)
"""
DELETE_USES = "DELETE FROM app_use WHERE namespace = :namespace AND name = :name"

# fragments of statements that select by labels: a beginning, where, conditions, an end
COUNT = "SELECT count(*)"
COUNT_SOME = "SELECT count(*) FROM (SELECT place.name"
UP_TO = " LIMIT :limit) AS counted"
NAMES = "SELECT place.name, place.created"
MARK_STALE_AMONG = "INSERT INTO stale_node (namespace, name) SELECT place.namespace, place.name"
AMONG_NODES = " FROM node AS place WHERE place.namespace = :namespace"
AMONG_RESOURCES = (
    " FROM resource AS place WHERE place.kind = :kind AND place.namespace = :namespace"
)
AMONG_USERS = """ FROM app_use AS place WHERE place.namespace = :namespace
AND place.used_kind = :used_kind AND place.used_name = :used_name"""
AMONG_LABELS = """ FROM label AS place
WHERE place.kind = :kind AND place.namespace = :namespace AND place.key = :key_#"""
HAS_LABEL = """EXISTS (SELECT 1 FROM label AS own WHERE own.kind = :kind
AND own.namespace = :namespace AND own.name = place.name AND own.key = :key_#"""
ONE_VALUE = " AND value = :value_#"
VALUE_IN = " AND value IN (SELECT given.value FROM json_each(:values_#) AS given)"
NUMBER_GREATER = " AND number > :bound_#"
NUMBER_LESS = " AND number < :bound_#"
NAME_IS = "(place.name = :field_#)"
NAMESPACE_IS = "(place.namespace = :field_#)"
IN_ORDER = """ AND (place.created, place.name) > (:after, :after_name)
ORDER BY place.created, place.name LIMIT :limit"""
ONCE = " ON CONFLICT (namespace, name) DO NOTHING"

# apps, configs, secrets
RESOURCE = """
SELECT namespace, name, document, version, created, updated FROM resource
WHERE kind = :kind AND namespace = :namespace AND name = :name
"""
RESOURCES = """
SELECT namespace, name, document, version, created, updated FROM resource
WHERE kind = :kind AND namespace = :namespace ORDER BY created, name
"""
PUT_RESOURCE = """
INSERT INTO resource (kind, namespace, name, document, version, created, updated)
VALUES (:kind, :namespace, :name, :document, :version, :created, :updated)
ON CONFLICT (kind, namespace, name) DO UPDATE SET
    document = excluded.document, version = excluded.version,
    created = excluded.created, updated = excluded.updated
"""
DELETE_RESOURCE = """
DELETE FROM resource WHERE kind = :kind AND namespace = :namespace AND name = :name RETURNING name
"""

# what was given out so far: versions, and changes of resources
NEXT_VERSION = "UPDATE revision SET version = version + 1 WHERE id = 1 RETURNING version"
RESOURCES_REVISION = "SELECT resources FROM revision WHERE id = 1"
RESOURCES_CHANGED = "UPDATE revision SET resources = resources + 1 WHERE id = 1"

# batches
BATCH = """
SELECT namespace, name, document, created, updated FROM batch
WHERE namespace = :namespace AND name = :name
"""
BATCHES = """
SELECT namespace, name, document, created, updated FROM batch
WHERE namespace = :namespace ORDER BY created, name
"""
COUNT_BATCHES = """
SELECT count(*) FROM batch WHERE namespace = :namespace AND instr(name, :part) > 0
"""
NEWEST_BATCHES = """
SELECT namespace, name, document, created, updated FROM batch
WHERE namespace = :namespace AND instr(name, :part) > 0
ORDER BY created DESC, name DESC LIMIT :limit OFFSET :skipped
"""
PUT_BATCH = """
INSERT INTO batch (namespace, name, document, created, updated)
VALUES (:namespace, :name, :document, :created, :updated)
ON CONFLICT (namespace, name) DO UPDATE SET
    document = excluded.document, created = excluded.created, updated = excluded.updated
"""
DELETE_BATCH = "DELETE FROM batch WHERE namespace = :namespace AND name = :name RETURNING name"

# records
RECORD = """
SELECT namespace, batch, name, fingerprint, node_name, created, updated,
    active, active_ip, active_time FROM record
WHERE namespace = :namespace AND batch = :batch AND name = :name
"""
RECORD_BY_FINGERPRINT = """
SELECT namespace, batch, name, fingerprint, node_name, created, updated,
    active, active_ip, active_time FROM record
WHERE namespace = :namespace AND batch = :batch AND normalised = :normalised
"""
RECORDS = """
SELECT namespace, batch, name, fingerprint, node_name, created, updated,
    active, active_ip, active_time FROM record
WHERE namespace = :namespace AND batch = :batch ORDER BY created, name
"""
FINGERPRINTS = """
SELECT fingerprint FROM record
WHERE namespace = :namespace AND batch = :batch ORDER BY created, name
"""
COUNT_RECORDS = "SELECT records FROM batch WHERE namespace = :namespace AND name = :batch"
RECORDS_ADDED = """
UPDATE batch SET records = records + :added WHERE namespace = :namespace AND name = :batch
"""
NEWEST_RECORDS = """
SELECT namespace, batch, name, fingerprint, node_name, created, updated,
    active, active_ip, active_time FROM record
WHERE namespace = :namespace AND batch = :batch
ORDER BY created DESC, name DESC LIMIT :limit OFFSET :skipped
"""
COUNT_RECORDS_NAMED = """
SELECT count(*) FROM record WHERE namespace = :namespace AND batch = :batch
    AND (instr(normalised, :part) > 0 OR (name <> normalised AND instr(name, :part) > 0))
"""
NEWEST_RECORDS_NAMED = """
SELECT namespace, batch, name, fingerprint, node_name, created, updated,
    active, active_ip, active_time FROM record
WHERE namespace = :namespace AND batch = :batch
    AND (instr(normalised, :part) > 0 OR (name <> normalised AND instr(name, :part) > 0))
ORDER BY created DESC, name DESC LIMIT :limit OFFSET :skipped
"""
RECORDS_OF_NODE = """
SELECT namespace, batch, name, fingerprint, node_name, created, updated,
    active, active_ip, active_time FROM record
WHERE namespace = :namespace AND node_name = :node_name ORDER BY created, name, batch
"""
UPDATE_RECORD = """
UPDATE record SET fingerprint = :fingerprint, normalised = :normalised, node_name = :node_name,
    created = :created, updated = :updated,
    active = :active, active_ip = :active_ip, active_time = :active_time
WHERE namespace = :namespace AND batch = :batch AND name = :name RETURNING name
"""
ADD_RECORD = """
INSERT INTO record (namespace, batch, name, fingerprint, normalised, node_name, created, updated,
    active, active_ip, active_time)
VALUES (:namespace, :batch, :name, :fingerprint, :normalised, :node_name, :created, :updated,
    :active, :active_ip, :active_time)
"""
ADD_RECORDS = """
INSERT INTO record (namespace, batch, name, fingerprint, normalised, node_name, created, updated,
    active, active_ip, active_time)
SELECT :namespace, :batch, given.key, given.key, given.value, given.key, :now, :now, 0, '', NULL
FROM json_each(:names) AS given
"""
DELETE_RECORD = """
DELETE FROM record WHERE namespace = :namespace AND batch = :batch AND name = :name RETURNING name
"""

# callbacks
CALLBACK = """
SELECT namespace, name, document, created, updated FROM callback
WHERE namespace = :namespace AND name = :name
"""
COUNT_CALLBACKS = """
SELECT count(*) FROM callback WHERE namespace = :namespace AND instr(name, :part) > 0
"""
NEWEST_CALLBACKS = """
SELECT namespace, name, document, created, updated FROM callback
WHERE namespace = :namespace AND instr(name, :part) > 0
ORDER BY created DESC, name DESC LIMIT :limit OFFSET :skipped
"""
PUT_CALLBACK = """
INSERT INTO callback (namespace, name, document, created, updated)
VALUES (:namespace, :name, :document, :created, :updated)
ON CONFLICT (namespace, name) DO UPDATE SET
    document = excluded.document, created = excluded.created, updated = excluded.updated
"""
DELETE_CALLBACK = """
DELETE FROM callback WHERE namespace = :namespace AND name = :name RETURNING name
"""
CALLBACK_OUTCOME = """
SELECT last_success, last_error, last_error_time,
    (SELECT count(*) FROM delivery WHERE delivery.namespace = callback.namespace
        AND delivery.callback = callback.name AND due IS NOT NULL),
    (SELECT count(*) FROM delivery WHERE delivery.namespace = callback.namespace
        AND delivery.callback = callback.name AND due IS NULL)
FROM callback WHERE namespace = :namespace AND name = :name
"""
NOTE_SUCCESS = """
UPDATE callback SET last_success = :now WHERE namespace = :namespace AND name = :name
"""
NOTE_ERROR = """
UPDATE callback SET last_error = :error, last_error_time = :now
WHERE namespace = :namespace AND name = :name
"""

# what callbacks have yet to be told
PUT_DELIVERY = """
INSERT INTO delivery (id, namespace, callback, content_type, content, created, due, attempts, error)
VALUES (:id, :namespace, :callback, :content_type, :content, :created, :due, :attempts, :error)
ON CONFLICT (id) DO UPDATE SET
    due = excluded.due, attempts = excluded.attempts, error = excluded.error
"""
DELETE_DELIVERY = "DELETE FROM delivery WHERE id = :id RETURNING id"
DUE_CALLBACKS = "SELECT DISTINCT namespace, callback FROM delivery WHERE due <= :now"
NEXT_DUE = "SELECT min(due) FROM delivery WHERE due > :now"
DUE_DELIVERIES = """
SELECT id, namespace, callback, content_type, content, created, due, attempts, error FROM delivery
WHERE namespace = :namespace AND callback = :name AND due <= :now ORDER BY due, id LIMIT :limit
"""
GIVEN_UP = """
SELECT id, namespace, callback, content_type, content, created, due, attempts, error FROM delivery
WHERE namespace = :namespace AND callback = :name AND due IS NULL
ORDER BY created DESC, id DESC LIMIT :limit
"""
RETRY_GIVEN_UP = """
UPDATE delivery SET due = :now, created = :now
WHERE namespace = :namespace AND callback = :name AND due IS NULL RETURNING id
"""
FORGET_GIVEN_UP = "DELETE FROM delivery WHERE due IS NULL AND created < :before RETURNING id"

# certificates
CERTIFICATE = """
SELECT serial, node_id, created, expires, revoked, key FROM certificate WHERE serial = :serial
"""
LIVE_CERTIFICATES = """
SELECT serial, node_id, created, expires, revoked, key FROM certificate
WHERE node_id = :node_id AND revoked IS NULL AND expires > :now ORDER BY created, serial
"""
LIVE_KEYS = """
SELECT DISTINCT key FROM certificate WHERE node_id = :node_id AND revoked IS NULL
"""
IS_CUT_OFF = """
SELECT EXISTS (
    SELECT 1 FROM certificate
    WHERE node_id = :node_id AND revoked IS NOT NULL AND created >= :since
) AND NOT EXISTS (SELECT 1 FROM certificate WHERE node_id = :node_id AND revoked IS NULL)
"""
PUT_CERTIFICATE = """
INSERT INTO certificate (serial, node_id, created, expires, revoked, key)
VALUES (:serial, :node_id, :created, :expires, :revoked, :key)
ON CONFLICT (serial) DO UPDATE SET
    node_id = excluded.node_id, created = excluded.created,
    expires = excluded.expires, revoked = excluded.revoked, key = excluded.key
"""
REVOKE_CERTIFICATES = """
UPDATE certificate SET revoked = :now WHERE node_id = :node_id AND revoked IS NULL RETURNING serial
"""
REVOKED_CERTIFICATES = """
SELECT serial, node_id, created, expires, revoked, key FROM certificate
WHERE revoked IS NOT NULL AND expires > :after ORDER BY expires, serial
"""
NOTE_LAST_CERTIFICATE = """
INSERT INTO last_certificate (namespace, name, serial, expires)
SELECT namespace, name, :serial, :expires FROM node WHERE namespace = :namespace AND name = :name
ON CONFLICT (namespace, name) DO UPDATE SET serial = excluded.serial, expires = excluded.expires
WHERE excluded.expires >= last_certificate.expires
"""
NO_LAST_CERTIFICATE = """
DELETE FROM last_certificate WHERE namespace = :namespace AND name = :name
"""
CERTIFICATE_ENDS = """
SELECT namespace, name, serial, expires FROM last_certificate
WHERE namespace = :namespace AND expires < :before AND (expires, name) > (:after, :after_name)
ORDER BY expires, name LIMIT :limit
"""
CERTIFICATE_END = """
SELECT namespace, name, serial, expires FROM last_certificate
WHERE namespace = :namespace AND name = :name
"""
COUNT_CERTIFICATE_ENDS = """
SELECT count(*) FROM last_certificate WHERE namespace = :namespace AND expires < :before
"""
COUNT_ALL_CERTIFICATE_ENDS = "SELECT count(*) FROM last_certificate WHERE expires <= :before"
REVOCATION_STATE = "SELECT changes, number, issued FROM revocation WHERE id = 1"
PUT_REVOCATION_STATE = "UPDATE revocation SET number = :number, issued = :issued WHERE id = 1"
REVOCATIONS_CHANGED = "UPDATE revocation SET changes = changes + 1 WHERE id = 1"

# tokens that bring in a machine
INSTALL_TOKEN = """
SELECT digest, namespace, kind, name, created, expires FROM install_token WHERE digest = :digest
"""  # noqa: S105
INSTALL_TOKENS = """
SELECT digest, namespace, kind, name, created, expires FROM install_token
WHERE namespace = :namespace AND kind = :kind AND name = :name ORDER BY created, digest
"""
PUT_INSTALL_TOKEN = """
INSERT INTO install_token (digest, namespace, kind, name, created, expires)
VALUES (:digest, :namespace, :kind, :name, :created, :expires)
ON CONFLICT (digest) DO UPDATE SET
    namespace = excluded.namespace, kind = excluded.kind, name = excluded.name,
    created = excluded.created, expires = excluded.expires
"""  # noqa: S105
DELETE_INSTALL_TOKEN = """
DELETE FROM install_token WHERE digest = :digest RETURNING digest
"""  # noqa: S105
DELETE_INSTALL_TOKENS = """
DELETE FROM install_token WHERE namespace = :namespace AND kind = :kind AND name = :name
RETURNING digest
"""
DELETE_EXPIRED_INSTALL_TOKENS = "DELETE FROM install_token WHERE expires <= :now RETURNING digest"

# tokens that open the API
API_TOKEN = """
SELECT namespace, name, digest, role, created, expires, last_used FROM api_token
WHERE digest = :digest
"""  # noqa: S105
API_TOKENS = """
SELECT namespace, name, digest, role, created, expires, last_used FROM api_token
WHERE namespace = :namespace ORDER BY created, name
"""
API_TOKENS_PAGE = """
SELECT namespace, name, digest, role, created, expires, last_used FROM api_token
WHERE (:namespace = '*' OR namespace = :namespace)
    AND (created, namespace || '/' || name) > (:after, :after_name)
ORDER BY created, namespace || '/' || name LIMIT :limit
"""
COUNT_API_TOKENS = """
SELECT count(*) FROM api_token WHERE :namespace = '*' OR namespace = :namespace
"""
PUT_API_TOKEN = """
INSERT INTO api_token (namespace, name, digest, role, created, expires, last_used)
VALUES (:namespace, :name, :digest, :role, :created, :expires, :last_used)
ON CONFLICT (namespace, name) DO UPDATE SET
    digest = excluded.digest, role = excluded.role, created = excluded.created,
    expires = excluded.expires, last_used = excluded.last_used
"""  # noqa: S105
DELETE_API_TOKEN = """
DELETE FROM api_token WHERE namespace = :namespace AND name = :name RETURNING name
"""  # noqa: S105

# nodes to be told
MARK_STALE = """
INSERT INTO stale_node (namespace, name)
SELECT namespace, name FROM node WHERE namespace = :namespace AND name = :name
ON CONFLICT (namespace, name) DO NOTHING
"""
TAKE_STALE = """
DELETE FROM stale_node WHERE (namespace, name) IN
    (SELECT namespace, name FROM stale_node ORDER BY namespace, name LIMIT :limit)
RETURNING namespace, name
"""
ANY_STALE = "SELECT name FROM stale_node LIMIT 1"

# which key this database was written with
SEALED_CHECK = "SELECT sealed FROM sealing WHERE id = 1"
RESEAL_CHECK = "UPDATE sealing SET sealed = :sealed WHERE id = 1"
SEALED_RESOURCES = "SELECT kind, namespace, name FROM resource WHERE kind <> 'app'"
ALL_BATCHES = "SELECT namespace, name FROM batch"
ALL_CALLBACKS = "SELECT namespace, name FROM callback"
RESEAL_RESOURCE = """
UPDATE resource SET document = :document
WHERE kind = :kind AND namespace = :namespace AND name = :name
"""
RESEAL_BATCH = "UPDATE batch SET document = :document WHERE namespace = :namespace AND name = :name"
RESEAL_CALLBACK = """
UPDATE callback SET document = :document WHERE namespace = :namespace AND name = :name
"""
PUT_SEALED_CHECK = "INSERT INTO sealing (id, sealed) VALUES (1, :sealed)"

# the audit log
NEXT_AUDIT_NUMBER = "UPDATE audit_head SET number = number + 1 WHERE id = 1 RETURNING number, code"
PUT_AUDIT_ENTRY = """
INSERT INTO audit_entry (number, time, actor_kind, actor_name, actor_namespace, action, namespace,
    name, address, request_id, reason, outcome, before, after, also, code)
VALUES (:number, :time, :actor_kind, :actor_name, :actor_namespace, :action, :namespace,
    :name, :address, :request_id, :reason, :outcome, :before, :after, :also, :code)
"""
PUT_AUDIT_HEAD = "UPDATE audit_head SET code = :code WHERE id = 1"
AUDIT_HEAD = "SELECT number, code, gone, gone_code, seal FROM audit_head WHERE id = 1"
PUT_AUDIT_ANCHOR = """
UPDATE audit_head SET gone = :gone, gone_code = :gone_code, seal = :seal WHERE id = 1
"""
DELETE_AUDIT_ENTRIES = "DELETE FROM audit_entry WHERE number <= :gone"
AUDIT_LINK = """
SELECT number, time, actor_kind, actor_name, actor_namespace, action, namespace, name, address,
    request_id, reason, outcome, before, after, also, code FROM audit_entry WHERE number = :number
"""
AUDIT_LINKS_IN_ORDER = """
SELECT number, time, actor_kind, actor_name, actor_namespace, action, namespace, name, address,
    request_id, reason, outcome, before, after, also, code FROM audit_entry ORDER BY number
"""
FIRST_AUDIT_ENTRY_SINCE = """
SELECT number FROM audit_entry WHERE time >= :since ORDER BY number LIMIT 1
"""

# fragments of statements that filter the audit log: a beginning, conditions, an end
AUDIT_LINKS = """
SELECT number, time, actor_kind, actor_name, actor_namespace, action, namespace, name, address,
    request_id, reason, outcome, before, after, also, code FROM audit_entry WHERE number < :below
"""
COUNT_AUDIT_ENTRIES = "SELECT count(*) FROM audit_entry WHERE number > 0"
AUDIT_OF_NAMESPACE = " AND namespace = :namespace"
AUDIT_OF_ACTOR = " AND (actor_name = :actor OR actor_kind = :actor)"
AUDIT_OF_ACTION = " AND action = :action"
AUDIT_OF_KIND = " AND action > :kind_from AND action < :kind_to"
AUDIT_OF_NAME = " AND name = :name"
AUDIT_OF_REQUEST = " AND request_id = :request_id"
AUDIT_SINCE = " AND time >= :since"
AUDIT_UNTIL = " AND time < :until"
AUDIT_NEWEST_FIRST = " ORDER BY number DESC LIMIT :limit"

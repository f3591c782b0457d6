"""Statements about commands to nodes; as in `sql`."""

COMMAND = """
SELECT id, namespace, name, command, app, lines, actor_kind, actor_name, actor_namespace, created,
    deadline, status, sent, ended, output, cause, cut, since_seconds, follow, part,
    output_end FROM node_command
WHERE namespace = :namespace AND name = :name AND id = :id
"""
COMMANDS = """
SELECT id, namespace, name, command, app, lines, actor_kind, actor_name, actor_namespace, created,
    deadline, status, sent, ended, '', cause, cut, since_seconds, follow, part,
    output_end FROM node_command
WHERE namespace = :namespace AND name = :name ORDER BY created DESC, id DESC
"""
ADD_COMMAND = """
INSERT INTO node_command (id, namespace, name, command, app, lines, actor_kind, actor_name,
    actor_namespace, created, deadline, status, sent, ended, output, cause, cut,
    since_seconds, follow)
VALUES (:id, :namespace, :name, :command, :app, :lines, :actor_kind, :actor_name,
    :actor_namespace, :created, :deadline, :status, NULL, NULL, '', '', 0,
    :since_seconds, :follow)
"""
COUNT_OPEN_COMMANDS = """
SELECT count(*) FROM node_command WHERE namespace = :namespace AND name = :name
    AND status IN ('waiting', 'sent') AND deadline > :now
"""
NODES_TO_COMMAND = """
SELECT DISTINCT namespace, name FROM node_command WHERE status = 'waiting' AND deadline > :now
ORDER BY namespace, name LIMIT :limit
"""
CLAIM_COMMANDS = """
UPDATE node_command SET status = 'sent', sent = :now
WHERE namespace = :namespace AND name = :name AND status = 'waiting' AND deadline > :now
RETURNING id, namespace, name, command, app, lines, actor_kind, actor_name, actor_namespace,
    created, deadline, status, sent, ended, output, cause, cut, since_seconds, follow, part,
    output_end
"""
GIVE_BACK_COMMAND = """
UPDATE node_command SET status = 'waiting', sent = NULL WHERE id = :id AND status = 'sent'
"""
END_COMMAND = """
UPDATE node_command SET status = :status, ended = :ended, output = :output, cause = :cause,
    cut = :cut, part = :part, output_end = :output_end
WHERE namespace = :namespace AND name = :name AND id = :id
    AND status IN ('waiting', 'sent') AND deadline > :now AND (part < :part OR :part = 0)
RETURNING id
"""
ENCODING_OF_NODE = "SELECT encoding FROM report WHERE namespace = :namespace AND name = :name"
DELETE_OLD_COMMANDS = """
DELETE FROM node_command WHERE namespace = :namespace AND name = :name
    AND (status NOT IN ('waiting', 'sent') OR deadline <= :now)
    AND id NOT IN (SELECT id FROM node_command WHERE namespace = :namespace AND name = :name
        ORDER BY created DESC, id DESC LIMIT :limit)
"""
FORGET_COMMANDS = "DELETE FROM node_command WHERE deadline < :before RETURNING id"

# what is sealed
ALL_OUTPUTS = "SELECT namespace, name, id, output FROM node_command WHERE output <> ''"
RESEAL_OUTPUT = "UPDATE node_command SET output = :document WHERE id = :id"

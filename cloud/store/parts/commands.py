"""Commands to nodes, each with its id; the output of a command is sealed."""

from collections.abc import Sequence
from datetime import datetime

from cloud.core.audit import Actor
from cloud.core.commands import OPEN, Command, CommandKind, CommandStatus, NodeResponse
from cloud.errors import NotFound
from cloud.store.parts.part import BrokenReference, TransactionPart, first
from cloud.store.rows import Parameters, Row, micros, moment, moment_or_none
from cloud.store.statements import statement

COMMAND = statement(
    """
    SELECT id, namespace, name, command, app, lines, actor_kind, actor_name, actor_namespace,
        created, deadline, status, sent, ended, output, cause, cut, since_seconds, follow, part,
        output_end FROM node_command
    WHERE namespace = :namespace AND name = :name AND id = :id
    """,
    reads={"node_command"},
)
COMMANDS = statement(
    """
    SELECT id, namespace, name, command, app, lines, actor_kind, actor_name, actor_namespace,
        created, deadline, status, sent, ended, '', cause, cut, since_seconds, follow, part,
        output_end FROM node_command
    WHERE namespace = :namespace AND name = :name ORDER BY created DESC, id DESC
    """,
    reads={"node_command"},
)
ADD_COMMAND = statement(
    """
    INSERT INTO node_command (id, namespace, name, command, app, lines, actor_kind, actor_name,
        actor_namespace, created, deadline, status, sent, ended, output, cause, cut,
        since_seconds, follow)
    VALUES (:id, :namespace, :name, :command, :app, :lines, :actor_kind, :actor_name,
        :actor_namespace, :created, :deadline, :status, NULL, NULL, '', '', 0,
        :since_seconds, :follow)
    """,
    reads={"node"},
    writes={"node_command"},
)
COUNT_OPEN_COMMANDS = statement(
    """
    SELECT count(*) FROM node_command WHERE namespace = :namespace AND name = :name
        AND status IN ('waiting', 'sent') AND deadline > :now
    """,
    reads={"node_command"},
)
NODES_TO_COMMAND = statement(
    """
    SELECT DISTINCT namespace, name FROM node_command WHERE status = 'waiting' AND deadline > :now
    ORDER BY namespace, name LIMIT :limit
    """,
    reads={"node_command"},
)
CLAIM_COMMANDS = statement(
    """
    UPDATE node_command SET status = 'sent', sent = :now
    WHERE namespace = :namespace AND name = :name AND status = 'waiting' AND deadline > :now
    RETURNING id, namespace, name, command, app, lines, actor_kind, actor_name, actor_namespace,
        created, deadline, status, sent, ended, output, cause, cut, since_seconds, follow, part,
        output_end
    """,
    writes={"node_command"},
)
GIVE_BACK_COMMAND = statement(
    """
    UPDATE node_command SET status = 'waiting', sent = NULL WHERE id = :id AND status = 'sent'
    """,
    writes={"node_command"},
)
END_COMMAND = statement(
    """
    UPDATE node_command SET status = :status, ended = :ended, output = :output, cause = :cause,
        cut = :cut, part = :part, output_end = :output_end
    WHERE namespace = :namespace AND name = :name AND id = :id
        AND status IN ('waiting', 'sent') AND deadline > :now AND (part < :part OR :part = 0)
    RETURNING id
    """,
    writes={"node_command"},
)
ENCODING_OF_NODE = statement(
    "SELECT encoding FROM report WHERE namespace = :namespace AND name = :name",
    reads={"report"},
)
DELETE_OLD_COMMANDS = statement(
    """
    DELETE FROM node_command WHERE namespace = :namespace AND name = :name
        AND (status NOT IN ('waiting', 'sent') OR deadline <= :now)
        AND id NOT IN (SELECT id FROM node_command WHERE namespace = :namespace AND name = :name
            ORDER BY created DESC, id DESC LIMIT :limit)
    """,
    reads={"node"},
    writes={"node_command"},
)
FORGET_COMMANDS = statement(
    "DELETE FROM node_command WHERE deadline < :before RETURNING id",
    reads={"node"},
    writes={"node_command"},
)
# For a new key.
ALL_OUTPUTS = statement(
    "SELECT namespace, name, id, output FROM node_command WHERE output <> ''",
    reads={"node_command"},
)
RESEAL_OUTPUT = statement(
    "UPDATE node_command SET output = :document WHERE id = :id",
    writes={"node_command"},
)

PLACE = "command"
"""First part of the place that an output is sealed as; namespace, node and id follow."""


class CommandPart(TransactionPart):
    """Commands."""

    def add_command(self, command: Command) -> None:
        """Keep a command that waits; NotFound if there is no such node."""
        row: Parameters = {
            "id": command.id,
            "namespace": command.namespace,
            "name": command.name,
            "command": command.command.value,
            "app": command.app,
            "lines": command.lines,
            "actor_kind": command.actor.kind,
            "actor_name": command.actor.name,
            "actor_namespace": command.actor.namespace,
            "created": micros(command.created),
            "deadline": micros(command.deadline),
            "status": command.status.value,
            "since_seconds": command.since_seconds,
            "follow": int(command.is_following),
        }
        try:
            self._run(ADD_COMMAND, row)
        except BrokenReference as error:
            raise NotFound("node", command.name) from error

    def command(self, namespace: str, name: str, command_id: str) -> Command | None:
        """A command to that node, with its output.

        Unavailable if it cannot be unsealed with this server's key.
        """
        key = {"namespace": namespace, "name": name, "id": command_id}
        return first(self._command, self._run(COMMAND, key))

    def commands(self, namespace: str, name: str) -> Sequence[Command]:
        """All to that node that are stored, the newest first, without their output."""
        found = self._run(COMMANDS, {"namespace": namespace, "name": name})
        return [self._command(row) for row in found]

    def count_open_commands(self, namespace: str, name: str, now: datetime) -> int:
        """How many wait for their end."""
        key: Parameters = {"namespace": namespace, "name": name, "now": micros(now)}
        return int(self._run(COUNT_OPEN_COMMANDS, key)[0][0])

    def nodes_to_command(self, now: datetime, limit: int) -> Sequence[tuple[str, str]]:
        """Nodes (namespace, name) that a command waits for, each once."""
        found = self._run(NODES_TO_COMMAND, {"now": micros(now), "limit": limit})
        return [(namespace, name) for namespace, name in found]

    def claim_commands(self, namespace: str, name: str, now: datetime) -> Sequence[Command]:
        """Note all that wait for the node as sent, oldest first: no two callers get one."""
        key: Parameters = {"namespace": namespace, "name": name, "now": micros(now)}
        claimed = [self._command(row) for row in self._run(CLAIM_COMMANDS, key)]
        return sorted(claimed, key=lambda command: (command.created, command.id))

    def give_back_command(self, command_id: str) -> None:
        """Undo `claim_commands` for one that was not sent."""
        self._run(GIVE_BACK_COMMAND, {"id": command_id})

    def end_command(
        self, namespace: str, name: str, command_id: str, answer: NodeResponse, now: datetime
    ) -> bool:
        """Keep what the node answers; False, and nothing changes, if that is not waited for."""
        output = answer.output
        if output:
            output = self._sealer.seal(output.encode(), PLACE, namespace, name, command_id)
        row: Parameters = {
            "namespace": namespace,
            "name": name,
            "id": command_id,
            "status": answer.status.value,
            "now": micros(now),
            "ended": None if answer.status in OPEN else micros(now),
            "output": output,
            "cause": answer.cause,
            "cut": int(answer.is_cut),
            "part": answer.part,
            "output_end": answer.output_end or len(answer.output),
        }
        return bool(self._run(END_COMMAND, row))

    def encoding_of_node(self, namespace: str, name: str) -> str | None:
        """How the node wrote its last report; None if it never did."""
        key = {"namespace": namespace, "name": name}
        return first(lambda row: str(row[0]), self._run(ENCODING_OF_NODE, key))

    def delete_old_commands(self, namespace: str, name: str, kept: int, now: datetime) -> None:
        """Forget all to the node but the last *kept* and those that are open."""
        key: Parameters = {"namespace": namespace, "name": name}
        self._run(DELETE_OLD_COMMANDS, {**key, "limit": kept, "now": micros(now)})

    def forget_commands(self, before: datetime) -> int:
        """Forget what had to end before that; how many there were."""
        return len(self._run(FORGET_COMMANDS, {"before": micros(before)}))

    def _command(self, row: Row) -> Command:
        own_id, namespace, name, kind, app, lines, actor, actor_name, actor_namespace, *rest = row
        created, deadline, status, sent, ended, output, cause, cut, *rest = rest
        since_seconds, follow, part, output_end = rest
        if output:
            output = self._sealer.unseal(output, PLACE, namespace, name, own_id).decode()
        return Command(
            id=own_id,
            namespace=namespace,
            name=name,
            command=CommandKind(kind),
            actor=Actor(actor, actor_name, actor_namespace),
            created=moment(created),
            deadline=moment(deadline),
            app=app,
            lines=lines,
            status=CommandStatus(status),
            sent=moment_or_none(sent),
            ended=moment_or_none(ended),
            output=output,
            cause=cause,
            is_cut=bool(cut),
            since_seconds=since_seconds,
            is_following=bool(follow),
            part=part,
            output_end=output_end,
        )

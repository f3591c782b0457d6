"""Commands to nodes."""
# ruff: noqa: D102  # `command_interface` says what each method promises

from collections.abc import Sequence
from datetime import datetime

from cloud.core.audit import Actor
from cloud.core.commands import OPEN, Answer, Command, CommandKind, CommandStatus
from cloud.errors import NotFound
from cloud.store import command_sql
from cloud.store.parts.part import BrokenReference, Part, first
from cloud.store.rows import Parameters, Row, micros, moment, moment_or_none

PLACE = "command"
"""First part of the place that an output is sealed as; namespace, node and id follow."""


class CommandPart(Part):
    """Commands, and what came of them."""

    def add_command(self, command: Command) -> None:
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
            self._run(command_sql.ADD_COMMAND, row)
        except BrokenReference as error:
            raise NotFound("node", command.name) from error

    def command(self, namespace: str, name: str, command_id: str) -> Command | None:
        key = {"namespace": namespace, "name": name, "id": command_id}
        return first(self._command, self._run(command_sql.COMMAND, key))

    def commands(self, namespace: str, name: str) -> Sequence[Command]:
        found = self._run(command_sql.COMMANDS, {"namespace": namespace, "name": name})
        return [self._command(row) for row in found]

    def count_open_commands(self, namespace: str, name: str, now: datetime) -> int:
        key: Parameters = {"namespace": namespace, "name": name, "now": micros(now)}
        return int(self._run(command_sql.COUNT_OPEN_COMMANDS, key)[0][0])

    def nodes_to_command(self, now: datetime, limit: int) -> Sequence[tuple[str, str]]:
        found = self._run(command_sql.NODES_TO_COMMAND, {"now": micros(now), "limit": limit})
        return [(namespace, name) for namespace, name in found]

    def claim_commands(self, namespace: str, name: str, now: datetime) -> Sequence[Command]:
        key: Parameters = {"namespace": namespace, "name": name, "now": micros(now)}
        claimed = [self._command(row) for row in self._run(command_sql.CLAIM_COMMANDS, key)]
        return sorted(claimed, key=lambda command: (command.created, command.id))

    def give_back_command(self, command_id: str) -> None:
        self._run(command_sql.GIVE_BACK_COMMAND, {"id": command_id})

    def end_command(
        self, namespace: str, name: str, command_id: str, answer: Answer, now: datetime
    ) -> bool:
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
        return bool(self._run(command_sql.END_COMMAND, row))

    def encoding_of_node(self, namespace: str, name: str) -> str | None:
        key = {"namespace": namespace, "name": name}
        return first(lambda row: str(row[0]), self._run(command_sql.ENCODING_OF_NODE, key))

    def delete_old_commands(self, namespace: str, name: str, kept: int, now: datetime) -> None:
        key: Parameters = {"namespace": namespace, "name": name}
        self._run(command_sql.DELETE_OLD_COMMANDS, {**key, "limit": kept, "now": micros(now)})

    def forget_commands(self, before: datetime) -> int:
        return len(self._run(command_sql.FORGET_COMMANDS, {"before": micros(before)}))

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

"""Commands to nodes, and their responses."""

from collections.abc import Callable
from datetime import datetime, timedelta

from cloud.core.audit import Actor
from cloud.core.commands import (
    COMMANDS_KEPT,
    OPEN_LIMIT,
    Command,
    CommandDraft,
    NodeResponse,
    checked_draft,
)
from cloud.core.listing import ListOptions, Page
from cloud.core.names import split_node_id
from cloud.errors import NotFound, TooManyCommands
from cloud.operations.nodes import existing_node
from cloud.store.transaction import Transaction


def give_command(
    tx: Transaction,
    namespace: str,
    name: str,
    draft: CommandDraft,
    *,
    new_id: Callable[[], str],
    actor: Actor,
    now: datetime,
) -> Command:
    """Have the node asked, once it is there; TooManyCommands while too many wait for their end."""
    wanted = checked_draft(draft)
    existing_node(tx, namespace, name)
    if tx.count_open_commands(namespace, name, now) >= OPEN_LIMIT:
        raise TooManyCommands(name, OPEN_LIMIT)
    tx.delete_old_commands(namespace, name, COMMANDS_KEPT - 1, now)
    command = Command(
        id=new_id(),
        namespace=namespace,
        name=name,
        command=wanted.command,
        actor=actor,
        created=now,
        deadline=now + timedelta(seconds=wanted.seconds),
        app=wanted.app,
        lines=wanted.lines,
        since_seconds=wanted.since_seconds,
        is_following=wanted.follow,
    )
    tx.add_command(command)
    return command


def read_command(
    tx: Transaction, namespace: str, name: str, command_id: str, *, now: datetime
) -> Command:
    """The command as it stands at *now*, with its output."""
    existing_node(tx, namespace, name)
    command = tx.command(namespace, name, command_id)
    if command is None:
        raise NotFound("command", command_id)
    return command.at(now)


def list_commands(
    tx: Transaction, namespace: str, name: str, options: ListOptions, *, now: datetime
) -> Page[Command]:
    """All to the node that are stored, the newest first, without their output."""
    existing_node(tx, namespace, name)
    every = [command.at(now) for command in tx.commands(namespace, name)]
    rest = every
    if options.after is not None:
        after = options.after
        rest = [command for command in every if (command.created, command.id) < after]
    shown = rest[: options.limit] if options.limit else rest
    end = (shown[-1].created, shown[-1].id) if len(shown) < len(rest) else None
    return Page(shown, len(every), end)


def receive_answer(
    tx: Transaction, node_id: str, command_id: str, answer: NodeResponse, *, now: datetime
) -> None:
    """Keep what the node answers; what comes late or twice, or was never asked, changes nothing.

    A part is put behind the parts before it: the command stays open until the last.
    """
    namespace, name = split_node_id(node_id)
    if answer.part:
        command = tx.command(namespace, name, command_id)
        whole = command.with_part(answer) if command and command.is_following else None
        if whole is None:
            return
        answer = whole
    tx.end_command(namespace, name, command_id, answer, now)

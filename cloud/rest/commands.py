"""Handlers: commands to nodes."""

import asyncio
import contextlib
from collections.abc import Callable

from starlette.responses import Response

from cloud.core.commands import WAIT_LIMIT, Command, CommandDraft
from cloud.core.decoding import convert
from cloud.core.names import node_id
from cloud.core.times import time_text
from cloud.operations import commands
from cloud.rest.auth import caller_of
from cloud.rest.call import Call, view_response
from cloud.rest.views import View
from cloud.store.interface import Transaction

POLL_SECONDS = 1.0
"""How late the end of a command is seen that another server took down."""


async def give_command(call: Call) -> View:
    """`POST /v1/nodes/{name}/commands`; it is sent once the answer to this is under way."""
    name = call.path("name")
    draft = convert(await call.content(ignored=frozenset()), CommandDraft)
    actor = caller_of(call.request).actor
    command = await call.store.write(
        lambda tx: commands.give_command(
            tx, call.namespace, name, draft, new_id=call.api.new_id, actor=actor, now=call.now
        )
    )
    call.api.wake_commands()
    return _view(command)


async def list_commands(call: Call) -> View:
    """`GET /v1/nodes/{name}/commands`: the newest first; an output is shown of one alone."""
    name, options = call.path("name"), call.list_options()
    page = await call.store.read(
        lambda tx: commands.list_commands(tx, call.namespace, name, options, now=call.now)
    )
    return call.list_view(page, options, _view)


async def get_command(call: Call) -> Response:
    """`GET /v1/nodes/{name}/commands/{id}`; waits for its end if the caller does.

    Of a log that is followed the caller gets what came after the place it names, or waits for it.
    """
    name, own_id = call.path("name"), call.path("id")
    after = call.number("after", 0)

    def read(tx: Transaction) -> Command:
        return commands.read_command(tx, call.namespace, name, own_id, now=call.api.clock())

    command = await _wait_for_end(call, node_id(call.namespace, name), read, after)
    if command.is_open and not command.is_following:
        return await view_response(call.request, _view(command))
    # The entry of the command says already that its own caller follows the log.
    is_entered = command.is_following and command.actor == caller_of(call.request).actor
    command = await (call.store.peek if is_entered else call.store.read)(read)
    output, is_cut = command.output_after(after)
    view = {**_view(command), "output": output, "cut": is_cut}
    return await view_response(call.request, view, headers={"Cache-Control": "no-store"})


async def _wait_for_end(
    call: Call, node: str, read: Callable[[Transaction], Command], after: int
) -> Command:
    """The command once it has ended, or has more output than *after* characters if it is followed.

    As it is after so long, or when the server stops.
    """
    loop, notifier = asyncio.get_running_loop(), call.api.notifier
    until = loop.time() + call.seconds("wait", WAIT_LIMIT)
    with notifier.listening(node) as told:
        while True:
            told.clear()
            command = await call.store.peek(read)
            left = until - loop.time()
            has_more = command.is_following and command.output_end > after
            if has_more or not command.is_open or left <= 0 or notifier.is_closed:
                return command
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, POLL_SECONDS)):
                    await told.wait()


def _view(command: Command) -> View:
    return {
        "id": command.id,
        "command": command.command,
        "app": command.app,
        "lines": command.lines,
        "sinceSeconds": command.since_seconds,
        "follow": command.is_following,
        "status": command.status,
        "createTime": time_text(command.created),
        "deadline": time_text(command.deadline),
        "sentTime": time_text(command.sent) if command.sent else None,
        "endTime": time_text(command.ended) if command.ended else None,
        "actor": {
            "kind": command.actor.kind,
            "name": command.actor.name,
            "namespace": command.actor.namespace,
        },
        "output": None,
        "outputEnd": command.output_end,
        "cut": command.is_cut,
        "cause": command.cause,
    }

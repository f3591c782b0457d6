"""Commands to nodes: handlers, and rows of the route table."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence

from starlette.responses import Response

from cloud.answers.commands import NodeCommandAnswer
from cloud.answers.common import Listed
from cloud.core.commands import (
    OUTPUT_END_LIMIT,
    WAIT_LIMIT,
    Command,
    CommandDraft,
    CommandKind,
)
from cloud.core.decoding import convert
from cloud.core.names import node_id
from cloud.core.permissions import Permission
from cloud.core.times import time_text
from cloud.operations import commands
from cloud.rest.answers import actor_answer, time_or_none
from cloud.rest.auth import caller_of
from cloud.rest.context import RequestContext, answer_response
from cloud.rest.described import PAGED, Body, Described, Parameter
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction

_VERBS = {CommandKind.UPDATE: "upgrade"}
"""Permissions that are not called like their command: `update` is to change the node here."""

POLL_SECONDS = 1.0
"""How late the end of a command is seen that another server took down."""


async def give_command(context: RequestContext) -> NodeCommandAnswer:
    """`POST /v1/nodes/{name}/commands`; it is sent once the answer to this is under way."""
    name = context.path("name")
    draft = convert(await context.content(ignored=frozenset()), CommandDraft)
    caller = caller_of(context.request)
    verb = _VERBS.get(draft.command, draft.command)
    context = context.permitted(Permission(verb, "nodes"))
    command = await context.store.write(
        lambda tx: commands.give_command(
            tx,
            context.namespace,
            name,
            draft,
            new_id=context.api.new_id,
            actor=caller.actor,
            now=context.now,
        )
    )
    context.api.wake_commands()
    return _answer(command)


async def list_commands(context: RequestContext) -> Listed[NodeCommandAnswer]:
    """`GET /v1/nodes/{name}/commands`: the newest first; an output is shown of one alone."""
    name, options = context.path("name"), context.list_options()
    page = await context.store.read(
        lambda tx: commands.list_commands(tx, context.namespace, name, options, now=context.now)
    )
    return context.listed(page, options, _answer)


async def get_command(context: RequestContext) -> Response:
    """`GET /v1/nodes/{name}/commands/{id}`; waits for its end if the caller does.

    Of a log that is followed the caller gets what came after the place it names, or waits for it.
    """
    name, own_id = context.path("name"), context.path("id")
    after = context.number("after", 0)

    def read(tx: Transaction) -> Command:
        return commands.read_command(tx, context.namespace, name, own_id, now=context.api.clock())

    with _place(context):
        command = await _wait_for_end(context, node_id(context.namespace, name), read, after)
    if command.is_open and not command.is_following:
        return await answer_response(context.request, _answer(command))
    # The entry of the command implies that its own caller follows the log.
    is_entered = command.is_following and command.actor == caller_of(context.request).actor
    command = await (context.store.peek if is_entered else context.store.read)(read)
    output, is_cut = command.output_after(after)
    answer = _answer(command)
    answer.output, answer.cut = output, is_cut
    return await answer_response(context.request, answer, headers={"Cache-Control": "no-store"})


@contextlib.contextmanager
def _place(context: RequestContext) -> Iterator[None]:
    """A place for a request that waits; TooManyRequests if there is none."""
    with contextlib.ExitStack() as places:
        if context.seconds("wait", WAIT_LIMIT):
            caller = caller_of(context.request).actor
            places.enter_context(context.api.command_waits.place(caller))
        yield


async def _wait_for_end(
    context: RequestContext, node: str, read: Callable[[Transaction], Command], after: int
) -> Command:
    """The command once it has ended, or has more output than *after* characters if it is followed.

    As it is after so long, or when the server stops.
    """
    loop, notifier = asyncio.get_running_loop(), context.api.notifier
    until = loop.time() + context.seconds("wait", WAIT_LIMIT)
    with notifier.listening(node) as woken:
        while True:
            woken.clear()
            command = await context.store.peek(read)
            left = until - loop.time()
            has_more = command.is_following and command.output_end > after
            if has_more or not command.is_open or left <= 0 or notifier.is_closed:
                return command
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, POLL_SECONDS)):
                    await woken.wait()


def _answer(command: Command) -> NodeCommandAnswer:
    return NodeCommandAnswer(
        id=command.id,
        command=command.command,
        app=command.app,
        lines=command.lines,
        since_seconds=command.since_seconds,
        follow=command.is_following,
        status=command.status,
        create_time=time_text(command.created),
        deadline=time_text(command.deadline),
        sent_time=time_or_none(command.sent),
        end_time=time_or_none(command.ended),
        actor=actor_answer(command.actor),
        output=None,
        output_end=command.output_end,
        cut=command.is_cut,
        cause=command.cause,
    )


COMMAND_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "POST",
        "/v1/nodes/{name}/commands",
        give_command,
        Described(
            "Send a command to a node: logs, restart, report, diagnose or update",
            NodeCommandAnswer,
            Body(CommandDraft),
            refusals=(404, 409),
        ),
        needs="logs|restart|report|diagnose|upgrade nodes",
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/commands",
        list_commands,
        Described("List commands to a node", Listed[NodeCommandAnswer], query=PAGED),
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/commands/{id}",
        get_command,
        Described(
            "Get a command and what came of it",
            NodeCommandAnswer,
            query=(
                Parameter("wait", "seconds to wait for its end, or for more output", WAIT_LIMIT),
                Parameter(
                    "after", "characters of the output to leave out (`outputEnd`)", OUTPUT_END_LIMIT
                ),
            ),
        ),
    ),
)

"""Rows of the table of routes: commands to nodes."""

from collections.abc import Sequence

from cloud.core.commands import OUTPUT_END_LIMIT, WAIT_LIMIT, CommandDraft
from cloud.core.tokens import Role
from cloud.rest import commands
from cloud.rest.described import PAGED, Body, Described, Parameter
from cloud.rest.node_shapes import NodeCommandAnswer
from cloud.rest.route import ApiRoute
from cloud.rest.shapes import Listed

COMMAND_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "POST",
        "/v1/nodes/{name}/commands",
        commands.give_command,
        Described(
            "Send a command to a node: logs, restart, report, diagnose or update",
            NodeCommandAnswer,
            Body(CommandDraft),
            refusals=(404, 409),
        ),
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/commands",
        commands.list_commands,
        Described("List commands to a node", Listed[NodeCommandAnswer], query=PAGED),
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/commands/{id}",
        commands.get_command,
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
        needs=Role.OPERATOR,
    ),
)

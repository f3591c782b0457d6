"""Rows of the table of routes: commands to nodes."""

from collections.abc import Sequence

from cloud.core.commands import WAIT_LIMIT, CommandDraft
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
            "Ask a node for its log, for a report, or to restart an app",
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
            query=(Parameter("wait", "seconds to wait for its end", WAIT_LIMIT),),
        ),
        needs=Role.OPERATOR,
    ),
)

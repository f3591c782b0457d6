"""Commands that bring in a machine: handlers, and rows of the route table."""

from collections.abc import Sequence

from starlette.responses import Response

from cloud.answers.common import CommandAnswer
from cloud.http.answers import json_response
from cloud.operations import installation
from cloud.rest.context import RequestContext
from cloud.rest.described import Described
from cloud.rest.route import ApiRoute


async def node_command(context: RequestContext) -> Response:
    """`GET /v1/nodes/{name}/init`: each answer holds a new token."""
    name, token = context.path("name"), context.api.new_token()
    await context.store.write(
        lambda tx: installation.offer_node(tx, context.namespace, name, token, now=context.now)
    )
    return _answer(context, token)


async def batch_command(context: RequestContext) -> Response:
    """`GET /v1/register/{batch}/init`: each answer holds a new token."""
    name, token = context.path("batch"), context.api.new_token()
    await context.store.write(
        lambda tx: installation.offer_batch(tx, context.namespace, name, token, now=context.now)
    )
    return _answer(context, token)


def _answer(context: RequestContext, token: str) -> Response:
    command = context.api.install_command(token)
    answer = CommandAnswer(command)
    return json_response(answer, headers={"Cache-Control": "no-store"})


INSTALLATION_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/init",
        node_command,
        Described("Command that brings in a node", CommandAnswer),
    ),
    ApiRoute(
        "GET",
        "/v1/register/{batch}/init",
        batch_command,
        Described("Command that brings in a device", CommandAnswer),
    ),
)

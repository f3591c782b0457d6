"""Handlers: commands that bring in a machine."""

from starlette.responses import Response

from cloud.http.answers import json_response
from cloud.operations import installation
from cloud.rest.call import Call


async def node_command(call: Call) -> Response:
    """`GET /v1/nodes/{name}/init`: each answer holds a new token."""
    name, token = call.path("name"), call.api.new_token()
    await call.store.write(
        lambda tx: installation.offer_node(tx, call.namespace, name, token, now=call.now)
    )
    return _answer(call, token)


async def batch_command(call: Call) -> Response:
    """`GET /v1/register/{batch}/init`: each answer holds a new token."""
    name, token = call.path("batch"), call.api.new_token()
    await call.store.write(
        lambda tx: installation.offer_batch(tx, call.namespace, name, token, now=call.now)
    )
    return _answer(call, token)


def _answer(call: Call, token: str) -> Response:
    command = call.api.install_command(token)
    return json_response({"cmd": command}, headers={"Cache-Control": "no-store"})

"""`edgesync token`: tokens of a running server, over its REST API."""

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import click

from cloud.core.tokens import EVERYWHERE, Role
from edgesync.cli.output import show_table
from edgesync.cli.server_options import access, client_of, server_options
from edgesync.client.client import Client


@click.group()
@server_options
@click.pass_context
def token(context: click.Context, /, **server: Any) -> None:
    """Manage tokens of the REST API."""

    def connect() -> Client:
        return context.with_resource(client_of(access(**server)))

    # Not before a command needs it: --help needs nothing.
    context.obj = connect


_namespace = click.option(
    "--namespace",
    help=f"Namespace of the token, {EVERYWHERE!r} for all."
    "  [default: your token's, or the server's]",
)
_expires = click.option("--expires", help="Expiry time: RFC 3339, like 2027-01-31T12:00:00Z.")


@token.command()
@click.argument("name")
@click.option(
    "--role",
    required=True,
    help=f"{', '.join(role.value for role in Role)}, or a role of the namespace.",
)
@_namespace
@_expires
@click.option(
    "--only",
    "permissions",
    multiple=True,
    metavar="PERMISSION",
    help="Narrow the role to this permission, like 'read apps/web'; repeatable.",
)
@click.option(
    "--nodes", default="", metavar="SELECTOR", help="Limit the role to these nodes, like shop=7."
)
@click.pass_obj
def create(
    connect: Callable[[], Client],
    name: str,
    role: str,
    namespace: str | None,
    expires: str | None,
    permissions: Sequence[str],
    nodes: str,
) -> None:
    """Create a token and print it; it cannot be shown again."""
    body = {
        "name": name,
        "role": role,
        "namespace": namespace,
        "expires": expires,
        "permissions": [*permissions],
        "nodes": nodes,
    }
    click.echo(connect().call("POST", "/v1/tokens", body=body)["token"])


@token.command("list")
@_namespace
@click.pass_obj
def list_tokens(connect: Callable[[], Client], namespace: str | None) -> None:
    """List the tokens of a namespace, or of all with '*'."""
    found = connect().call("GET", "/v1/tokens", query=_query(namespace))["items"]
    fields = {
        "NAMESPACE": "namespace",
        "NAME": "name",
        "ROLE": "role",
        "CREATED": "createTime",
        "EXPIRES": "expires",
        "LAST USED": "lastUsedTime",
    }
    rows = [
        [
            *(one[key] or "never" for key in fields.values()),
            ", ".join(one.get("permissions", ())),
            one.get("nodes", ""),
        ]
        for one in found
    ]
    show_table([*fields, "ONLY", "NODES"], rows)


@token.command()
@click.argument("name")
@click.option(
    "--overlap",
    default="0",
    show_default=True,
    help="How long the secret that it has is still valid, like 1h.",
)
@_namespace
@_expires
@click.pass_obj
def rotate(
    connect: Callable[[], Client],
    name: str,
    overlap: str,
    namespace: str | None,
    expires: str | None,
) -> None:
    """Give a token another secret and print it; it cannot be shown again."""
    path = f"/v1/tokens/{quote(name, safe='')}/rotate"
    body = {"overlap": overlap, "expires": expires}
    click.echo(connect().call("POST", path, body=body, query=_query(namespace))["token"])


@token.command()
@click.argument("name")
@_namespace
@click.pass_obj
def revoke(connect: Callable[[], Client], name: str, namespace: str | None) -> None:
    """Revoke a token at once."""
    connect().call("DELETE", f"/v1/tokens/{quote(name, safe='')}", query=_query(namespace))
    click.echo(f"{name} is revoked.")


def _query(namespace: str | None) -> dict[str, str]:
    return {} if namespace is None else {"namespace": namespace}

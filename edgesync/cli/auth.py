"""`edgesync auth`: who you are to a server, and what you may do there."""

import click

from edgesync.cli.options import asks_server
from edgesync.cli.output import show_table
from edgesync.client.calls import given
from edgesync.client.client import Client


@click.group()
def auth() -> None:
    """Show who you are to the server, and what you may do."""


@auth.command("can-i")
@asks_server
@click.argument("verb")
@click.argument("kind")
@click.argument("name", default="")
@click.pass_context
def can_i(context: click.Context, server: Client, *, verb: str, kind: str, name: str) -> None:
    """Print whether you may do VERB to things of KIND, or to the one called NAME.

    Exits with 1 if you may not.
    """
    query = {"verb": verb, "kind": kind, **given(name=name)}
    answer = server.call("GET", "/v1/can-i", query=query)
    if not answer["allowed"]:
        click.echo("no")
        click.echo(answer["reason"], err=True)
        context.exit(1)
    click.echo("yes" if not answer["nodes"] else f"yes, the nodes {answer['nodes']}")


@auth.command()
@asks_server
def whoami(server: Client) -> None:
    """Print who you are to the server, and your roles by namespace."""
    answer = server.call("GET", "/v1/whoami")
    name = answer["name"] or answer["kind"]
    click.echo(f"{answer['kind']} {name}" if answer["name"] else name)
    show_table(["NAMESPACE", "ROLE"], [[*one] for one in sorted(answer["grants"].items())])

"""`edgesync session`: sessions of people and programs."""

from typing import Any
from urllib.parse import quote

import click

from edgesync.cli.options import asks_server, reason_option
from edgesync.cli.output import show_table
from edgesync.client.client import Client


@click.group()
def session() -> None:
    """List and end sessions of people and programs.

    They are your own; an admin of all namespaces sees those of all.
    """


@session.command("list")
@asks_server
def list_sessions(server: Client) -> None:
    """List sessions; * marks the one that this command uses."""
    rows = [_row(one) for one in server.pages("/v1/sessions")]
    titles = ["", "ID", "USER", "KIND", "ADDRESS", "CREATED", "LAST USED", "EXPIRES"]
    show_table(titles, rows)


@session.command()
@asks_server
@click.argument("id_", metavar="ID")
@click.option("--all", "of_user", is_flag=True, help="All sessions of the user of that session.")
@reason_option
def end(server: Client, *, id_: str, of_user: bool) -> None:
    """End a session at once."""
    query = {"all": "true"} if of_user else {}
    server.call("DELETE", f"/v1/sessions/{quote(id_, safe='')}", query=query)
    click.echo("The sessions have ended." if of_user else "The session has ended.")


def _row(one: dict[str, Any]) -> list[str]:
    mark = "*" if one["current"] else " "
    times = [one["createTime"], one["lastUsedTime"], one["expires"]]
    return [mark, one["id"], one["user"], one["kind"], one["address"], *times]

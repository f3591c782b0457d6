"""`edgesync logs`, `restart` and `report`: ask a node to do something, and wait for its answer."""

import time
from collections.abc import Mapping
from typing import Any

import click

from cloud.core.commands import LINES_LIMIT, OPEN, SECONDS, SECONDS_LIMIT
from edgesync.client import Server
from edgesync.kinds import NODE
from edgesync.showing import coloured, note, printable
from edgesync.verbs.options import asks_server, reason_option

_LOOK_SECONDS = 20
"""How long the server is asked to wait at a time; less than proxies like."""

_deadline_option = click.option(
    "--deadline",
    type=click.IntRange(1, SECONDS_LIMIT),
    default=SECONDS,
    show_default=True,
    help="Seconds in which the node has to answer.",
)


@click.command()
@asks_server
@click.argument("node")
@click.option("--app", default="", help="Of this app.  [default: the node's agent]")
@click.option("--lines", type=click.IntRange(1, LINES_LIMIT), help="How many, the newest.")
@_deadline_option
@reason_option
def logs(server: Server, *, node: str, app: str, lines: int | None, deadline: int) -> None:
    """Print the end of a node's log, or of an app's."""
    wanted = {"command": "logs", "seconds": deadline}
    wanted |= {"app": app} if app else {}
    wanted |= {"lines": lines} if lines else {}
    ended = _carried_out(server, node, wanted)
    if ended.get("cut"):
        note("What came before is left out.")
    click.echo(printable(ended["output"] or "").rstrip("\n"))


@click.command()
@asks_server
@click.argument("node")
@click.argument("app")
@_deadline_option
@reason_option
def restart(server: Server, *, node: str, app: str, deadline: int) -> None:
    """Restart an app on a node."""
    wanted = {"command": "restart", "app": app, "seconds": deadline}
    ended = _carried_out(server, node, wanted)
    click.echo(
        f"{coloured('done')}: {app} on {node}. {printable(ended.get('output') or '')}".rstrip()
    )


@click.command()
@asks_server
@click.argument("node")
@_deadline_option
@reason_option
def report(server: Server, *, node: str, deadline: int) -> None:
    """Have a node report now."""
    _carried_out(server, node, {"command": "report", "seconds": deadline})
    click.echo(f"{coloured('done')}: {node} reported; `edgesync describe node {node}` shows it.")


def _carried_out(server: Server, node: str, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """The command once it has ended well; ClickException says how it ended otherwise."""
    where = f"{NODE.url(node)}/commands"
    command = server.call("POST", where, body=wanted)
    limit = time.monotonic() + wanted["seconds"] + _LOOK_SECONDS
    while command["status"] in OPEN and time.monotonic() < limit:
        query = {"wait": str(_LOOK_SECONDS)}
        command = server.call("GET", f"{where}/{command['id']}", query=query)
    if command["status"] == "done":
        ended: Mapping[str, Any] = command
        return ended
    if command.get("output"):
        note(command["output"])
    cause = command.get("cause") or "the node did not answer in time"
    raise click.ClickException(
        f"{command['status']}: {printable(cause)}\n`edgesync explain node {node}` says how it is."
    )

"""`edgesync logs`, `restart`, `report`, `diagnose`, `update-agent`: commands to a node."""

import base64
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cloud.core.commands import LINES_LIMIT, OPEN, SECONDS, SECONDS_LIMIT, SINCE_LIMIT
from cloud.core.kinds import NODE
from edgesync.cli.options import asks_server, node_argument, reason_option
from edgesync.cli.output import coloured, note, printable
from edgesync.client.client import Client

_LOOK_SECONDS = 20
"""Seconds of one long poll; below the timeouts of common proxies."""

_FOLLOW_SECONDS = 600
"""How long a log is followed by default."""

_UPDATE_SECONDS = 180
"""How long an agent may take to fetch and try a new version of itself."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

_deadline_option = click.option(
    "--deadline",
    type=click.IntRange(1, SECONDS_LIMIT),
    default=SECONDS,
    show_default=True,
    help="Seconds to wait for the node.",
)


def _seconds(_context: click.Context, _parameter: click.Parameter, text: str | None) -> int:
    """Seconds of a text like `90s` or `2h`; 0 for none; BadParameter for any other."""
    if text is None:
        return 0
    found = re.fullmatch(r"([0-9]{1,6})([smhd]?)", text)
    seconds = int(found[1]) * _UNITS[found[2] or "s"] if found else 0
    if not 1 <= seconds <= SINCE_LIMIT:
        raise click.BadParameter(f"{text!r} is not a duration like 90s, 10m or 2h, up to 7d")
    return seconds


@click.command()
@asks_server
@node_argument
@click.option("--app", default="", help="App whose log to print.  [default: the agent's log]")
@click.option(
    "--tail", "--lines", "lines", type=click.IntRange(1, LINES_LIMIT), help="Number of lines."
)
@click.option(
    "--since", callback=_seconds, metavar="TIME", help="Only the last 90s, 10m, 2h or 7d."
)
@click.option("-f", "--follow", is_flag=True, help="Print new lines as they arrive.")
@click.option(
    "--deadline",
    type=click.IntRange(1, SECONDS_LIMIT),
    help=f"Seconds until the command ends.  [default: {SECONDS}; {_FOLLOW_SECONDS} with --follow]",
)
@reason_option
def logs(
    server: Client,
    *,
    node: str,
    app: str,
    lines: int | None,
    since: int,
    follow: bool,
    deadline: int | None,
) -> None:
    """Print the last lines of a node's or an app's log; -f follows it. Stop with Ctrl-C."""
    wanted: dict[str, Any] = {"command": "logs"}
    wanted["seconds"] = deadline or (_FOLLOW_SECONDS if follow else SECONDS)
    wanted |= {"app": app} if app else {}
    wanted |= {"lines": lines} if lines else {}
    wanted |= {"sinceSeconds": since} if since else {}
    if follow:
        _follow(server, node, {**wanted, "follow": True})
        return
    ended = _carried_out(server, node, wanted)
    if ended.get("cut"):
        note("Earlier output is truncated.")
    click.echo(printable(ended["output"] or "").rstrip("\n"))


@click.command()
@asks_server
@node_argument
@click.argument("app")
@_deadline_option
@reason_option
def restart(server: Client, *, node: str, app: str, deadline: int) -> None:
    """Restart an app on a node."""
    wanted = {"command": "restart", "app": app, "seconds": deadline}
    ended = _carried_out(server, node, wanted)
    click.echo(
        f"{coloured('done')}: {app} on {node}. {printable(ended.get('output') or '')}".rstrip()
    )


@click.command()
@asks_server
@node_argument
@_deadline_option
@reason_option
def report(server: Client, *, node: str, deadline: int) -> None:
    """Request a report from a node now."""
    _carried_out(server, node, {"command": "report", "seconds": deadline})
    click.echo(f"{coloured('done')}: {node} reported; `edgesync describe node {node}` shows it.")


@click.command()
@asks_server
@node_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.  [default: NODE-diagnose.tar.gz]",
)
@_deadline_option
@reason_option
def diagnose(server: Client, *, node: str, output: Path | None, deadline: int) -> None:
    """Download a diagnostic archive of a node: state, logs, disk, container engine."""
    ended = _carried_out(server, node, {"command": "diagnose", "seconds": deadline})
    try:
        archive = base64.b64decode(ended["output"] or "", validate=True)
    except ValueError as error:
        raise click.ClickException("the node sent no archive") from error
    file = output or Path(f"{node}-diagnose.tar.gz")
    file.write_bytes(archive)
    click.echo(f"{coloured('done')}: {len(archive)} bytes in {file}; `tar -xzf {file}` unpacks it.")


@click.command()
@asks_server
@node_argument
@click.option(
    "--deadline",
    type=click.IntRange(1, SECONDS_LIMIT),
    default=_UPDATE_SECONDS,
    show_default=True,
    help="Seconds to wait for the node.",
)
@reason_option
def update_agent(server: Client, *, node: str, deadline: int) -> None:
    """Update a node's agent to the server's version; it rolls back if it cannot connect."""
    ended = _carried_out(server, node, {"command": "update", "seconds": deadline})
    click.echo(f"{coloured('done')}: {node}: {printable(ended.get('output') or '')}".rstrip())


def _follow(server: Client, node: str, wanted: Mapping[str, Any]) -> None:
    """Print the output of a command as it comes, until it ends."""
    where = f"{NODE.url(node)}/commands"
    command = server.call("POST", where, body=wanted)
    limit = time.monotonic() + wanted["seconds"] + _LOOK_SECONDS
    is_open = True
    while is_open and time.monotonic() < limit:
        query = {"wait": str(_LOOK_SECONDS), "after": str(command["outputEnd"])}
        command = server.call("GET", f"{where}/{command['id']}", query=query)
        if command["cut"]:
            note("Some output is truncated here.")
        click.echo(printable(command["output"] or ""), nl=False)
        is_open = command["status"] in OPEN
    if command["status"] != "done" and not command["outputEnd"]:
        raise click.ClickException(f"{command['status']}: {printable(command['cause'])}")


def _carried_out(server: Client, node: str, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """The finished command; ClickException if it failed or timed out."""
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
        f"{command['status']}: {printable(cause)}\nSee `edgesync explain node {node}`."
    )

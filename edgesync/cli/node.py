"""`edgesync node`: shut nodes out, label them, install their agents."""

from collections.abc import Sequence

import click

from cloud.core.kinds import NODE
from edgesync.cli.completing import completed_nodes
from edgesync.cli.edit import ChangeOptions, change_labels, is_change
from edgesync.cli.options import asks_server, label_options, node_argument, reason_option
from edgesync.cli.output import is_agreed, show_change
from edgesync.client.client import Client


@click.group()
def node() -> None:
    """Shut nodes out, label them, and get their installation commands."""


@node.command()
@asks_server
@click.argument("nodes", nargs=-1, required=True, shell_complete=completed_nodes)
@click.option("--yes", is_flag=True, help="Revoke without confirmation.")
@reason_option
def revoke(server: Client, *, nodes: Sequence[str], yes: bool) -> None:
    """Revoke all certificates of nodes: they lose access at once, and stay listed.

    A new installation command, or a reset of its record, brings a node back.
    """
    if not is_agreed(f"Revoke the certificates of {', '.join(nodes)}?", yes=yes):
        raise click.Abort
    for name in nodes:
        server.call("POST", f"{NODE.url(name)}/revoke")
        show_change("revoked", f"node/{name}", f"back with `edgesync node install-command {name}`")


@node.command("install-command")
@asks_server
@node_argument
@reason_option
def install_command(server: Client, *, node: str) -> None:
    """Print the command that installs the agent of a node; it works once, within an hour."""
    click.echo(server.call("GET", f"{NODE.url(node)}/init")["cmd"])


@node.command()
@asks_server
@click.argument("words", nargs=-1, required=True, metavar="[NODE]... KEY=VALUE|KEY-...")
@label_options
def label(
    server: Client,
    *,
    words: Sequence[str],
    selector: str,
    overwrite: bool,
    yes: bool,
    dry_run: bool,
) -> None:
    """Set or remove labels of nodes, as `edgesync label node` does."""
    names = [word for word in words if not is_change(word)]
    changes = [word for word in words if is_change(word)]
    how = ChangeOptions(overwrite=overwrite, yes=yes, dry_run=dry_run)
    change_labels(server, NODE, names, changes, selector, how)

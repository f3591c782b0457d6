"""`edgesync rollout`: kubectl's names for `wait`, `history` and `undo`."""

import click

from cloud.core.kinds import APP, KINDS
from edgesync.cli.completing import completed_targets
from edgesync.cli.history import history, undo
from edgesync.cli.options import Target, asks_server
from edgesync.cli.wait import wait_for
from edgesync.client.client import Client


@click.group()
def rollout() -> None:
    """Follow, list or revert changes: `rollout status|history|undo`."""


@rollout.command()
@asks_server
@click.argument("words", nargs=-1, required=True, metavar="APP", shell_complete=completed_targets)
@click.option("--timeout", type=click.FloatRange(0), default=120.0, show_default=True)
def status(server: Client, *, words: tuple[str, ...], timeout: float) -> None:
    """Wait until the app has converged; failed nodes are named with the causes."""
    kind, _, name = "/".join(words).rpartition("/")
    if kind and KINDS.named(kind) is not APP:
        raise click.UsageError("only apps have a rollout: `rollout status APP`")
    wait_for(server, [Target(APP, name)], "converged", timeout)


rollout.add_command(history, "history")
rollout.add_command(undo, "undo")

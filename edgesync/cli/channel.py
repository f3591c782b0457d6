"""`edgesync channel`: try channels of notifications."""

import click

from cloud.core.kinds import CHANNEL
from edgesync.cli.completing import completed_channels
from edgesync.cli.options import asks_server, reason_option
from edgesync.cli.output import show_change
from edgesync.client.client import Client


@click.group()
def channel() -> None:
    """Send test messages by channels, and again what was given up."""


@channel.command()
@asks_server
@click.argument("name", shell_complete=completed_channels)
@reason_option
def test(server: Client, *, name: str) -> None:
    """Send a test message, and print what the receiver answered.

    Exits with 1 if the receiver did not take it.
    """
    outcome = server.call("POST", f"{CHANNEL.url(name)}/test")
    if not outcome["ok"]:
        raise click.ClickException(
            f"channel/{name} did not send: {outcome['response']}\n"
            f"Correct it by `edgesync edit channel {name}`, and repeat the test."
        )
    show_change("sent", f"channel/{name}", outcome["response"])


@channel.command()
@asks_server
@click.argument("name", shell_complete=completed_channels)
@reason_option
def retry(server: Client, *, name: str) -> None:
    """Send again the messages that were given up."""
    state = server.call("POST", f"{CHANNEL.url(name)}/retry")["state"]
    show_change("queued", f"channel/{name}", f"{state['pending']} messages wait")

"""`edgesync version`: of the command, and of the server."""

from importlib.metadata import version as installed_version

import click

from edgesync.cli.options import asks_server
from edgesync.client.client import Client


@click.command()
@asks_server
def version(server: Client) -> None:
    """Show the versions of this command and of the server."""
    click.echo(f"Command: {installed_version('edgesync')}")
    click.echo(f"Server:  {server.call('GET', '/version')['version']} ({server.url})")

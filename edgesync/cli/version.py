"""`edgesync version`: of the command, and of the server."""

from importlib.metadata import version as installed_version

import click

from edgesync.cli.api.client import ApiServer
from edgesync.cli.options import asks_server


@click.command()
@asks_server
def version(server: ApiServer) -> None:
    """Show the versions of this command and of the server."""
    click.echo(f"Command: {installed_version('edgesync')}")
    click.echo(f"Server:  {server.call('GET', '/version')['version']} ({server.url})")

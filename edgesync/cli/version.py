"""`edgesync version`: of the command, and of the server."""

from pathlib import Path

import click

import edgesync
from edgesync.cli.server_options import access, client_of, server_options


@click.command()
@server_options
@click.option("-n", "--namespace", hidden=True, expose_value=False, help="As all verbs have it.")
def version(
    *, url: str | None, ca: Path | None, token_file: Path | None, context_name: str | None
) -> None:
    """Show the versions of this command and of the server."""
    click.echo(f"Command: {edgesync.version()}")
    with client_of(access(url, ca, token_file, context_name)) as server:
        click.echo(f"Server:  {server.call('GET', '/version')['version']} ({server.url})")

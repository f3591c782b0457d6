"""`edgesync completion`: what a shell needs to complete commands."""

import click
from click.shell_completion import get_completion_class

VARIABLE = "_EDGESYNC_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL: `eval "$(edgesync completion bash)"`."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"there is no completion for {shell}")
    click.echo(kind(context.find_root().command, {}, "edgesync", VARIABLE).source())

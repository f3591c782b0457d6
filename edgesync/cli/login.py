"""`edgesync login` and `edgesync context`: saved servers."""

import time
from pathlib import Path

import click

from edgesync.cli.output import show_table, yaml_of
from edgesync.cli.server_options import client_of, readable_file
from edgesync.client.access import (
    DEFAULT_URL,
    Access,
    check_is_private,
    checked_url,
    token_in,
    trust,
)
from edgesync.client.contexts import (
    Context,
    contexts_file,
    named_context,
    read_contexts,
    write_contexts,
)
from edgesync.client.errors import AccessError, ConnectionLost
from edgesync.client.http_client import httpx

LOOK_EVERY_SECONDS = 0.2


@click.command()
@click.argument("url", required=False, envvar="EDGESYNC_URL")
@click.option("--ca", type=readable_file(), help="CA certificate of the server.")
@click.option(
    "--token-file",
    type=readable_file(),
    help="File with the token, read on each use.  [default: a prompt]",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Data directory of a local server: its admin token and CA certificate.",
)
@click.option(
    "--context", "name", default="default", show_default=True, help="Name of the context."
)
@click.option("-n", "--namespace", default="", help="Default namespace.")
@click.option(
    "--wait",
    "patience",
    type=click.FloatRange(0),
    default=0.0,
    help="Seconds to wait for the server to start.",
)
def login(
    url: str | None,
    ca: Path | None,
    token_file: Path | None,
    data_dir: Path | None,
    name: str,
    namespace: str,
    patience: float,
) -> None:
    """Log in to the server at URL and save it as a context.

    On the server's machine `edgesync login --data-dir data` is enough.
    """
    if data_dir is not None:
        token_file = token_file or data_dir / "admin.token"
        ca = ca or data_dir / "ca" / "root.pem"
    address = checked_url("URL", url or DEFAULT_URL)
    check_is_private("URL", address)
    context = Context(
        url=str(address),
        ca=str(ca.resolve()) if ca and address.scheme == "https" else "",
        token="" if token_file else click.prompt("Token", hide_input=True).strip(),
        token_file=str(token_file.resolve()) if token_file else "",
        namespace=namespace,
    )
    deadline = time.monotonic() + patience
    while not _accepts(context, is_last=time.monotonic() >= deadline):
        time.sleep(LOOK_EVERY_SECONDS)
    write_contexts(read_contexts().with_context(name, context))
    click.echo(f'Logged in to {address} (context "{name}")')


def _accepts(context: Context, *, is_last: bool) -> bool:
    """Return whether the server accepts the token; the *last* attempt raises the reason."""
    try:
        token = token_in(Path(context.token_file)) if context.token_file else context.token
        ca = Path(context.ca) if context.ca else None
        url = httpx.URL(context.url)
        reached = Access(url, trust("--ca", ca, url), token, context.namespace)
        with client_of(reached) as server:
            server.call("GET", "/v1/nodes", query={"limit": "1"})
    except OSError as error:
        if is_last:
            reason = error.strerror or str(error)
            raise click.ClickException(f"{context.token_file}: {reason}") from error
    except (ConnectionLost, AccessError):
        if is_last:
            raise
    else:
        return True
    return False


@click.group()
def context() -> None:
    """Manage contexts: saved servers, one of which is current."""


@context.command("list")
def list_contexts() -> None:
    """List contexts; * marks the current one."""
    contexts = read_contexts()
    show_table(
        ["", "NAME", "URL", "NAMESPACE"],
        [
            ["*" if name == contexts.current else " ", name, one.url, one.namespace]
            for name, one in contexts.known.items()
        ],
    )


def _complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in read_contexts().known if name.startswith(incomplete)]


@context.command()
@click.argument("name", shell_complete=_complete)
def use(name: str) -> None:
    """Make NAME the current context."""
    contexts = read_contexts()
    named_context(contexts, name)
    write_contexts(contexts.using(name))
    click.echo(f'Switched to context "{name}"')


@context.command()
@click.argument("name", required=False, shell_complete=_complete)
def show(name: str | None) -> None:
    """Show a context, without its token, and the file it is stored in."""
    contexts = read_contexts()
    one = named_context(contexts, name or contexts.current)
    shown = {
        "name": name or contexts.current,
        "url": one.url,
        "ca": one.ca or "system trust store",
        "token": f"in {one.token_file}" if one.token_file else "stored in this file",
        "namespace": one.namespace or "the token's",
        "file": str(contexts_file()),
    }
    click.echo(yaml_of(shown), nl=False)


@context.command()
@click.argument("name", shell_complete=_complete)
def delete(name: str) -> None:
    """Delete the context NAME; its token stays valid until revoked."""
    contexts = read_contexts()
    named_context(contexts, name)
    write_contexts(contexts.without(name))
    click.echo(f'Deleted context "{name}"')


@click.group()
def config() -> None:
    """Manage contexts, by the names that kubectl has."""


config.add_command(use, "use-context")
config.add_command(list_contexts, "get-contexts")
config.add_command(delete, "delete-context")


@config.command("current-context")
def current_context() -> None:
    """Print the name of the current context."""
    current = read_contexts().current
    if not current:
        raise click.ClickException("no context is current: log in with `edgesync login URL`")
    click.echo(current)

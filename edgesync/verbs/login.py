"""`edgesync login` and `edgesync context`: servers by name, and which of them is asked."""

from pathlib import Path

import click

from edgesync.client import (
    DEFAULT_URL,
    Access,
    Server,
    check_is_private,
    checked_url,
    readable_file,
    token_in,
    trust,
)
from edgesync.contexts import (
    Context,
    contexts_file,
    named_context,
    read_contexts,
    write_contexts,
)
from edgesync.showing import show_rows, yaml_of


@click.command()
@click.argument("url", required=False)
@click.option("--ca", type=readable_file(), help="Certificate of the server's authority.")
@click.option(
    "--token-file",
    type=readable_file(),
    help="File that holds the token; it is read anew each time.  [default: you are asked]",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Data of a server on this machine: its administrator's token, and its authority.",
)
@click.option("--context", "name", default="default", show_default=True, help="What to call it.")
@click.option("-n", "--namespace", default="", help="Namespace to be in.")
def login(
    url: str | None,
    ca: Path | None,
    token_file: Path | None,
    data_dir: Path | None,
    name: str,
    namespace: str,
) -> None:
    """Remember the server at URL and a token for it, once the server has taken the token.

    `edgesync login --data-dir data` is enough on the machine of the server.
    """
    if data_dir is not None:
        token_file = token_file or data_dir / "admin.token"
        ca = ca or data_dir / "ca" / "root.pem"
    address = checked_url("URL", url or DEFAULT_URL)
    check_is_private("URL", address)
    ca = ca if address.scheme == "https" else None
    try:
        token = token_in(token_file) if token_file else click.prompt("Token", hide_input=True)
    except OSError as error:
        raise click.ClickException(f"{token_file}: {error.strerror}") from error
    reached = Access(address, trust("--ca", ca), token.strip(), namespace)
    with Server(reached) as server:
        server.call("GET", "/v1/nodes", query={"limit": "1"})
    context = Context(
        url=str(address),
        ca=str(ca.resolve()) if ca else "",
        token="" if token_file else token.strip(),
        token_file=str(token_file.resolve()) if token_file else "",
        namespace=namespace,
    )
    write_contexts(read_contexts().with_context(name, context))
    click.echo(f"{address} takes the token; context {name} is the current one.")


@click.group()
def context() -> None:
    """Servers that were logged in to, and which of them is asked."""


@context.command("list")
def list_contexts() -> None:
    """Show all; the current one has a star."""
    contexts = read_contexts()
    show_rows(
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
    """Ask the server NAME from now on."""
    contexts = read_contexts()
    named_context(contexts, name)
    write_contexts(contexts.using(name))
    click.echo(f"Context {name} is the current one.")


@context.command()
@click.argument("name", required=False, shell_complete=_complete)
def show(name: str | None) -> None:
    """Show one, without its token, and the file it is in."""
    contexts = read_contexts()
    one = named_context(contexts, name or contexts.current)
    shown = {
        "name": name or contexts.current,
        "url": one.url,
        "ca": one.ca or "that of the system",
        "token": f"in {one.token_file}" if one.token_file else "kept here",
        "namespace": one.namespace or "that of the token",
        "file": str(contexts_file()),
    }
    click.echo(yaml_of(shown), nl=False)


@context.command()
@click.argument("name", shell_complete=_complete)
def delete(name: str) -> None:
    """Forget NAME and its token; the token itself goes on until it is revoked."""
    contexts = read_contexts()
    named_context(contexts, name)
    write_contexts(contexts.without(name))
    click.echo(f"Context {name} is forgotten.")

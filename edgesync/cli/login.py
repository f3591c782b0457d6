"""`edgesync login` and `edgesync context`: saved servers."""

import contextlib
import os
import sys
import time
import webbrowser
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import click

from edgesync.cli.output import note, show_table, yaml_of
from edgesync.cli.server_options import client_of, readable_file
from edgesync.client.access import (
    DEFAULT_URL,
    Access,
    access_of,
    check_is_private,
    checked_url,
    token_in,
    trust,
)
from edgesync.client.client import Client
from edgesync.client.contexts import (
    Context,
    contexts_file,
    named_context,
    read_contexts,
    write_contexts,
)
from edgesync.client.errors import AccessError, ConnectionLost, NotFoundError, Unauthenticated
from edgesync.client.http_client import httpx
from edgesync.client.login import DeviceCode, login_by_browser, login_by_code, offers_users

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
@click.option("--browser", "way", flag_value="browser", help="Log in as a user, in a browser here.")
@click.option(
    "--device", "way", flag_value="device", help="Log in as a user, in a browser anywhere."
)
@click.option("--token", "way", flag_value="token", help="Log in with a token, which is asked for.")
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
    way: str | None,
    patience: float,
) -> None:
    """Log in to the server at URL and save it as a context.

    A user logs in with the account of the company, or with name and password: in a browser on this
    machine (--browser), or with a code that is typed into a browser anywhere (--device). Without
    either of them, a terminal takes one that is possible, where the server has users.

    On the server's machine `edgesync login --data-dir data` is enough.
    """
    if data_dir is not None:
        token_file = token_file or data_dir / "admin.token"
        ca = ca or data_dir / "ca" / "root.pem"
    address = checked_url("URL", url or DEFAULT_URL)
    check_is_private("URL", address)
    deadline = time.monotonic() + patience
    context = Context(
        url=str(address),
        ca=str(ca.resolve()) if ca and address.scheme == "https" else "",
        token="" if token_file else _token(address, ca, way, deadline),
        token_file=str(token_file.resolve()) if token_file else "",
        namespace=namespace,
    )
    while not _accepts(context, is_last=time.monotonic() >= deadline):
        time.sleep(LOOK_EVERY_SECONDS)
    write_contexts(read_contexts().with_context(name, context))
    click.echo(f'Logged in to {address} (context "{name}")')


def _token(address: httpx.URL, ca: Path | None, way: str | None, deadline: float) -> str:
    """The token of a session of the user, or the one that is typed."""
    if way == "token" or (way is None and not sys.stdin.isatty()):
        return str(click.prompt("Token", hide_input=True)).strip()
    reached = Access(address, trust("--ca", ca, address), "")
    if way is None and _offers_users(reached, deadline):
        way = "browser" if _has_browser() else "device"
    if way == "browser":
        return login_by_browser(reached, _open_browser)
    if way == "device":
        return login_by_code(reached, _show_code)
    return str(click.prompt("Token", hide_input=True)).strip()


def _offers_users(reached: Access, deadline: float) -> bool:
    while True:
        try:
            return offers_users(reached)
        except ConnectionLost:
            if time.monotonic() >= deadline:
                raise
            time.sleep(LOOK_EVERY_SECONDS)


def _has_browser() -> bool:
    """Return whether a browser of this machine would show itself to who types here."""
    is_remote = "SSH_CONNECTION" in os.environ or "SSH_TTY" in os.environ
    has_screen = sys.platform in {"darwin", "win32"} or any(
        name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    return has_screen and not is_remote


def _open_browser(address: str) -> None:
    note(f"Confirm in the browser. If none opens, open this address on this machine:\n{address}")
    webbrowser.open(address)


def _show_code(code: DeviceCode) -> None:
    note(f"Open {code.uri} in any browser, and type the code {code.user_code}")
    note(f"or open {code.uri_complete} and type its second half.")


def _accepts(context: Context, *, is_last: bool) -> bool:
    """Return whether the server accepts the token; the *last* attempt raises the reason."""
    try:
        token = token_in(Path(context.token_file)) if context.token_file else context.token
        ca = Path(context.ca) if context.ca else None
        url = httpx.URL(context.url)
        reached = Access(url, trust("--ca", ca, url), token, context.namespace)
        with client_of(reached) as server:
            _ask(server)
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


@click.command()
@click.option("--context", "name", help="Name of the context.  [default: the current one]")
def logout(name: str | None) -> None:
    """End the session of a context on the server, and forget its token.

    A token that is no session stays valid until it is revoked.
    """
    contexts = read_contexts()
    name = name or contexts.current
    one = named_context(contexts, name)
    if one.token_file:
        raise click.ClickException(f"the token is in {one.token_file}: delete the context instead")
    if one.token:
        with contextlib.suppress(Unauthenticated), client_of(access_of(context_name=name)) as own:
            if session := own.call("GET", "/v1/whoami")["session"]:
                own.call("DELETE", f"/v1/sessions/{quote(session, safe='')}")
    changed = {**contexts.known, name: replace(one, token="")}
    write_contexts(replace(contexts, known=changed))
    click.echo(f'Logged out of {one.url} (context "{name}")')


def _ask(server: Client) -> None:
    """Raise what the server answers to who is not let in."""
    try:
        server.call("GET", "/v1/whoami")
    except NotFoundError:  # an older server
        server.call("GET", "/v1/nodes", query={"limit": "1"})


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

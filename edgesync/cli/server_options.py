"""The options that name a server, and the client that they make."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgesync.client.access import DEFAULT_URL, Access, AccessNames, access_of
from edgesync.client.client import TIMEOUT_SECONDS, Client
from edgesync.client.steps import Retries

RETRIES = Retries(times=6, after_loss=False)
"""A person sees at once that there is no server; a busy one is asked again."""


def client_of(access: Access, *, seconds: float = TIMEOUT_SECONDS) -> Client:
    """A client for *access*, as the command line uses it."""
    return Client.from_access(access, timeout=seconds, retries=RETRIES)


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* what `access` makes a server of: `url`, `ca`, `token_file`, `context_name`."""
    return prefixed_server_options("")(command)


def prefixed_server_options(prefix: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """As `server_options`, with *prefix* before the name of each option."""

    def give(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(
            (
                click.option(
                    f"--{prefix}url",
                    envvar="EDGESYNC_URL",
                    help=f"REST API of the server.  [default: the context's, else {DEFAULT_URL}]",
                ),
                click.option(
                    f"--{prefix}ca",
                    type=readable_file(),
                    envvar="EDGESYNC_CA",
                    help="CA certificate of the server (ca/root.pem)."
                    "  [default: the context's, else the system trust store]",
                ),
                click.option(
                    f"--{prefix}token-file",
                    type=readable_file(),
                    envvar="EDGESYNC_TOKEN_FILE",
                    help="File with the token.  [default: EDGESYNC_TOKEN, else the context's]",
                ),
                click.option(
                    f"--{prefix}context",
                    f"{prefix.replace('-', '_')}context_name",
                    envvar="EDGESYNC_CONTEXT",
                    help="Context to use (`edgesync login`).  [default: the current one]",
                ),
            )
        ):
            command = option(command)
        return command

    return give


def readable_file() -> click.Path:
    """An option's value that names a file."""
    return click.Path(path_type=Path, exists=True, dir_okay=False)


def access(
    url: str | None,
    ca: Path | None,
    token_file: Path | None,
    context_name: str | None = None,
    *,
    namespace: str | None = None,
    prefix: str = "",
) -> Access:
    """The access by the options of `server_options`; AccessError names one that cannot be used."""
    names = AccessNames(f"--{prefix}url", f"--{prefix}ca", f"--{prefix}token-file")
    return access_of(url, ca, token_file, context_name, namespace=namespace, names=names)

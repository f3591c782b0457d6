"""`edgesync token`: tokens of a running server, over its REST API."""

import functools
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import httpx

from certs.tls import client_context
from cloud.config import LOOPBACK
from cloud.core.tokens import EVERYWHERE, Role

SECONDS = 30
"""How long an answer may take."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where the API is, what it is trusted by, and who asks."""

    url: httpx.URL
    trust: ssl.SSLContext
    token: str

    def call(
        self, method: str, path: str, *, body: Any = None, query: dict[str, str] | None = None
    ) -> Any:
        """Answer of one call; ClickException with the server's own words if it refuses."""
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            with httpx.Client(
                base_url=self.url, headers=headers, verify=self.trust, timeout=SECONDS
            ) as client:
                answer = client.request(method, path, json=body, params=query)
                content = answer.json()
        except httpx.HTTPError as error:
            raise click.ClickException(f"{self.url}: {error}") from error
        except ValueError as error:
            raise click.ClickException(f"{self.url}: is no edgesync server") from error
        if answer.is_success:
            return content
        raise click.ClickException(str(content.get("message", answer.text)))


@click.group()
@click.option(
    "--url",
    default="http://127.0.0.1:9004",
    envvar="EDGESYNC_URL",
    show_default=True,
    help="REST API of the server.",
)
@click.option(
    "--ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="EDGESYNC_CA",
    help="Certificate of the server's authority (ca/root.pem).  [default: those of the system]",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="EDGESYNC_TOKEN_FILE",
    help="File with the token to ask with; without it EDGESYNC_TOKEN holds the token.",
)
@click.pass_context
def token(context: click.Context, url: str, ca: Path | None, token_file: Path | None) -> None:
    """Tokens that open the REST API."""
    # Not before a command needs it: --help needs nothing.
    context.obj = functools.partial(_server, url, ca, token_file)


_namespace = click.option(
    "--namespace",
    help=f"Namespace of the token, {EVERYWHERE!r} for all."
    "  [default: that of the token you ask with, or the server's]",
)


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@_namespace
@click.option("--expires", help="When it ends: RFC 3339, like 2027-01-31T12:00:00Z.")
@click.pass_obj
def create(
    connect: Callable[[], Server],
    name: str,
    role: str,
    namespace: str | None,
    expires: str | None,
) -> None:
    """Make a token and print it, this once."""
    body = {"name": name, "role": role, "namespace": namespace, "expires": expires}
    click.echo(connect().call("POST", "/v1/tokens", body=body)["token"])


@token.command("list")
@_namespace
@click.pass_obj
def list_tokens(connect: Callable[[], Server], namespace: str | None) -> None:
    """Show the tokens of a namespace, or of all with '*'."""
    found = connect().call("GET", "/v1/tokens", query=_query(namespace))["items"]
    fields = {
        "NAMESPACE": "namespace",
        "NAME": "name",
        "ROLE": "role",
        "CREATED": "createTime",
        "EXPIRES": "expires",
        "LAST USED": "lastUsedTime",
    }
    rows = [list(fields), *([one[key] or "never" for key in fields.values()] for one in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


@token.command()
@click.argument("name")
@_namespace
@click.pass_obj
def revoke(connect: Callable[[], Server], name: str, namespace: str | None) -> None:
    """Take a token back: from now on it opens nothing."""
    connect().call("DELETE", f"/v1/tokens/{quote(name, safe='')}", query=_query(namespace))
    click.echo(f"{name} is revoked.")


def _query(namespace: str | None) -> dict[str, str]:
    return {} if namespace is None else {"namespace": namespace}


def _checked_url(text: str) -> httpx.URL:
    """Refuse what would show the token to whoever listens."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise click.UsageError(f"--url: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise click.UsageError(f"--url: {text} is no address of a REST API")
    if url.scheme == "http" and url.host not in LOOPBACK:
        raise click.UsageError("--url: a token is sent to other machines by https only")
    return url


def _trust(ca: Path | None) -> ssl.SSLContext:
    if ca is None:
        return ssl.create_default_context()
    try:
        return client_context(ca.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise click.UsageError(f"--ca: {ca} is not a certificate: {error}") from error


def _token(file: Path | None) -> str:
    text = os.environ.get("EDGESYNC_TOKEN", "")
    if file is not None:
        text = file.read_text(encoding="utf-8", errors="replace")
    text = text.strip()
    if not text or not text.isascii():
        raise click.UsageError("name a file with --token-file, or set EDGESYNC_TOKEN to a token")
    return text


def _server(url: str, ca: Path | None, token_file: Path | None) -> Server:
    return Server(_checked_url(url), _trust(ca), _token(token_file))

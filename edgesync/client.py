"""What commands that ask a server over its REST API have in common: its address, trust, a token."""

import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import click
import httpx

from certs.tls import client_context
from cloud.config import LOOPBACK

SECONDS = 30
"""How long an answer may take."""


class Refused(click.ClickException):
    """The server says no, in its own words; *status* is that of HTTP, *code* for programs."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a server: where it is, what it is trusted by, and who asks (empty: nobody)."""

    url: httpx.URL
    trust: ssl.SSLContext
    token: str


class Server:
    """One server's REST API, for as long as it is open; its connection is kept between calls."""

    def __init__(self, access: Access, *, headers: Mapping[str, str] | None = None) -> None:
        self.url = access.url
        said = {"Authorization": f"Bearer {access.token}"} if access.token else {}
        self._client = httpx.Client(
            base_url=access.url,
            headers={**said, **(headers or {})},
            verify=access.trust,
            timeout=SECONDS,
        )

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    def call(
        self, method: str, path: str, *, body: Any = None, query: Mapping[str, str] | None = None
    ) -> Any:
        """Answer of one call; Refused if the server says no, ClickException if there is none."""
        try:
            answer = self._client.request(method, path, json=body, params=query)
            content = answer.json()
        except httpx.HTTPError as error:
            raise click.ClickException(f"{self.url}: {error}") from error
        except ValueError as error:
            raise click.ClickException(f"{self.url}: its answer is not that of an API") from error
        if answer.is_success:
            return content
        said = content if isinstance(content, dict) else {}
        message = str(said.get("message", answer.text))
        raise Refused(answer.status_code, str(said.get("code", "")), message)


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the options that `access` makes a server of: `url`, `ca`, `token_file`."""
    for option in reversed(
        (
            click.option(
                "--url",
                default="http://127.0.0.1:9004",
                envvar="EDGESYNC_URL",
                show_default=True,
                help="REST API of the server.",
            ),
            click.option(
                "--ca",
                type=readable_file(),
                envvar="EDGESYNC_CA",
                help="Certificate of the server's authority (ca/root.pem)."
                "  [default: those of the system]",
            ),
            click.option(
                "--token-file",
                type=readable_file(),
                envvar="EDGESYNC_TOKEN_FILE",
                help="File with the token to ask with; without it EDGESYNC_TOKEN holds the token.",
            ),
        )
    ):
        command = option(command)
    return command


def readable_file() -> click.Path:
    """An option's value that names a file."""
    return click.Path(path_type=Path, exists=True, dir_okay=False)


def access(url: str, ca: Path | None, token_file: Path | None) -> Access:
    """What the options of `server_options` say; UsageError names the one that cannot be used."""
    address = checked_url("--url", url)
    check_is_private("--url", address)
    return Access(address, trust("--ca", ca), _token(token_file))


def checked_url(option: str, text: str) -> httpx.URL:
    """The address of a REST API; UsageError if *text* is none."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise click.UsageError(f"{option}: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise click.UsageError(f"{option}: {text} is no address of a REST API")
    return url


def check_is_private(option: str, url: httpx.URL) -> None:
    """Refuse what would show a token to whoever listens."""
    if url.scheme == "http" and url.host not in LOOPBACK:
        raise click.UsageError(f"{option}: a token is sent to other machines by https only")


def trust(option: str, ca: Path | None) -> ssl.SSLContext:
    """Trust in the authority whose certificate is in the file *ca*, else in those of the system."""
    if ca is None:
        return ssl.create_default_context()
    try:
        return client_context(ca.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise click.UsageError(f"{option}: {ca} is not a certificate: {error}") from error


def token_in(file: Path) -> str:
    """The token that is alone in *file*; empty if there is none that can be sent."""
    return _sendable(file.read_text(encoding="utf-8", errors="replace"))


def _token(file: Path | None) -> str:
    token = _sendable(os.environ.get("EDGESYNC_TOKEN", "")) if file is None else token_in(file)
    if not token:
        raise click.UsageError("name a file with --token-file, or set EDGESYNC_TOKEN to a token")
    return token


def _sendable(text: str) -> str:
    text = text.strip()
    return text if text.isascii() else ""


def show_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print *rows* below *titles*, each column as wide as it has to be."""
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())

"""Errors of the client as people see them, with a hint: the next command to type, or none.

A command in backquotes works as it is printed.
"""

import re
import ssl
from urllib.parse import unquote

import click

from cloud.core.kinds import KINDS, ResourceKind
from edgesync.client.errors import (
    AccessError,
    ApiError,
    ApiRefusal,
    ClientError,
    ConnectionLost,
    NotFoundError,
    is_unknown_parameter,
)
from edgesync.client.http_client import httpx

_BY_CODE = {
    "ConfirmationRequired": "See the affected nodes with --dry-run, then repeat with --confirm.",
    "RequestMethodNotFound": "This server has no such endpoint. It may be older than this command"
    " (`edgesync version`), or this is another of its ports: the REST API is on 9004 by default.",
    "PreconditionFailed": "It was changed in the meantime: read it again and repeat.",
}
_OLDER = "This server may be older than this command: `edgesync version` shows both versions."
_BY_STATUS = {
    403: "This requires a token with another role or namespace; `edgesync context list` shows the"
    " servers that are known.",
    503: "The server is temporarily unavailable; retry later.",
}
_MISSING = re.compile(r"The \((config|secret|registry)\) resource \(([^()]+)\) is not found")
_HTTP_PORT = (
    "WRONG_VERSION_NUMBER",
    "wrong version number",
    "RECORD_LAYER_FAILURE",
    "HTTP_REQUEST",
)


class ShownError(click.ClickException):
    """An error of the client, for people."""

    def __init__(self, error: ClientError) -> None:
        super().__init__(message_of(error))


class ShownAccessError(ShownError):
    """Context, token or certificate cannot be used; the usage of the command is right."""

    exit_code = 2


def shown_error(error: ClientError) -> ShownError:
    """The error for people that *error* becomes."""
    return ShownAccessError(error) if isinstance(error, AccessError) else ShownError(error)


def message_of(error: ClientError | click.ClickException) -> str:
    """The text of *error*, and the hint on a line of its own."""
    if isinstance(error, click.ClickException):
        return error.format_message()
    hint = ""
    if isinstance(error, ApiError):
        hint = _hint_for(error.refusal)
    elif isinstance(error, ConnectionLost) and isinstance(error.__cause__, httpx.HTTPError):
        hint = _hint_for_lost(error.__cause__, httpx.URL(error.url))
    return "\n".join(part for part in (str(error), hint) if part)


def not_found(title: str, path: str) -> NotFoundError:
    """The error where the thing called *title*, at *path*, does not exist."""
    return NotFoundError(ApiRefusal(404, "ResourceNotFound", f"{title} not found.", path=path))


def _hint_for(refusal: ApiRefusal) -> str:
    """What helps where a server answers a call with an error."""
    status, code, path = refusal.status, refusal.code, refusal.path
    if code == "ResourceHasBeenUsed":
        return _in_use(path)
    if (lost := _MISSING.search(refusal.message)) and not path.endswith(f"/{lost[2]}"):
        word, name = lost.groups()
        return f"If it was deleted, `edgesync undo {word} {name}` brings it back; then repeat."
    if is_unknown_parameter(refusal):
        return _OLDER
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status == 404:
        return _missing(path)
    if status == 401:
        return f"Log in again: `edgesync login {refusal.url}`".rstrip()
    return _BY_STATUS.get(status, "")


def _hint_for_lost(error: httpx.HTTPError, url: httpx.URL) -> str:
    """What helps where no answer came from *url*."""
    if _is_distrust(error):
        return "Pass the server's CA certificate with --ca (its data/ca/root.pem)."
    words = " ".join(map(str, _chain(error)))
    if url.scheme == "https" and any(word in words for word in _HTTP_PORT):
        return f"This address answers without TLS: use --url {url.copy_with(scheme='http')}"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError) and url.scheme == "http":
        return f"If this address is one for TLS, use --url {url.copy_with(scheme='https')}"
    if isinstance(error, httpx.TimeoutException):
        return "The server does not answer in time; `edgesync context list` shows its address."
    if isinstance(error, httpx.ConnectError):
        return (
            "Check that the server runs at this address, or name another with --url;"
            " `edgesync context list` shows those that are known."
        )
    return ""


def kind_at(path: str) -> tuple[ResourceKind | None, str]:
    """The kind whose things are at *path*, and the name of the thing."""
    for kind in KINDS:
        if path == kind.path or path.startswith(f"{kind.path}/"):
            return kind, unquote(path.removeprefix(kind.path).strip("/").partition("/")[0])
    return None, ""


def _missing(path: str) -> str:
    kind, _ = kind_at(path)
    if kind is None:
        return ""
    return f"`edgesync get {kind.plural}` lists what is there; -n selects the namespace."


def _in_use(path: str) -> str:
    kind, name = kind_at(path)
    if kind is None or not name:
        return "Remove the references to it first."
    return f"Remove the references first: `edgesync describe {kind.word} {name}` lists them."


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and len(found) < 10:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _is_distrust(error: BaseException) -> bool:
    return any(
        isinstance(one, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY" in str(one)
        for one in _chain(error)
    )

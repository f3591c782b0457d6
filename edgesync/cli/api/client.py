"""Client of the REST API: address, trust, token, requests and errors."""

import os
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import click

from certs.tls import client_context
from cloud.core.names import LOOPBACK
from edgesync.cli.api.contexts import Context, chosen_context
from edgesync.cli.api.hints import hint_for, hint_for_lost
from edgesync.cli.api.http_client import httpx

SECONDS = 30
"""How long an answer may take."""

_UNAUTHORISED = 401

TOO_MANY = 429
"""HTTP status "Too Many Requests" (RFC 6585, section 4)."""

TRIES = 10
"""Maximum number of retries after `TOO_MANY`."""

DEFAULT_URL = "http://127.0.0.1:9004"
"""Where a server on this machine is."""

NAMESPACE_HEADER = "X-Edgesync-Namespace"


class RequestRefused(click.ClickException):
    """The server refused a request; *status* is that of HTTP, *code* is the API's error code.

    *field* is the path of what is wrong in the request, empty where no single field is; *hint* is
    what to do next, where that is known.
    """

    def __init__(
        self, status: int, code: str, message: str, *, field: str = "", hint: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field
        self.hint = hint

    def format_message(self) -> str:
        """The server's words, and the hint."""
        return "\n".join(part for part in (self.message, self.hint) if part)


class BadAccess(click.ClickException):
    """Context, token or certificate cannot be used; the usage of the command is right."""

    exit_code = 2


def not_found(title: str, path: str) -> RequestRefused:
    """What is refused where the thing called *title*, at *path*, is not there."""
    hint = hint_for(404, "", path=path)
    return RequestRefused(404, "ResourceNotFound", f"{title} not found.", hint=hint)


class ConnectionLost(click.ClickException):
    """No response; the request may have been processed, and may succeed later."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a server: URL, TLS trust and token (empty: no authentication).

    *namespace* is the one that calls are about, empty for the token's own; *source* is where the
    token is from.
    """

    url: httpx.URL
    trust: ssl.SSLContext
    token: str = field(repr=False)
    namespace: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """The result of a call: the *content*, and the entity *tag* it has (empty: none)."""

    content: Any
    tag: str = ""


class ApiServer:
    """One server's REST API, for as long as it is open; its connection is kept between calls."""

    def __init__(
        self,
        access: Access,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self.url = access.url
        self._source = access.source
        self.namespace = access.namespace
        # Goes with every call that changes something.
        self._query = query or {}
        self._headers = _about(access.namespace)
        own = {"Authorization": f"Bearer {access.token}"} if access.token else {}
        self._client = httpx.Client(
            base_url=access.url,
            headers=httpx.Headers({**own, **(headers or {})}, encoding="utf-8"),
            verify=access.trust,
            timeout=seconds,
        )

    def __enter__(self) -> "ApiServer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    def within(self, namespace: str) -> "ApiServer":
        """The same server, for calls about *namespace*; it is open as long as this one."""
        other = copy(self)
        other.namespace, other._headers = namespace, _about(namespace)
        return other

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Content of the answer of `ask`."""
        return self.ask(method, path, body=body, query=query, headers=headers).content

    def text(self, path: str) -> str:
        """The text of an answer that is no JSON; RequestRefused and ConnectionLost as in `ask`."""
        try:
            answer = self._client.get(path, headers=self._headers)
        except httpx.HTTPError as error:
            raise self._lost(error) from error
        if answer.is_error:
            self._read(answer)
        return str(answer.text)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ApiResponse:
        """Response to one call; RequestRefused for an error, ConnectionLost without a response.

        After `TOO_MANY` it waits for the server's Retry-After and retries.
        """
        query = query if method == "GET" else {**self._query, **(query or {})}
        headers = {**self._headers, **(headers or {})}
        try:
            answer = self._client.request(method, path, json=body, params=query, headers=headers)
            for _ in range(TRIES):
                if answer.status_code != TOO_MANY:
                    break
                time.sleep(_pause(answer))
                answer = self._client.request(
                    method, path, json=body, params=query, headers=headers
                )
        except httpx.HTTPError as error:
            raise self._lost(error) from error
        return self._read(answer)

    @contextmanager
    def stream(
        self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], silence: float
    ) -> Iterator[Iterator[bytes]]:
        """A streamed response; ConnectionLost when it breaks or is silent for *silence* seconds.

        RequestRefused for an error.
        """
        limits = httpx.Timeout(SECONDS, read=silence)
        headers = {**self._headers, **headers}
        try:
            with self._client.stream(
                "GET", path, params=query, headers=headers, timeout=limits
            ) as answer:
                if not answer.is_success:
                    answer.read()
                    self._read(answer)
                yield answer.iter_bytes()
        except httpx.HTTPError as error:
            raise self._lost(error) from error

    def _read(self, answer: httpx.Response) -> ApiResponse:
        try:
            content = answer.json()
        except ValueError as error:
            if answer.is_error:
                raise RequestRefused(answer.status_code, "", _first_line(answer)) from error
            raise click.ClickException(f"{self.url}: the response is not JSON") from error
        if answer.is_success:
            return ApiResponse(content, answer.headers.get("etag", ""))
        body = content if isinstance(content, dict) else {}
        message = str(body.get("message", answer.text))
        code, field = str(body.get("code", "")), str(body.get("field", ""))
        path = answer.request.url.path
        url = str(self.url).rstrip("/")
        hint = hint_for(answer.status_code, code, message=message, path=path, url=url)
        if answer.status_code == _UNAUTHORISED and self._source:
            message = (
                f"{message.rstrip('.')}: {self.url} does not accept the token of {self._source}."
            )
        raise RequestRefused(answer.status_code, code, message, field=field, hint=hint)

    def _lost(self, error: httpx.HTTPError) -> ConnectionLost:
        reason = str(error) or type(error).__name__
        return ConnectionLost(f"{self.url}: {reason}\n{hint_for_lost(error, self.url)}".rstrip())


def _about(namespace: str) -> dict[str, str]:
    """Headers of calls about *namespace*, empty for the token's own."""
    return {NAMESPACE_HEADER: namespace} if namespace else {}


def _first_line(answer: httpx.Response) -> str:
    """Message for a response that is not the API's, such as a proxy's."""
    text = answer.text.strip().partition("\n")[0]
    return f"{answer.status_code}: {text[:200]}"


def _pause(answer: httpx.Response) -> float:
    """Seconds to wait by Retry-After, at most 60."""
    seconds = answer.headers.get("retry-after", "1")
    return min(float(seconds), 60.0) if seconds.isascii() and seconds.isdigit() else 1.0


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
    """The access by the options of `server_options`; UsageError names one that cannot be used.

    What they leave open comes from the context, unless they name another server: its token is
    for no other.
    """
    context = chosen_context(context_name)
    if context and url and not _is_same(httpx.URL(context.url), checked_url(f"--{prefix}url", url)):
        context = None
    context = context or Context(url or DEFAULT_URL)
    address = checked_url(f"--{prefix}url", url or context.url)
    check_is_private(f"--{prefix}url", address)
    token, source = _token(token_file, context, f"--{prefix}token-file")
    return Access(
        address,
        trust(f"--{prefix}ca", ca or (Path(context.ca) if context.ca else None), address),
        token,
        context.namespace if namespace is None else namespace,
        source,
    )


def _is_same(one: httpx.URL, other: httpx.URL) -> bool:
    return str(one).rstrip("/") == str(other).rstrip("/")


def checked_url(option: str, text: str) -> httpx.URL:
    """The address of a REST API; UsageError if *text* is none."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise click.UsageError(f"{option}: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise click.UsageError(f"{option}: {text} is not an http or https URL")
    return url


def check_is_private(option: str, url: httpx.URL) -> None:
    """UsageError if a token would be sent unencrypted to another machine."""
    if url.scheme == "http" and url.host not in LOOPBACK:
        raise BadAccess(
            f"{option}: a token is sent to other machines over https only: use"
            f" {url.copy_with(scheme='https')}"
        )


def trust(option: str, ca: Path | None, url: httpx.URL) -> ssl.SSLContext:
    """Trust in the authority whose certificate is in the file *ca*, else in those of the system.

    For a *url* without TLS those are not read: that takes as long as a call.
    """
    if ca is None and url.scheme == "http":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is None:
        return ssl.create_default_context()
    try:
        return client_context(ca.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise BadAccess(f"{option}: {ca} is not a certificate: {error}") from error


def token_in(file: Path) -> str:
    """The token that is alone in *file*; empty if there is none that can be sent."""
    return _sendable(file.read_text(encoding="utf-8", errors="replace"))


def _token(file: Path | None, context: Context, option: str) -> tuple[str, str]:
    """The token, and where it is from."""
    given = "" if file else _sendable(os.environ.get("EDGESYNC_TOKEN", ""))
    source = "EDGESYNC_TOKEN" if given else "the context"
    if file is None and not given and context.token_file:
        file = Path(context.token_file)
    try:
        token = token_in(file) if file else given or _sendable(context.token)
    except OSError as error:
        raise BadAccess(f"cannot read the token file: {error}") from error
    if not token:
        raise BadAccess(
            f"no token: log in with `edgesync login {context.url}`, name a file with {option},"
            " or set EDGESYNC_TOKEN"
        )
    return token, f"{file}" if file else source


def _sendable(text: str) -> str:
    text = text.strip()
    return text if text.isascii() else ""

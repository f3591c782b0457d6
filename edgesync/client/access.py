"""How a server is reached: address, trust, token. AccessError names what cannot be used."""

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from certs.tls import client_context
from cloud.core.names import LOOPBACK
from edgesync.client.contexts import Context, chosen_context
from edgesync.client.errors import AccessError
from edgesync.client.http_client import httpx

DEFAULT_URL = "http://127.0.0.1:9004"
"""Where a server on this machine is."""

_CONTEXT_TOKEN = "the context"  # noqa: S105  # where it is from


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
class AccessNames:
    """What errors call the parts of an access: the options that they were given by."""

    url: str = "url"
    ca: str = "ca"
    token_file: str = "token_file"  # noqa: S105  # a name


def access_of(
    url: str | None = None,
    ca: Path | None = None,
    token_file: Path | None = None,
    context_name: str | None = None,
    *,
    namespace: str | None = None,
    names: AccessNames = AccessNames(),
) -> Access:
    """The access by what is given; the rest is that of the context, else of this machine.

    The token is that of the file, else of EDGESYNC_TOKEN, else of the context. A context for
    another server than *url* is ignored: its token is for no other. AccessError for what cannot be
    used, by *names*.
    """
    context = chosen_context(context_name)
    if context and url and not _is_same(httpx.URL(context.url), checked_url(names.url, url)):
        context = None
    context = context or Context(url or DEFAULT_URL)
    address = checked_url(names.url, url or context.url)
    check_is_private(names.url, address)
    token, source = _token(token_file, context, names.token_file)
    return Access(
        address,
        trust(names.ca, ca or (Path(context.ca) if context.ca else None), address),
        token,
        context.namespace if namespace is None else namespace,
        source,
    )


def access_by_environment(context_name: str | None) -> Access:
    """The access of a context, by default that of EDGESYNC_CONTEXT, else the current one.

    EDGESYNC_URL, EDGESYNC_CA, EDGESYNC_TOKEN and EDGESYNC_TOKEN_FILE replace its parts, as on the
    command line.
    """
    values = {name: os.environ.get(f"EDGESYNC_{name}", "") for name in ("URL", "CA", "TOKEN_FILE")}
    files = {name: Path(value) if value else None for name, value in values.items()}
    return access_of(
        values["URL"] or None,
        files["CA"],
        files["TOKEN_FILE"],
        context_name or os.environ.get("EDGESYNC_CONTEXT") or None,
    )


def new_access(url: str, token: str, ca: str | Path | None, namespace: str) -> Access:
    """The access by its parts; AccessError for what cannot be used."""
    address = checked_url("url", url)
    if token:
        check_is_private("url", address)
    if not token.isascii():
        raise AccessError("token: is not ASCII")
    return Access(address, trust("ca", Path(ca) if ca else None, address), token, namespace)


def _is_same(one: httpx.URL, other: httpx.URL) -> bool:
    return str(one).rstrip("/") == str(other).rstrip("/")


def checked_url(name: str, text: str) -> httpx.URL:
    """The address of a REST API; AccessError if *text*, called *name*, is none."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise AccessError(f"{name}: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise AccessError(f"{name}: {text} is not an http or https URL")
    return url


def check_is_private(name: str, url: httpx.URL) -> None:
    """AccessError if a token would be sent unencrypted to another machine."""
    if url.scheme == "http" and url.host not in LOOPBACK:
        raise AccessError(
            f"{name}: a token is sent to other machines over https only: use"
            f" {url.copy_with(scheme='https')}"
        )


def trust(name: str, ca: Path | None, url: httpx.URL) -> ssl.SSLContext:
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
        raise AccessError(f"{name}: {ca} is not a certificate: {error}") from error


def token_in(file: Path) -> str:
    """The token that is alone in *file*; empty if there is none that can be sent."""
    return _sendable(file.read_text(encoding="utf-8", errors="replace"))


def _token(file: Path | None, context: Context, name: str) -> tuple[str, str]:
    """The token, and where it is from."""
    given = "" if file else _sendable(os.environ.get("EDGESYNC_TOKEN", ""))
    source = "EDGESYNC_TOKEN" if given else _CONTEXT_TOKEN
    if file is None and not given and context.token_file:
        file = Path(context.token_file)
    try:
        token = token_in(file) if file else given or _sendable(context.token)
    except OSError as error:
        raise AccessError(f"cannot read the token file: {error}") from error
    if not token:
        raise AccessError(
            f"no token: log in with `edgesync login {context.url}`, name a file with {name},"
            " or set EDGESYNC_TOKEN"
        )
    return token, f"{file}" if file else source


def _sendable(text: str) -> str:
    text = text.strip()
    return text if text.isascii() else ""

"""HTTP requests to receivers outside: of callbacks, and of channels.

Its own module, loaded with the first delivery that is due: the HTTP client, and the certificate
authorities of the machine, are a tenth of what starting a server takes.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

import httpx

TIMEOUT = timedelta(seconds=10)
"""Timeout of one attempt, all in all."""

USER_AGENT = "edgesync"

ANSWER_LIMIT = 200
"""Bytes of an answer that are read."""


async def send_request(
    client: httpx.AsyncClient,
    method: str,
    url: httpx.URL,
    *,
    content: bytes,
    headers: Mapping[str, str],
    is_read: bool = False,
) -> tuple[str, str]:
    """Send one request; why it failed, empty if it was taken, and the receiver's answer.

    Of an answer the status counts. Its text is read where it *is_read*, and only over HTTPS: else
    an address inside the network, which has no certificate, could be read.
    """
    try:
        async with (
            asyncio.timeout(TIMEOUT.total_seconds()),
            client.stream(method, url, content=content, headers=dict(headers)) as response,
        ):
            status = f"answered {response.status_code}"
            text = await _text_of(response) if is_read and url.scheme == "https" else ""
            answer = f"{status}: {text}" if text else status
            return ("" if response.is_success else answer), answer
    except TimeoutError:
        return f"no answer within {TIMEOUT.total_seconds():.0f} s", ""
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as failure:
        return f"{type(failure).__name__}: {failure}".rstrip(": "), ""


@contextlib.asynccontextmanager
async def open_http_client(tls: ssl.SSLContext | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client that trusts the certificate authorities of this machine, unless *tls* is given.

    Redirects are not followed; proxies, cookies and passwords of the environment are not used.
    """
    async with httpx.AsyncClient(
        verify=tls or ssl.create_default_context(),
        trust_env=False,
        follow_redirects=False,
        timeout=TIMEOUT.total_seconds(),
        headers={"User-Agent": USER_AGENT},
    ) as client:
        yield client


async def _text_of(answer: httpx.Response) -> str:
    """The beginning of the answer, if it is printable text."""
    content = b""
    async for piece in answer.aiter_raw():
        content += piece
        if len(content) >= ANSWER_LIMIT:
            break
    text = " ".join(content[:ANSWER_LIMIT].decode(errors="replace").split())
    return text if text.isprintable() else ""

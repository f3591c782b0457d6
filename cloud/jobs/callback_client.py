"""The HTTP client that sends callbacks.

Its own module, loaded with the first callback that is due: the HTTP client, and the certificate
authorities of the machine, are a tenth of what starting a server takes.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import httpx

from cloud.core.callback import Callback, content_of, signed_headers
from cloud.core.sending import Delivery, DeliveryAttempt

TIMEOUT = timedelta(seconds=10)
"""Timeout of one attempt, all in all."""

USER_AGENT = "edgesync"


class CallbackClient:
    """Makes attempts, several at a time."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def attempt(
        self, target: Callback, delivery: Delivery, *, now: datetime
    ) -> DeliveryAttempt:
        """One attempt, signed at *now*; only the status of the response counts."""
        spec = target.spec
        content = content_of(spec, delivery)
        try:
            async with (
                asyncio.timeout(TIMEOUT.total_seconds()),
                self._client.stream(
                    spec.method.value,
                    httpx.URL(spec.url).copy_merge_params(spec.params),
                    content=content,
                    headers=signed_headers(spec, delivery, content, now=now),
                ) as answer,
            ):
                error = "" if answer.is_success else f"answered {answer.status_code}"
        except TimeoutError:
            error = f"no answer within {TIMEOUT.total_seconds():.0f} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as failure:
            error = f"{type(failure).__name__}: {failure}".rstrip(": ")
        return DeliveryAttempt(delivery, error)


@contextlib.asynccontextmanager
async def open_callback_client() -> AsyncIterator[CallbackClient]:
    """A client that trusts the certificate authorities of this machine.

    Redirects are not followed; proxies, cookies and passwords of the environment are not used.
    """
    async with httpx.AsyncClient(
        verify=ssl.create_default_context(),
        trust_env=False,
        follow_redirects=False,
        timeout=TIMEOUT.total_seconds(),
        headers={"User-Agent": USER_AGENT},
    ) as client:
        yield CallbackClient(client)

"""The client that sends callbacks; loaded with the first that is due."""

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime

import httpx

from cloud.core.callback import Callback, content_of, signed_headers
from cloud.core.sending import Delivery, DeliveryAttempt
from cloud.jobs.outgoing_http import open_http_client, send_request


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
        error, answer = await send_request(
            self._client,
            spec.method.value,
            httpx.URL(spec.url).copy_merge_params(spec.params),
            content=content,
            headers=signed_headers(spec, delivery, content, now=now),
        )
        return DeliveryAttempt(delivery, error, answer)


@contextlib.asynccontextmanager
async def open_callback_client() -> AsyncIterator[CallbackClient]:
    """A client that trusts the certificate authorities of this machine."""
    async with open_http_client() as client:
        yield CallbackClient(client)

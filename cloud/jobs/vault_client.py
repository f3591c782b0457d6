"""The client of a Vault: reads fields of the KV engine, version 2 (OpenBao, HashiCorp Vault).

Its own module, loaded with the first value that is read there: it loads the HTTP client.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from cloud.errors import Unavailable
from cloud.store.permissions import secret_file_trouble

TIMEOUT_SECONDS = 5.0
"""For one request, all in all."""

RESPONSE_LIMIT = 256 * 1024
"""Bytes of one response."""

REQUESTS_LIMIT = 8
"""Requests at the same time."""

DOWN_SECONDS = 10.0
"""How long a Vault that gave no answer is not asked again."""


@dataclass(frozen=True, slots=True)
class VaultPlace:
    """Where values are: *url* and *mount* of the engine, and *prefix* of all paths.

    *token_file* is read for each request, so that an agent can renew it.
    """

    url: str
    token_file: Path
    mount: str
    prefix: str

    def address(self, namespace: str, path: str) -> str:
        """URL of what *path* is in *namespace*; each has a directory of its own."""
        parts = "/".join(part for part in (self.prefix, namespace, path) if part)
        return f"{self.url.rstrip('/')}/v1/{quote(self.mount)}/data/{quote(parts)}"


class _Data(msgspec.Struct, frozen=True):
    data: dict[str, Any] | None = None


class _Read(msgspec.Struct, frozen=True):
    data: _Data


_READ = msgspec.json.Decoder(_Read)


class VaultClient:
    """Reads from one Vault; Unavailable where that fails, with a reason without any value."""

    def __init__(
        self,
        place: VaultPlace,
        trust: ssl.SSLContext,
        timer: Callable[[], float],
        *,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._place = place
        self._trust = trust
        self._timer = timer
        self._timeout = timeout
        self._requests = asyncio.Semaphore(REQUESTS_LIMIT)
        # Until when it is not asked, and why.
        self._down_until = -DOWN_SECONDS
        self._down = ""

    async def fields(self, namespace: str, path: str) -> Mapping[str, Any]:
        """All fields at *path* in *namespace*."""
        async with self._requests:
            if self._timer() < self._down_until:
                raise Unavailable(self._down)
            status, body = await self._get(self._place.address(namespace, path))
        if 300 <= status < 400:
            raise Unavailable(f"answered {status}: redirects are not followed")
        if status in {401, 403}:
            raise Unavailable(f"answered {status}: the token may not read {namespace}/{path}")
        if status == 404:
            raise Unavailable(f"answered 404: there is nothing at {namespace}/{path}")
        if status != 200:
            raise Unavailable(f"answered {status}")
        try:
            return _READ.decode(body).data.data or {}
        except (msgspec.MsgspecError, UnicodeDecodeError):
            # Not `from`: its text has parts of the answer.
            raise Unavailable("its answer is not one of the KV engine, version 2") from None

    def _token(self) -> str:
        file = self._place.token_file
        try:
            trouble, token = secret_file_trouble(file), file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(f"vault_token_file: {file} cannot be read") from error
        if trouble or not token or not token.isprintable():
            raise Unavailable(f"vault_token_file: {trouble or f'{file} holds no token'}")
        return token

    async def _get(self, url: str) -> tuple[int, bytes]:
        headers = {"X-Vault-Token": self._token(), "Accept-Encoding": "identity"}
        try:
            async with (
                asyncio.timeout(self._timeout),
                httpx.AsyncClient(
                    verify=self._trust, trust_env=False, timeout=self._timeout
                ) as client,
                client.stream("GET", url, headers=headers) as response,
            ):
                content = bytearray()
                async for chunk in response.aiter_raw():
                    content += chunk
                    if len(content) > RESPONSE_LIMIT:
                        raise Unavailable(f"its answer has more than {RESPONSE_LIMIT} bytes")
                return response.status_code, bytes(content)
        except TimeoutError as error:
            raise self._is_down(f"no answer within {self._timeout:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self._is_down(f"{type(error).__name__}: {error}".rstrip(": ")) from error

    def _is_down(self, reason: str) -> Unavailable:
        self._down, self._down_until = reason, self._timer() + DOWN_SECONDS
        return Unavailable(reason)

"""The server as a client of an identity provider: its metadata, its keys, and codes for tokens."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote_plus

import httpx
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from cloud.core.identity_providers import IdentityProvider, check_endpoint
from cloud.errors import Denied, Invalid, Unavailable

T = TypeVar("T")

TIMEOUT_SECONDS = 10.0
"""For one request, all in all."""

RESPONSE_LIMIT = 256 * 1024
"""Bytes of one response."""

KEPT_SECONDS = 3600.0
"""How long metadata and keys are kept."""

KEYS_AGAIN_SECONDS = 60.0
"""Time between two requests for keys because of tokens that none of them signed."""

REQUESTS_LIMIT = 32
"""Requests to one provider at the same time."""

_ASYMMETRIC = frozenset({"RSA", "EC", "OKP"})


class Metadata(msgspec.Struct, frozen=True):
    """The metadata of a provider (OpenID Connect Discovery, section 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    device_authorization_endpoint: str = ""
    authorization_response_iss_parameter_supported: bool = False


class _Keys(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str = ""


class _TokenError(msgspec.Struct, frozen=True):
    error: str = ""


class ProviderClient:
    """Talks to one provider; *secret* is that of a confidential client, empty for a public one.

    Unavailable where the provider cannot be reached or answers what is not understood.
    """

    def __init__(
        self,
        provider: IdentityProvider,
        secret: str,
        trust: ssl.SSLContext,
        timer: Callable[[], float],
    ) -> None:
        self.provider = provider
        self._secret = secret
        self._trust = trust
        self._timer = timer
        self._metadata: Metadata | None = None
        self._keys: KeySet | None = None
        self._metadata_at = self._keys_at = -KEPT_SECONDS
        self._lock = asyncio.Lock()
        # Requests that wait for a response.
        self._open = 0

    async def metadata(self) -> Metadata:
        """The endpoints of the provider, kept for an hour."""
        async with self._lock:
            if self._metadata is None or self._timer() - self._metadata_at >= KEPT_SECONDS:
                self._metadata = await self._read_metadata()
                self._metadata_at = self._timer()
            return self._metadata

    async def keys(self) -> KeySet:
        """The keys that the provider signs with, kept for an hour."""
        metadata = await self.metadata()
        async with self._lock:
            if self._keys is None or self._timer() - self._keys_at >= KEPT_SECONDS:
                self._keys = await self._read_keys(metadata)
            return self._keys

    async def newer_keys(self) -> KeySet | None:
        """The keys, read again; None if they were read less than a minute ago."""
        metadata = await self.metadata()
        async with self._lock:
            if self._timer() - self._keys_at < KEYS_AGAIN_SECONDS:
                return None
            self._keys = await self._read_keys(metadata)
            return self._keys

    async def id_token_for(self, code: str, verifier: str, redirect_uri: str) -> str:
        """The ID token that *code* stands for (RFC 6749, section 4.1.3); Denied if for none."""
        metadata = await self.metadata()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": redirect_uri,
        }
        auth: httpx.Auth | None = None
        if self._secret:
            # Section 2.3.1: both are form-encoded before they are joined.
            auth = httpx.BasicAuth(quote_plus(self.provider.client_id), quote_plus(self._secret))
        else:
            form["client_id"] = self.provider.client_id
        status, body = await self._send("POST", metadata.token_endpoint, data=form, auth=auth)
        if 400 <= status < 500:
            reason = _error_in(body)
            raise Denied(f"{self.provider.name} refused the code of the sign-in{reason}")
        tokens = self._decoded(body, _Tokens, status)
        if not tokens.id_token:
            raise self._unavailable("it answered without an ID token")
        return tokens.id_token

    async def _read_metadata(self) -> Metadata:
        issuer = self.provider.issuer
        url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        status, body = await self._send("GET", url)
        metadata = self._decoded(body, Metadata, status)
        if metadata.issuer != issuer:
            raise self._unavailable(f"its metadata name the issuer {metadata.issuer[:80]!r}")
        try:
            for field in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                check_endpoint(field, getattr(metadata, field))
        except Invalid as error:
            raise self._unavailable(f"{error.field}: {error.reason}") from error
        return metadata

    async def _read_keys(self, metadata: Metadata) -> KeySet:
        # Noted before it is asked: a provider that is away is not asked for each token.
        self._keys_at = self._timer()
        status, body = await self._send("GET", metadata.jwks_uri)
        found = self._decoded(body, _Keys, status).keys
        usable = [key for key in found if key.get("kty") in _ASYMMETRIC and key.get("use") != "enc"]
        try:
            return KeySet.import_key_set({"keys": usable})
        except (JoseError, ValueError, TypeError) as error:
            raise self._unavailable(f"its keys cannot be read: {error}") from error

    async def _send(self, method: str, url: str, **options: Any) -> tuple[int, bytes]:
        if self._open >= REQUESTS_LIMIT:
            raise self._unavailable(f"{self._open} requests to it wait for a response")
        self._open += 1
        try:
            return await self._exchange(method, url, **options)
        finally:
            self._open -= 1

    async def _exchange(self, method: str, url: str, **options: Any) -> tuple[int, bytes]:
        try:
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                httpx.AsyncClient(
                    verify=self._trust, trust_env=False, timeout=TIMEOUT_SECONDS
                ) as client,
                client.stream(method, url, **options) as response,
            ):
                content = bytearray()
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > RESPONSE_LIMIT:
                        raise self._unavailable("its response is too long")
                return response.status_code, bytes(content)
        except TimeoutError as error:
            raise self._unavailable(f"no response within {TIMEOUT_SECONDS:.0f} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self._unavailable(f"{type(error).__name__}: {error}".rstrip(": ")) from error

    def _decoded(self, body: bytes, kind: type[T], status: int) -> T:
        if status != 200:
            raise self._unavailable(f"it answered {status}")
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._unavailable(f"its response is not understood: {error}") from error

    def _unavailable(self, reason: str) -> Unavailable:
        return Unavailable(f"the identity provider {self.provider.name} cannot be used: {reason}")


def _error_in(body: bytes) -> str:
    """The error code of a response (RFC 6749, section 5.2), after a colon; empty without one."""
    try:
        error = msgspec.json.decode(body, type=_TokenError).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    return f": {error[:80]}" if error else ""

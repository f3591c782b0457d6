"""Requests."""

import asyncio
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from broker.addresses import network_of, site_of
from cloud.core.decoding import convert, decode_json
from cloud.core.times import time_text
from cloud.errors import Invalid, TooLarge
from cloud.http.addresses import Network, client_address, is_in
from cloud.http.answers import YAML_TYPES

BODY_LIMIT = 8 * 1024 * 1024
"""Bytes in a request's body, unless a handler sets another limit."""

_NAME_SHOWN = 40
"""Characters of a parameter's name that an error repeats."""

_AT_ONCE = 64 * 1024
"""Bytes of JSON that are read without a thread."""

REQUEST_ID_HEADER = "x-bce-request-id"

_SCOPE_KEY = "edgesync.request_id"
_ERROR_CONTEXT_KEY = "edgesync.context"
_YAML_KEY = "edgesync.yaml"
_ADDRESS_KEY = "edgesync.address"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}")

T = TypeVar("T")


def request_id(request: Request) -> str:
    """Id of the request: the caller's own where it sent one that looks like an id."""
    known: str = request.scope[_SCOPE_KEY]
    return known


def set_request_id(scope: Scope, new_id: Callable[[], str]) -> str:
    """Give the request its id: the one in its header if it looks like one, else a new one."""
    known = _sent_request_id(scope) or new_id()
    scope[_SCOPE_KEY] = known
    return known


def _sent_request_id(scope: Scope) -> str:
    sent = Headers(scope=scope).getlist(REQUEST_ID_HEADER)
    return sent[0] if len(sent) == 1 and _REQUEST_ID.fullmatch(sent[0]) else ""


def set_error_context(scope: Scope, clock: Callable[[], datetime] | None) -> Mapping[str, str]:
    """Set the fields that errors of this request carry: its id, and the time by *clock*."""
    context = {"request-id": scope[_SCOPE_KEY]}
    if clock is not None:
        context["time"] = time_text(clock())
    scope[_ERROR_CONTEXT_KEY] = context
    return context


def error_context(scope: Scope) -> Mapping[str, str]:
    """The fields that `set_error_context` has set."""
    context: Mapping[str, str] = scope[_ERROR_CONTEXT_KEY]
    return context


def address_of(scope: Scope) -> str:
    """Address of the client; empty if it did not come over a network."""
    known: str = scope[_ADDRESS_KEY]
    return known


def address_key_of(scope: Scope) -> str:
    """The key of `address_of` for counting clients."""
    return site_of(address_of(scope))


def network_key_of(scope: Scope) -> str:
    """The key of `address_of` for counting those who sign in: of IPv6 a wider network."""
    return network_of(address_of(scope))


def set_address(scope: Scope, trusted_proxies: Sequence[Network]) -> None:
    """Find out where the request came from, and believe the *trusted_proxies* on its way."""
    peer = scope.get("client") or ("", 0)
    forwarded = Headers(scope=scope).getlist("x-forwarded-for")
    scope[_ADDRESS_KEY] = client_address(peer[0], forwarded, trusted_proxies)


async def read_body(request: Request, limit: int = BODY_LIMIT) -> bytes:
    """Body of the request; TooLarge as soon as it is known to have more than *limit* bytes."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise TooLarge(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(limit)
    return bytes(body)


def is_secure(request: Request, trusted_proxies: Sequence[Network]) -> bool:
    """Return whether the client came over TLS, as a trusted proxy before us states."""
    if request.url.scheme == "https":
        return True
    peer = request.client.host if request.client else ""
    forwarded = request.headers.get("x-forwarded-proto", "")
    return forwarded.strip().lower() == "https" and is_in(peer, trusted_proxies)


async def read_json(request: Request, kind: type[T], limit: int = BODY_LIMIT) -> T:
    """Body of the request as a *kind*; Invalid names the field, TooLarge has the limit."""
    return decode_json(await read_body(request, limit), kind)


async def read_object(request: Request) -> dict[str, Any]:
    """Body of the request, an object in JSON, or in YAML by its Content-Type."""
    body = await read_body(request)
    if media_type_of(request) in YAML_TYPES:
        from cloud.http.yaml_text import decode_yaml  # loads YAML, which no start needs

        request.scope[_YAML_KEY] = body
        # Reading YAML takes long; others are answered meanwhile.
        return convert(await asyncio.to_thread(decode_yaml, body), dict[str, Any])
    if len(body) <= _AT_ONCE:
        return decode_json(body, dict[str, Any])
    return await asyncio.to_thread(decode_json, body, dict[str, Any])


async def locate(request: Request, error: Invalid) -> None:
    """Set line and column of what *error* is about, where *request* has a body in YAML."""
    body: bytes | None = request.scope.get(_YAML_KEY)
    if body is None or error.line or not error.field:
        return
    from cloud.http.yaml_text import place_in_yaml  # loaded by `read_object`

    place = await asyncio.to_thread(place_in_yaml, body, error.field)
    if place is not None:
        error.line, error.column = place


def check_query(request: Request, known: Sequence[str]) -> None:
    """Invalid for a query with a parameter that is not *known*; names the nearest that is."""
    for name in request.query_params:
        if name in known:
            continue
        spelt = {one.lower(): one for one in known}
        near = difflib.get_close_matches(name[:_NAME_SHOWN].lower(), spelt, n=1)
        hint = f"; did you mean {spelt[near[0]]!r}?" if near else ""
        raise Invalid("", f"unknown query parameter {name[:_NAME_SHOWN]!r}{hint}")


def media_type_of(request: Request) -> str:
    """Media type of the body; empty without a Content-Type."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()

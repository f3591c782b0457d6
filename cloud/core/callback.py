"""A callback: a signed HTTP request that reports an event, repeated until it succeeds.

Signatures, headers and secrets are those of Standard Webhooks (standardwebhooks.com, 1.0.0), so
that receivers check them with a library that is there already.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from cloud.core.bounds import check_description, check_size
from cloud.core.event import event_types
from cloud.core.kinds import CALLBACK
from cloud.core.mask import MASK
from cloud.core.names import check_name
from cloud.core.resource import UnversionedResource
from cloud.core.sending import JSON, Delivery, check_url, secret_key, signature_headers
from cloud.core.times import time_text
from cloud.errors import Invalid

SIZE_LIMIT = 16 * 1024
"""Bytes of what is described, written as JSON."""

FACTS = "edgesync"
"""Field of the body that holds the facts of the server; a device cannot write into it."""

_OWN_HEADERS = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    }
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?|")


class Method(StrEnum):
    """How the receiver is asked; each has a body, which is what is signed."""

    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"


class CallbackSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The specification of a callback: the fields of Baetyl, a *secret*, and of which
    *events* it gets, types or families.
    """

    url: str = ""
    method: Method = Method.POST
    params: dict[str, str] = {}
    header: dict[str, str] = {}
    body: dict[str, str] = {}
    description: str = ""
    secret: str = ""
    events: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"CallbackSpec(method={self.method})"


@dataclass(frozen=True, slots=True)
class Callback(UnversionedResource[CallbackSpec]):
    """A callback as it is stored."""

    kind = CALLBACK


@dataclass(frozen=True, slots=True)
class CallbackStatus:
    """How a callback did: what came of it last, and its pending deliveries."""

    last_success: datetime | None = None
    last_error: str = ""
    last_error_time: datetime | None = None
    pending: int = 0
    given_up: int = 0


def checked_callback_spec(spec: CallbackSpec) -> CallbackSpec:
    """Return *spec* if it can be called; Invalid names the field, never a value of header."""
    check_url("url", spec.url)
    for key, value in spec.header.items():
        if not _TOKEN.fullmatch(key):
            raise Invalid("header", f"{key[:80]!r} is not the name of a header")
        if key.lower() in _OWN_HEADERS:
            raise Invalid(f"header.{key[:80]}", "is set by the server")
        if not _VALUE.fullmatch(value):
            raise Invalid(f"header.{key[:80]}", "is not printable ASCII")
    if FACTS in spec.body:
        raise Invalid(f"body.{FACTS}", "is set by the server")
    secret_key(spec.secret)
    event_types("events", spec.events)
    check_description(spec.description)
    check_size("", spec, SIZE_LIMIT)
    return spec


def check_callback_name(name: str) -> str:
    """Return *name* if a callback may have it."""
    return check_name("name", name)


def masked(spec: CallbackSpec) -> CallbackSpec:
    """As *spec* is shown: without its secret."""
    return msgspec.structs.replace(spec, secret=MASK)


def signed_headers(
    spec: CallbackSpec, delivery: Delivery, content: bytes, *, now: datetime
) -> dict[str, str]:
    """Headers of one attempt to deliver *content*, signed: the callback's and the standard's."""
    signed = signature_headers(spec.secret, delivery.id, content, now=now)
    return {**spec.header, "Content-Type": delivery.content_type, **signed}


def content_of(spec: CallbackSpec, delivery: Delivery) -> bytes:
    """The body that is sent: for JSON with those fields of the callback's body that it lacks."""
    if delivery.content_type != JSON:
        return delivery.content.encode()
    fields = msgspec.json.decode(delivery.content, type=dict[str, Any])
    return msgspec.json.encode({**spec.body, **fields})


def activation_content(
    penetrate_data: Mapping[str, str] | None, facts: Mapping[str, Any], now: datetime
) -> str:
    """The body sent to a callback of an activation, as JSON: the device's request and *facts*."""
    own = {"event": "activation", **facts, "time": time_text(now)}
    return msgspec.json.encode({**(penetrate_data or {}), FACTS: own}).decode()

"""A callback: a signed HTTP request that reports an event, repeated until it succeeds.

Signatures, headers and secrets are those of Standard Webhooks (standardwebhooks.com, 1.0.0), so
that receivers check them with a library that is there already.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import msgspec

from cloud.core.bounds import check_description, check_size
from cloud.core.event import event_types
from cloud.core.kinds import CALLBACK
from cloud.core.mask import MASK
from cloud.core.names import check_name
from cloud.core.resource import UnversionedResource
from cloud.core.times import time_text
from cloud.errors import Invalid

JSON = "application/json"
"""Content type of the body of an activation."""

SECRET_PREFIX = "whsec_"  # noqa: S105
SECRET_BYTES = range(24, 65)
"""Bytes of a secret, decoded."""

SIZE_LIMIT = 16 * 1024
"""Bytes of what is described, written as JSON."""

URL_LIMIT = 2048
"""Characters of a URL."""

ERROR_LIMIT = 200
"""Characters of an error that are stored."""

FACTS = "edgesync"
"""Field of the body that holds the facts of the server; a device cannot write into it."""

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(hours=1)
WAITING_LIMIT = 10_000
"""Deliveries of one callback that wait, at most, before further events are dropped."""

LIFETIME = timedelta(days=3)
"""How long delivery is tried."""

RETENTION = timedelta(days=30)
"""How long a delivery that was given up can be seen, and tried again."""

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
_URL = re.compile(r"[\x21-\x7e]+")


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
class Delivery:
    """One delivery to a callback; *id* is the same at each attempt.

    *due* is the time of the next attempt, None once given up. Where the content is JSON it is an
    object, and the callback's own body is put under it.
    """

    id: str
    namespace: str
    callback: str
    content: str
    created: datetime
    due: datetime | None
    content_type: str = JSON
    attempts: int = 0
    error: str = ""


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
    _check_url(spec.url)
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


def new_secret(token: str) -> str:
    """Secret of 32 bytes, made of a random *token*."""
    return SECRET_PREFIX + base64.b64encode(hashlib.sha256(token.encode()).digest()).decode()


def secret_key(secret: str) -> bytes:
    """Key that *secret* stands for; Invalid, without showing it, if it is none."""
    encoded = secret.removeprefix(SECRET_PREFIX)
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if encoded == secret or len(key) not in SECRET_BYTES:
        raise Invalid("secret", f"is not {SECRET_PREFIX} and 24 to 64 bytes in base64")
    return key


def signed_headers(
    spec: CallbackSpec, delivery: Delivery, content: bytes, *, now: datetime
) -> dict[str, str]:
    """Headers of one attempt to deliver *content*, signed: the callback's own and the standard's.

    The signature is HMAC-SHA256 over `{id}.{timestamp}.{content}`.
    """
    timestamp = str(int(now.timestamp()))
    text = b".".join((delivery.id.encode(), timestamp.encode(), content))
    digest = hmac.digest(secret_key(spec.secret), text, hashlib.sha256)
    return {
        **spec.header,
        "Content-Type": delivery.content_type,
        "webhook-id": delivery.id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


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


def after_failure(delivery: Delivery, error: str, *, now: datetime, jitter: float) -> Delivery:
    """The delivery after one more failure: due later, or given up after three days.

    Pauses are doubled from a second to an hour; *jitter* from 0 to 1 takes up to half of one off.
    """
    attempts = delivery.attempts + 1
    doubled = FIRST_PAUSE * 2 ** min(attempts - 1, 20)
    due = now + min(doubled, LONGEST_PAUSE) * (1 - jitter / 2)
    return replace(
        delivery,
        attempts=attempts,
        error=error[:ERROR_LIMIT],
        due=due if due - delivery.created <= LIFETIME else None,
    )


def _check_url(url: str) -> None:
    """Refuse what is no plain http or https URL; a password belongs into a header."""
    if not url:
        raise Invalid("url", "missing")
    if len(url) > URL_LIMIT or not _URL.fullmatch(url):
        raise Invalid("url", f"is not a URL of at most {URL_LIMIT} printable ASCII characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Invalid("url", "is not a URL") from error
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        raise Invalid("url", "is not http://HOST or https://HOST, with a port and path or without")
    if parts.username is not None or parts.password is not None:
        raise Invalid("url", "holds a user's name; send credentials in a header")
    if parts.fragment:
        raise Invalid("url", "has a fragment, which is never sent")

"""Deliveries to receivers outside: their queue, pauses, signatures and addresses.

Callbacks and the channels of notifications share them. Signatures, headers and secrets are those of
Standard Webhooks (standardwebhooks.com, 1.0.0), so that receivers check them with a library that is
there already.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlsplit

from cloud.errors import Invalid

JSON = "application/json"

SECRET_PREFIX = "whsec_"  # noqa: S105
SECRET_BYTES = range(24, 65)
"""Bytes of a secret, decoded."""

URL_LIMIT = 2048
"""Characters of a URL."""

ERROR_LIMIT = 200
"""Characters of an error that are stored."""

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(hours=1)
WAITING_LIMIT = 10_000
"""Deliveries to one receiver that wait, at most, before further ones are dropped."""

LIFETIME = timedelta(days=3)
"""How long delivery is tried."""

RETENTION = timedelta(days=30)
"""How long a delivery that was given up can be seen, and tried again."""

LEASE = timedelta(seconds=20)
"""How long a server may take for an attempt before another one, or the next start, repeats it."""

_URL = re.compile(r"[\x21-\x7e]+")


class Queue(StrEnum):
    """The queues of deliveries, by the kind of their receivers."""

    CALLBACKS = "callback"
    CHANNELS = "channel"


class SendState(StrEnum):
    """How a delivery stands."""

    WAITING = "waiting"
    SENT = "sent"
    GIVEN_UP = "givenUp"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery to the receiver *target*; *id* is the same at each attempt.

    *due* is the time of the next attempt, None once it was *sent* or given up. *answer* is the
    receiver's when it was sent. The content of a callback's that is JSON is an object, and the
    callback's own body is put under it.
    """

    id: str
    namespace: str
    target: str
    content: str
    created: datetime
    due: datetime | None
    content_type: str = JSON
    attempts: int = 0
    error: str = ""
    sent: datetime | None = None
    answer: str = ""
    queue: Queue = Queue.CALLBACKS

    @property
    def state(self) -> SendState:
        """How it stands."""
        if self.due is not None:
            return SendState.WAITING
        return SendState.GIVEN_UP if self.sent is None else SendState.SENT


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One delivery that was tried; *error* is empty if it was taken, with that *answer*."""

    delivery: Delivery
    error: str = ""
    answer: str = ""


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


def after_success(attempt: DeliveryAttempt, *, now: datetime) -> Delivery:
    """The delivery once the receiver has taken it."""
    before = attempt.delivery
    answer = attempt.answer[:ERROR_LIMIT]
    return replace(
        before, attempts=before.attempts + 1, due=None, sent=now, error="", answer=answer
    )


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


def signature_headers(
    secret: str, identity: str, content: bytes, *, now: datetime
) -> dict[str, str]:
    """The headers of Standard Webhooks: HMAC-SHA256 over `{id}.{timestamp}.{content}`."""
    timestamp = str(int(now.timestamp()))
    text = b".".join((identity.encode(), timestamp.encode(), content))
    digest = hmac.digest(secret_key(secret), text, hashlib.sha256)
    return {
        "webhook-id": identity,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def check_url(field: str, url: str) -> None:
    """Refuse what is no plain http or https URL; a password belongs into a header."""
    if not url:
        raise Invalid(field, "missing")
    if len(url) > URL_LIMIT or not _URL.fullmatch(url):
        raise Invalid(field, f"is not a URL of at most {URL_LIMIT} printable ASCII characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Invalid(field, "is not a URL") from error
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        raise Invalid(field, "is not http://HOST or https://HOST, with a port and path or without")
    if parts.username is not None or parts.password is not None:
        raise Invalid(field, "holds a user's name; send credentials in a header")
    if parts.fragment:
        raise Invalid(field, "has a fragment, which is never sent")

"""The `continue` of lists: a signed position, for the same list and for an hour."""

import base64
import binascii
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from cloud.core.listing import Place
from cloud.errors import Expired, Invalid

LIFETIME = timedelta(hours=1)
"""How long after its page a token leads on."""

_MAC_BYTES = 32


class _Position(msgspec.Struct, array_like=True, frozen=True):
    created: datetime
    name: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class Continuations:
    """Tokens signed with *key*; a token is good for the list it was made for, no other.

    A list is *parts*: all that selects what it shows, in a fixed order.
    """

    key: bytes

    def token(self, place: Place, parts: tuple[str, ...], now: datetime) -> str:
        """Text from which `place` makes *place* again."""
        content = msgspec.json.encode(_Position(*place, now + LIFETIME))
        signed = self._mac(content, parts) + content
        return base64.urlsafe_b64encode(signed).rstrip(b"=").decode()

    def place(self, text: str, parts: tuple[str, ...], now: datetime) -> Place:
        """Where the page before ended; Expired an hour later, Invalid for what `token` never made.

        Both name `continue`.
        """
        try:
            padded = text.encode() + b"=" * (-len(text) % 4)
            signed = base64.b64decode(padded, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise Invalid("continue", "is not a token of a page before") from error
        mac, content = signed[:_MAC_BYTES], signed[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(content, parts)):
            raise Invalid("continue", "is not a token of a page before of this list")
        read = msgspec.json.decode(content, type=_Position)
        if now >= read.expires:
            raise Expired("continue")
        return read.created, read.name

    def _mac(self, content: bytes, parts: tuple[str, ...]) -> bytes:
        return hmac.digest(self.key, msgspec.json.encode(parts) + b"\n" + content, "sha256")

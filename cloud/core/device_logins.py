"""Logins of the command line that a user approves in a browser (RFC 8628)."""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""Letters of a user code: no vowels, so that it is no word (RFC 8628, section 6.1)."""

CODE_LENGTH = 8
"""Letters of a user code: 34 bits."""

LIFETIME = timedelta(minutes=10)
"""How long a login waits to be approved."""

INTERVAL = timedelta(seconds=2)
"""Least time between two requests of the command line."""

SLOW_DOWN = timedelta(seconds=5)
"""What an earlier request adds to that time."""

PENDING_LIMIT = 1000
"""Logins that wait to be approved, at most."""

PENDING_OF_ADDRESS = 10
"""The same of one address."""

REDIRECT_LIMIT = 512
"""Characters of a redirect address."""

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_LOOPBACK = frozenset({"127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class DeviceLogin:
    """A login on its way: *digest* is that of the device code, *user_code* what the user compares.

    *session* is the id of the session of the user who approved it, empty until then. *polled* is
    when the command line asked last; it has to wait for *interval*. *address* is shown to
    the user, *site* is what limits count: of IPv6 a network.
    """

    digest: str
    user_code: str
    address: str
    site: str
    created: datetime
    expires: datetime
    polled: datetime
    interval: timedelta
    session: str = ""
    is_denied: bool = False

    def is_open(self, now: datetime) -> bool:
        """Return whether it waits to be approved."""
        return not self.session and not self.is_denied and now < self.expires


def user_code_of(random: bytes) -> str:
    """A user code from 16 random bytes."""
    number, letters = int.from_bytes(random, "big"), []
    for _ in range(CODE_LENGTH):
        number, index = divmod(number, len(CODE_LETTERS))
        letters.append(CODE_LETTERS[index])
    return "".join(letters)


def read_user_code(text: str) -> str:
    """The user code as it was typed: in any case, with dashes or spaces or without."""
    return "".join(letter for letter in text.upper() if letter in CODE_LETTERS)[: CODE_LENGTH + 1]


def shown_user_code(code: str) -> str:
    """The user code as people read it: `BCDF-GHJK`."""
    return f"{code[:4]}-{code[4:]}"


def answers_challenge(verifier: str, challenge: str) -> bool:
    """Return whether *verifier* is what *challenge* was made of (RFC 7636, section 4.6)."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    digest = hashlib.sha256(verifier.encode()).digest()
    own = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return hmac.compare_digest(own.encode(), challenge.encode())


def is_loopback_redirect(uri: str) -> bool:
    """Return whether *uri* is of a program on the user's machine (RFC 8252, section 7.3)."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return False
    is_plain = parts.scheme == "http" and not parts.query and not parts.fragment
    is_there = parts.hostname in _LOOPBACK and parts.username is None and port is not None
    return len(uri) <= REDIRECT_LIMIT and is_plain and is_there

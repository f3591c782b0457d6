"""The time where the machine's own clock may be wrong (docs/protocol.md, "Activation")."""

from __future__ import annotations

import calendar
import ssl
import time
from typing import Any, Callable

NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL


class WrongTime(Exception):
    """The server's certificate is not valid at what is taken for now: it, or our clock, is off."""


class Clock:
    """Reckons with the server's time once that is known; the machine's own stays as it is."""

    def __init__(self, read: Callable[[], float] = time.time) -> None:
        self.read = read  # the machine's own
        self.skew = 0.0  # the server's clock less ours

    def now(self) -> float:
        """Seconds since 1970, by the server's clock as far as it is known."""
        return self.read() + self.skew

    def hear(self, server_time: Any) -> None:
        """Take over what the server answers; what cannot be read is no time."""
        try:
            moment = calendar.timegm(time.strptime(server_time, "%Y-%m-%dT%H:%M:%SZ"))
        except (ValueError, TypeError):
            return
        self.skew = moment - self.read()

    def check(self, certificate: Any) -> None:
        """Look at the dates that `link.trusting` leaves out; WrongTime if they are not right now.

        *certificate* is what `getpeercert` gives; it outlives none of those that it leads to.
        """
        begins, ends = certificate["notBefore"], certificate["notAfter"]
        if not _seconds(begins) <= self.now() <= _seconds(ends):
            raise WrongTime(
                f"the server's certificate is valid from {begins} to {ends}, and here it is"
                f" {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(self.now()))} GMT"
            )


def _seconds(date: str) -> float:
    return ssl.cert_time_to_seconds(date)

"""The time where the machine's own clock may be wrong (docs/protocol.md, "Activation").

OpenSSL does not check dates; they are checked here, by the server's time once that is known. The
server sends it after it has authenticated.
"""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec

from agent_sim.errors import ActivationUnanswered

NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL."""

TIMEOUT_SECONDS = 30.0


def utc_now() -> datetime:
    """Read the clock."""
    return datetime.now(UTC)


class ClockError(ssl.SSLCertVerificationError):
    """The server's certificate is not valid at what is taken for now: it, or our clock, is off."""


class _TimeAnswer(msgspec.Struct):
    time: datetime


class MachineClock:
    """Owns what a machine knows of the time; *read* is its own clock, never mended."""

    def __init__(
        self, url: str, trust: ssl.SSLContext, read: Callable[[], datetime] = utc_now
    ) -> None:
        self._url = url
        self._trust = trust
        self.read = read
        # The server's clock less our own, once it is known.
        self.skew = timedelta()
        # Whether a certificate had the wrong dates since the server was asked for the time.
        self.is_doubtful = False

    def now(self) -> datetime:
        """The time, by the server's clock as far as it is known."""
        return self.read() + self.skew

    def check(self, certificate: Any) -> None:
        """Look at the dates of a server's certificate, as `getpeercert` gives it; WrongTime."""
        begins, ends = certificate["notBefore"], certificate["notAfter"]
        now = self.now()
        if not _moment(begins) <= now <= _moment(ends):
            self.is_doubtful = True
            raise ClockError(f"the certificate is valid from {begins} to {ends}, not at {now}")

    def over(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """Check the dates of peers of *context* on asyncio's streams here."""
        return _checked_by(context, self.check)

    async def learn(self) -> None:
        """Ask the server what time it is; ActivationUnanswered if it cannot be believed."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=b"".join(self._trust.get_ca_certs(binary_form=True)))
        certificates: list[Any] = []
        fresh = MachineClock(self._url, self._trust, self.read)
        try:
            async with httpx.AsyncClient(
                verify=_checked_by(context, certificates.append),
                trust_env=False,
                timeout=TIMEOUT_SECONDS,
            ) as client:
                answer = await client.get(self._url)
            fresh.skew = msgspec.json.decode(answer.content, type=_TimeAnswer).time - self.read()
            fresh.check(certificates[-1])
        except (httpx.HTTPError, msgspec.MsgspecError, ValueError, ClockError) as error:
            reason = f"cannot find out what time it is: {error}"
            raise ActivationUnanswered(self._url, reason) from error
        self.skew, self.is_doubtful = fresh.skew, False


def leave_dates(context: ssl.SSLContext) -> ssl.SSLContext:
    """Have OpenSSL ignore dates, which are checked elsewhere."""
    context.verify_flags = ssl.VerifyFlags(context.verify_flags | NO_CHECK_TIME)
    return context


def _checked_by(context: ssl.SSLContext, check: Callable[[Any], None]) -> ssl.SSLContext:
    class Checked(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            check(self.getpeercert())

    context.sslobject_class = Checked
    return leave_dates(context)


def _moment(date: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(date), UTC)

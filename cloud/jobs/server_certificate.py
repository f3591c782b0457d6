"""Renewal of the server's own certificate while it runs.

A TLS context can be given another certificate at any time: later handshakes present it, and open
connections stay open (SSL_CTX_use_certificate, OpenSSL).
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from certs.errors import CertError
from certs.files import ServerCertificate

logger = logging.getLogger(__name__)

LOOK_EVERY = timedelta(hours=1)


class ServerCertificateRenewer:
    """Renews the certificate that the listeners present.

    *ensure* returns the certificate to use at a time, a new one once renewal is due; *contexts* are
    those of the listeners.
    """

    def __init__(
        self,
        ensure: Callable[[datetime], ServerCertificate],
        contexts: Sequence[ssl.SSLContext],
        clock: Callable[[], datetime],
        *,
        on_renewed: Callable[[], Awaitable[None]] | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ensure = ensure
        self._contexts = contexts
        self._clock = clock
        # Called once the files have another certificate.
        self._on_renewed = on_renewed
        self._pause = pause
        # The certificate that the contexts present, at first the one they were made with.
        self._presented = ensure(clock()).certificate_file.read_bytes()

    async def run(self) -> None:
        """Check every hour, until cancelled."""
        while True:
            await self._pause(LOOK_EVERY.total_seconds())
            await self.check()

    async def check(self) -> bool:
        """Renew the certificate if that is due; return whether the listeners present another.

        A failure is logged and tried again at the next check: renewal is due months before expiry.
        """
        try:
            files = await asyncio.to_thread(self._ensure, self._clock())
            found = await asyncio.to_thread(files.certificate_file.read_bytes)
            if found == self._presented:
                return False
            for context in self._contexts:
                context.load_cert_chain(files.certificate_file, files.key_file)
        except (CertError, OSError) as error:
            logger.error("the server's certificate cannot be renewed: %s", error)  # noqa: TRY400
            return False
        self._presented = found
        if self._on_renewed is not None:
            await self._on_renewed()
        logger.info("the listeners present a new server certificate")
        return True

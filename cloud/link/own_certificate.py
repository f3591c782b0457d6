"""The server's own certificate, renewed while it runs.

A TLS context takes another certificate at any time: handshakes that begin from then on show it, and
connections that are there go on (SSL_CTX_use_certificate, OpenSSL).
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


class OwnCertificate:
    """Keeps what the listeners show good.

    *ensure* gives the certificate for a moment, another one once it is time; *contexts* are those
    of the listeners.
    """

    def __init__(
        self,
        ensure: Callable[[datetime], ServerCertificate],
        contexts: Sequence[ssl.SSLContext],
        clock: Callable[[], datetime],
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ensure = ensure
        self._contexts = contexts
        self._clock = clock
        self._pause = pause
        # What the contexts show; they were made with what is there at the beginning.
        self._shown = ensure(clock()).certificate_file.read_bytes()

    async def run(self) -> None:
        """Look every hour, until cancelled."""
        while True:
            await self._pause(LOOK_EVERY.total_seconds())
            await self.look()

    async def look(self) -> bool:
        """Renew the certificate if it is time; say whether another is shown from now on.

        What fails is logged, and tried again at the next look: two thirds of a life leave months.
        """
        try:
            files = await asyncio.to_thread(self._ensure, self._clock())
            found = await asyncio.to_thread(files.certificate_file.read_bytes)
            if found == self._shown:
                return False
            for context in self._contexts:
                context.load_cert_chain(files.certificate_file, files.key_file)
        except (CertError, OSError) as error:
            logger.error("the server's certificate cannot be renewed: %s", error)  # noqa: TRY400
            return False
        self._shown = found
        logger.info("the listeners show another certificate of the server from now on")
        return True

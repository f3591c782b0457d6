"""Limits on failed attempts to activate."""

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from datetime import datetime

from cloud.core.failed_attempts import FailedAttemptLimiter
from cloud.core.rate import Rate
from cloud.errors import (
    ActivationDenied,
    Denied,
    Invalid,
    NotOnWhitelist,
    OtherKey,
    QuotaExceeded,
    TooManyRequests,
    Unavailable,
)
from cloud.operations.activation import (
    ActivatingDevice,
    Claim,
    check_token,
    guess_of,
    is_known_device,
)
from cloud.operations.events import NOT_ON_WHITELIST, QUOTA_REACHED, record_refused_event
from cloud.store.transaction import Store

logger = logging.getLogger(__name__)


class ActivationThrottle:
    """Owns the count of wrong claims; *rate* is that of one address at one batch, None for any."""

    def __init__(
        self,
        store: Store,
        rate: Rate | None,
        timer: Callable[[], float],
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._clock = clock
        self._guesses = FailedAttemptLimiter(rate)
        self._timer = timer

    @contextlib.asynccontextmanager
    async def watching(
        self, claim: Claim, device: ActivatingDevice, caller: str
    ) -> AsyncIterator[None]:
        """Watch one claim of *caller*; TooManyRequests, and it is not looked at, after many wrong.

        An installation token cannot be guessed, and a device that is active proves itself by its
        key: both are always looked at.
        """
        batch, guess = f"{claim.namespace}/{claim.batch_name}", guess_of(claim)
        wait = self._guesses.wait(caller, batch, guess, self._timer())
        if wait is not None and not await self._is_trusted(claim, device):
            logger.warning("%s is locked out of %s for %.0f s", caller, batch[:120], wait)
            raise TooManyRequests(wait, bound="denials")
        try:
            yield
        except QuotaExceeded as error:
            if not claim.install_token:  # else who runs the command sees it
                place = claim.namespace, error.batch
                await self._publish(place, claim.fingerprint_value, QUOTA_REACHED, device)
            raise
        except (Denied, OtherKey) as error:
            self._guesses.record_failure(caller, batch, guess, self._timer())
            cause = error.cause if isinstance(error, ActivationDenied) else str(error)
            logger.warning("%s is not admitted: %s", device.address, cause)
            if isinstance(error, NotOnWhitelist):
                place = error.namespace, error.batch
                await self._publish(place, error.fingerprint, NOT_ON_WHITELIST, device)
            raise

    @contextlib.asynccontextmanager
    async def token_first(self, claim: Claim, caller: str, now: datetime) -> AsyncIterator[None]:
        """Raise the block's Invalid only if the token of *claim* is right; else as `watching`."""
        try:
            yield
        except Invalid:
            async with self.watching(claim, ActivatingDevice(None, "", caller), caller):
                await self._store.read(lambda tx: check_token(tx, claim, now=now))
            raise

    async def _publish(
        self, batch: tuple[str, str], fingerprint: str, reason: str, device: ActivatingDevice
    ) -> None:
        """Record the event that a device of *batch* (namespace, name) was refused."""
        facts = {"fingerprintValue": fingerprint, "reason": reason, "address": device.address}
        try:
            now = self._clock()
            await self._store.write(
                lambda tx: record_refused_event(tx, *batch, now=now, facts=facts)
            )
        except Unavailable as error:
            logger.warning("cannot record a refused device: %s", error.reason)

    async def _is_trusted(self, claim: Claim, device: ActivatingDevice) -> bool:
        if claim.install_token:
            return True
        return await self._store.read(lambda tx: is_known_device(tx, claim, device))

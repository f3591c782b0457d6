"""Limits on failed attempts to activate."""

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime

from cloud.core.failed_attempts import FailedAttemptLimiter
from cloud.core.rate import Buckets, Rate
from cloud.core.refused_device import RefusalReason
from cloud.errors import (
    ActivationDenied,
    CloudError,
    Denied,
    Invalid,
    NameTaken,
    NotOnWhitelist,
    OtherKey,
    QuotaExceeded,
    TooManyRequests,
    Unavailable,
    WrongToken,
)
from cloud.operations.activation import (
    ActivatingDevice,
    Claim,
    check_token,
    guess_of,
    is_known_device,
)
from cloud.operations.refused_devices import record_refused_device
from cloud.store.transaction import Store

logger = logging.getLogger(__name__)

UNPROVEN_RATE = Rate(burst=100, per_second=0.1)
"""Refusals of one batch that are recorded although the device did not show the batch's token."""

_REASONS: Mapping[type[CloudError], RefusalReason] = {
    NotOnWhitelist: RefusalReason.NOT_ON_WHITELIST,
    QuotaExceeded: RefusalReason.QUOTA_REACHED,
    OtherKey: RefusalReason.OTHER_KEY,
    NameTaken: RefusalReason.NAME_TAKEN,
    WrongToken: RefusalReason.UNPROVEN,
}


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
        self._unproven = Buckets(UNPROVEN_RATE)
        # Refusals without the batch's token that were not recorded since the start.
        self.omitted = 0

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
        except (QuotaExceeded, NameTaken) as error:
            await self._record(claim, error, device)
            raise
        except (Denied, OtherKey) as error:
            self._guesses.record_failure(caller, batch, guess, self._timer())
            cause = error.cause if isinstance(error, ActivationDenied) else str(error)
            logger.warning("%s is not admitted: %s", device.address, cause)
            await self._record(claim, error, device)
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

    async def _record(self, claim: Claim, error: CloudError, device: ActivatingDevice) -> None:
        """Record that the batch of *claim* refused *device*, where *error* is a refusal."""
        reason = _REASONS.get(type(error))
        namespace, batch = claim.namespace, claim.batch_name
        if reason is None:
            return
        if isinstance(error, NotOnWhitelist):
            namespace, batch = error.namespace, error.batch
        elif claim.install_token:  # who runs the command sees why
            return
        if reason is RefusalReason.UNPROVEN and self._unproven.take(
            f"{namespace}/{batch}", self._timer()
        ):
            self.omitted += 1
            return
        fingerprint, now = claim.fingerprint_value.strip(), self._clock()
        try:
            await self._store.write(
                lambda tx: record_refused_device(
                    tx, namespace, batch, fingerprint, reason, address=device.address, now=now
                )
            )
        except Unavailable as failure:
            logger.warning("cannot record a refused device: %s", failure.reason)

    async def _is_trusted(self, claim: Claim, device: ActivatingDevice) -> bool:
        if claim.install_token:
            return True
        return await self._store.read(lambda tx: is_known_device(tx, claim, device))

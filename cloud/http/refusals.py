"""Refusals for the audit log and the log, bounded in number."""

import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import datetime

from broker.addresses import site_of
from cloud.core.audit import DEVICE, Action, Attempt
from cloud.core.rate import Buckets, Rate
from cloud.errors import CloudError, Denied, Unavailable
from cloud.http.logs import shown
from cloud.operations.audit import refuse
from cloud.store.transaction import Store

logger = logging.getLogger(__name__)

REFUSAL_RATE = Rate(burst=1000, per_second=1)
"""Refused attempts of one action that are recorded: at most some 35 MB a day."""

ADDRESS_RATE = Rate(burst=100, per_second=0.1)
"""The same because of one address: it cannot keep those of others out of the log."""


class RefusalLog:
    """Records refused attempts, each in a transaction of its own, up to *rate* for each action.

    And up to *address_rate* for each action and address. Each is a line of the log as well.
    What is beyond that is counted, and the number stands in the next entry of the action.
    """

    def __init__(
        self,
        store: Store,
        timer: Callable[[], float],
        *,
        rate: Rate = REFUSAL_RATE,
        address_rate: Rate = ADDRESS_RATE,
    ) -> None:
        self._store = store
        self._timer = timer
        self._of_action = Buckets(rate)
        self._of_address = Buckets(address_rate)
        # How many were left out since the start.
        self.omitted = 0
        # How many of each action were left out since its last entry.
        self._left_out: Counter[str] = Counter()

    def turn(self, attempt: Attempt) -> int | None:
        """How many of its action were left out before *attempt*, which may be recorded now.

        None, and it is counted, where that is one too many.
        """
        action, now = attempt.action, self._timer()
        of_address = f"{action} {site_of(attempt.address)}"
        if (
            self._of_address.take(of_address, now) is not None
            or self._of_action.take(action, now) is not None
        ):
            self._left_out[action] += 1
            self.omitted += 1
            return None
        return self._left_out.pop(action, 0)

    async def record_handshake(self, address: str, reason: str, now: datetime) -> None:
        """Record a refused TLS handshake of *address* and the reason, as `record` does."""
        attempt = Attempt(DEVICE, Action.NODE_CONNECT, now, address=address)
        await self.record(attempt, Denied(f"TLS handshake: {reason}"))

    async def record(self, attempt: Attempt, error: CloudError) -> None:
        """Record in the audit log that *attempt* was refused; never raises a CloudError."""
        action = attempt.action
        left_out = self.turn(attempt)
        if left_out is None:
            return
        logger.info(
            "refused %s of %s from %s: %s%s",
            action,
            shown("/".join(part for part in (attempt.namespace, attempt.name) if part)),
            attempt.address or "nowhere",
            shown(str(error)),
            f" ({left_out} more were left out)" if left_out else "",
        )
        try:
            await self._store.write(lambda tx: refuse(tx, attempt, error, left_out=left_out))
        except Unavailable as trouble:
            self._left_out[action] += left_out + 1
            logger.warning("cannot record a refused %s: %s", action, trouble.reason)

    @contextlib.asynccontextmanager
    async def recording(
        self, attempt: Attempt | Callable[[], Attempt], kind: type[CloudError] = CloudError
    ) -> AsyncIterator[None]:
        """Record an error of that *kind* that the block raises; *attempt* may make what it was of.

        Unavailable is not a refusal and is not recorded.
        """
        try:
            yield
        except Unavailable:
            raise
        except kind as error:
            await self.record(attempt() if callable(attempt) else attempt, error)
            raise

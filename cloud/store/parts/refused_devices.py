"""Devices that batches refused, the last of each batch and reason."""

from collections.abc import Sequence
from datetime import datetime

from cloud.core.fingerprint import normalised
from cloud.core.refused_device import KEPT_OF_REASON, RefusalReason, RefusedDevice
from cloud.store.parts.part import TransactionPart
from cloud.store.rows import Parameters, Row, micros, moment
from cloud.store.statements import statement

RECORD_REFUSED = statement(
    """
    INSERT INTO refused_device
        (namespace, batch, reason, normalised, fingerprint, address, attempts, first, last)
    VALUES (:namespace, :batch, :reason, :normalised, :fingerprint, :address, 1, :now, :now)
    ON CONFLICT (namespace, batch, reason, normalised) DO UPDATE SET
        fingerprint = excluded.fingerprint, address = excluded.address,
        attempts = refused_device.attempts + 1, last = excluded.last
    """,
    writes={"refused_device"},
)
FORGET_EARLIER = statement(
    """
    DELETE FROM refused_device WHERE namespace = :namespace AND batch = :batch AND reason = :reason
        AND normalised IN (
            SELECT normalised FROM refused_device AS own
            WHERE namespace = :namespace AND batch = :batch AND reason = :reason
            ORDER BY last DESC, normalised LIMIT 1000 OFFSET :kept
        )
    """,
    writes={"refused_device"},
)
# A device that has been activated since is refused no more.
REFUSED_OF_BATCH = statement(
    """
    SELECT namespace, batch, fingerprint, reason, address, attempts, first, last
    FROM refused_device WHERE namespace = :namespace AND batch = :batch AND NOT EXISTS (
        SELECT 1 FROM record WHERE record.namespace = refused_device.namespace
            AND record.batch = refused_device.batch
            AND record.normalised = refused_device.normalised
            AND record.active = 1 AND record.active_time >= refused_device.last
    ) ORDER BY last DESC, normalised, reason
    """,
    reads={"refused_device", "record"},
)
COUNT_REFUSED = statement(
    """
    SELECT batch, count(DISTINCT normalised) AS devices FROM refused_device
    WHERE namespace = :namespace AND last >= :since AND NOT EXISTS (
        SELECT 1 FROM record WHERE record.namespace = refused_device.namespace
            AND record.batch = refused_device.batch
            AND record.normalised = refused_device.normalised
            AND record.active = 1 AND record.active_time >= refused_device.last
    ) GROUP BY batch ORDER BY devices DESC, batch LIMIT :limit
    """,
    reads={"refused_device", "record"},
)
FORGET_REFUSED = statement(
    "DELETE FROM refused_device WHERE namespace = :namespace AND batch = :batch",
    writes={"refused_device"},
)


class RefusedDevicePart(TransactionPart):
    """Refused devices."""

    def record_refused_device(
        self,
        namespace: str,
        batch: str,
        fingerprint: str,
        reason: RefusalReason,
        *,
        address: str,
        now: datetime,
    ) -> None:
        """Count another refusal; KEPT_OF_REASON devices of the batch and reason are kept."""
        group: Parameters = {"namespace": namespace, "batch": batch, "reason": reason.value}
        own: Parameters = {
            "normalised": normalised(fingerprint),
            "fingerprint": fingerprint,
            "address": address,
            "now": micros(now),
        }
        self._run(RECORD_REFUSED, {**group, **own})
        self._run(FORGET_EARLIER, {**group, "kept": KEPT_OF_REASON})

    def refused_devices(self, namespace: str, batch: str) -> Sequence[RefusedDevice]:
        """Those of the batch that were not activated since, refused last first."""
        rows = self._run(REFUSED_OF_BATCH, {"namespace": namespace, "batch": batch})
        return [_device_of(row) for row in rows]

    def count_refused_devices(
        self, namespace: str, since: datetime, limit: int
    ) -> Sequence[tuple[str, int]]:
        """The *limit* batches that refused most devices since then, and how many each."""
        where: Parameters = {"namespace": namespace, "since": micros(since), "limit": limit}
        return [(row[0], row[1]) for row in self._run(COUNT_REFUSED, where)]

    def forget_refused_devices(self, namespace: str, batch: str) -> None:
        """Forget all of the batch."""
        self._run(FORGET_REFUSED, {"namespace": namespace, "batch": batch})


def _device_of(row: Row) -> RefusedDevice:
    namespace, batch, fingerprint, reason, address, count, first, last = row
    return RefusedDevice(
        *(namespace, batch, fingerprint, RefusalReason(reason)),
        *(address, count, moment(first), moment(last)),
    )

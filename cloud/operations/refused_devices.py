"""Devices that batches refused."""

from collections.abc import Sequence
from datetime import datetime

from cloud.core.refused_device import RefusalReason, RefusedDevice
from cloud.operations.batches import existing_batch
from cloud.operations.events import record_refused_event
from cloud.store.transaction import Transaction


def record_refused_device(
    tx: Transaction,
    namespace: str,
    batch: str,
    fingerprint: str,
    reason: RefusalReason,
    *,
    address: str,
    now: datetime,
) -> None:
    """Record that *batch* refused a device; nothing where the batch is gone.

    It is an event as well, unless any client could cause it: without the batch's token.
    """
    if tx.batch(namespace, batch) is None:
        return
    tx.record_refused_device(namespace, batch, fingerprint, reason, address=address, now=now)
    if reason is not RefusalReason.UNPROVEN:
        record_refused_event(tx, namespace, batch, fingerprint, reason, address=address, now=now)


def refused_devices(tx: Transaction, namespace: str, batch: str) -> Sequence[RefusedDevice]:
    """The devices that *batch* refused and that were not activated since, refused last first."""
    existing_batch(tx, namespace, batch)
    return tx.refused_devices(namespace, batch)

"""The queues of deliveries: what is due is claimed, tried, and noted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from cloud.core.sending import (
    LEASE,
    RETENTION,
    Delivery,
    DeliveryAttempt,
    Queue,
    after_failure,
)
from cloud.store.transaction import Transaction

GROUP = 8
"""Concurrent deliveries to one receiver."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outbox(Generic[T]):
    """A queue, and what is its own: *find* looks a receiver up, by namespace and name.

    *sent* notes that a delivery was taken, *failed* that one was not: the delivery is as it will be
    stored.
    """

    queue: Queue
    find: Callable[[Transaction, str, str], T | None]
    sent: Callable[[Transaction, DeliveryAttempt, datetime], None]
    failed: Callable[[Transaction, Delivery, datetime], None]


def next_group(
    tx: Transaction, outbox: Outbox[T], namespace: str, name: str, *, now: datetime
) -> tuple[T, Sequence[Delivery]] | None:
    """The due deliveries of the receiver, for this server alone until LEASE is over.

    None without such a receiver, or where another server has them.
    """
    target = outbox.find(tx, namespace, name)
    if target is None:
        return None
    group = tx.claim_deliveries(
        namespace, name, now=now, until=now + LEASE, limit=GROUP, queue=outbox.queue
    )
    return (target, group) if group else None


def record_attempts(
    tx: Transaction,
    outbox: Outbox[T],
    attempts: Sequence[DeliveryAttempt],
    *,
    now: datetime,
    jitter: Callable[[], float],
) -> Sequence[Delivery]:
    """Note what was taken, put off what was not; what was given up with that.

    Nothing is noted of a receiver that was deleted meanwhile.
    """
    given_up = []
    for attempt in attempts:
        delivery = attempt.delivery
        if not attempt.error:
            outbox.sent(tx, attempt, now)
        elif outbox.find(tx, delivery.namespace, delivery.target) is not None:
            after = after_failure(delivery, attempt.error, now=now, jitter=jitter())
            tx.put_delivery(after)
            outbox.failed(tx, after, now)
            given_up += [after] if after.due is None else []
    if given_up:
        tx.forget_given_up(now - RETENTION, outbox.queue)
    return given_up

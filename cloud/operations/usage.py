"""What nodes use, noted once in a step; all other reports write nothing here."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cloud.core.usage import DAY, UsagePoint, slot_of, step_of, usage_point
from cloud.operations.nodes import existing_node
from cloud.store.interface import Transaction

_USAGE = b'"nodestats":'


def note_usage(
    tx: Transaction,
    namespace: str,
    name: str,
    message: bytes,
    *,
    noted: int,
    now: datetime,
    step: timedelta,
) -> None:
    """Note what the node uses, where *message*, just kept, is the first in its step to say so.

    *noted* is the number of the last step that has a point.
    """
    number = step_of(now, step)
    if number == noted or _USAGE not in message:
        return
    tx.set_usage_step(namespace, name, number)
    stored = tx.report(namespace, name)
    point = usage_point(stored, now) if stored else None
    if point is not None:
        tx.put_usage_point(namespace, name, slot_of(number, step), point)


def usage_of_node(
    tx: Transaction, namespace: str, name: str, *, now: datetime
) -> Sequence[UsagePoint]:
    """What is known of what the node used in the last day, the oldest first."""
    existing_node(tx, namespace, name)
    return tx.usage_points(namespace, name, now - DAY)

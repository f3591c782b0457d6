"""The usage of nodes, stored once in a step; all other reports write nothing here."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cloud.core.usage import DAY, UsagePoint, slot_of, step_of, usage_point
from cloud.operations.nodes import existing_node
from cloud.store.transaction import Transaction

_USAGE = b'"nodestats":'


def record_usage(
    tx: Transaction,
    namespace: str,
    name: str,
    report: bytes | None,
    later: bytes | None = None,
    *,
    noted: int,
    now: datetime,
    step: timedelta,
) -> None:
    """Note what the node uses, where its report is the first of the step.

    That is a *report*, or stats that came *later*; *noted* is the number of the last step that
    has a point.
    """
    number = step_of(now, step)
    if number == noted or _USAGE not in (later or report or b""):
        return
    tx.set_usage_step(namespace, name, number)
    if report is None and (stored := tx.report(namespace, name)):
        report = stored.report.document
    point = usage_point(report or b"{}", later, now)
    if point is not None:
        tx.put_usage_point(namespace, name, slot_of(number, step), point)


def usage_of_node(
    tx: Transaction, namespace: str, name: str, *, now: datetime
) -> Sequence[UsagePoint]:
    """The known usage of the node in the last day, the oldest first."""
    existing_node(tx, namespace, name)
    return tx.usage_points(namespace, name, now - DAY)

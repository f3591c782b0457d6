"""What reports of nodes, and what nodes are sent, do to their assignments."""

from collections.abc import Mapping
from datetime import datetime

from cloud.core.report import Report
from cloud.core.rollout import AssignmentState, RolloutState
from cloud.core.rollout_evidence import after_report, after_sending
from cloud.store.transaction import Transaction


def record_evidence(
    tx: Transaction,
    namespace: str,
    name: str,
    report: Report,
    refused: Mapping[str, str],
    *,
    now: datetime,
) -> None:
    """Record what *report*, which came at *now*, shows about versions that are rolled out.

    *refused* has why the node could not take over an app. Written only where it shows something
    new; nothing is looked up where no app is governed.
    """
    governed = tx.catalog(namespace).governed
    if not governed:
        return
    changed = []
    for app, row in tx.assignments_of_node(namespace, name).items():
        own = governed.get(app)
        if own is None:
            continue
        if row.state is AssignmentState.UPDATED and own.rollout.state is RolloutState.DONE:
            continue
        after = after_report(row, report, now, refused.get(app, ""))
        if after is not row:
            changed.append(after)
    if changed:
        tx.put_assignments(namespace, changed)


def record_assignments_sent(
    tx: Transaction, namespace: str, name: str, *, is_update: bool, now: datetime
) -> None:
    """Record that the node is sent what it should run at *now*, if that *is_update*."""
    if not is_update or not tx.catalog(namespace).governed:
        return
    rows = tx.assignments_of_node(namespace, name).values()
    changed = [after for row in rows if (after := after_sending(row, now)) is not row]
    if changed:
        tx.put_assignments(namespace, changed)

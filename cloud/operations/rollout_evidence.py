"""What reports of nodes, and what nodes are sent, do to their assignments.

Of a node that is admitted, sent the version and healthy with it, nothing is written here: that
follows from its deploy, which is stored for every node (`core.rollout_evidence.with_deploy`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cloud.core.deploys import Deploy
from cloud.core.report import Report
from cloud.core.rollout import Assignment, AssignmentState, Rollout, RolloutState
from cloud.core.rollout_evidence import after_report, after_sending, with_deploy
from cloud.store.transaction import Transaction


def assignment_of(tx: Transaction, namespace: str, name: str, app: str) -> Assignment | None:
    """How the node stands with *app*; None without an assignment."""
    row = tx.assignments_of_node(namespace, name).get(app)
    if row is None or row.state is not AssignmentState.ADMITTED:
        return row
    return with_deploy(row, tx.last_deploy(namespace, name))


@dataclass(frozen=True, slots=True)
class NodeProgress:
    """The assignments of a node, and its newest *deploy* if a rollout has admitted it."""

    assignments: Mapping[str, Assignment]
    deploy: Deploy | None


def progress_of(tx: Transaction, namespace: str, name: str) -> NodeProgress | None:
    """How the node stands; to be asked for before a deploy changes, for `record_progress`.

    None without assignments; nothing is looked up where no app is governed.
    """
    if not tx.catalog(namespace).governed:
        return None
    rows = tx.assignments_of_node(namespace, name)
    for row in rows.values():
        if row.state is AssignmentState.ADMITTED:
            return NodeProgress(rows, tx.last_deploy(namespace, name))
    return NodeProgress(rows, None) if rows else None


def record_progress(
    tx: Transaction,
    namespace: str,
    name: str,
    before: NodeProgress | None,
    report: Report | None,
    refused: Mapping[str, str],
    *,
    is_update: bool,
    now: datetime,
) -> None:
    """Record what *report* shows about versions that are rolled out, and that the node is sent its.

    *before* is the result of `progress_of`; *report* came at *now*, and is None if it is not new.
    *refused* has why the node could not take over an app. *is_update*: the node is sent what it
    should run at *now*. Written only where it is something new, and does not follow from the
    deploy.
    """
    if before is None or (report is None and not is_update):
        return
    governed, changed = tx.catalog(namespace).governed, []
    for app, row in before.assignments.items():
        after, own = with_deploy(row, before.deploy), governed.get(app)
        if report is not None and own is not None and not _is_over(row, own.rollout):
            after = after_report(after, report, now, refused.get(app, ""))
        if is_update:
            after = after_sending(after, now)
        if after is not row and after != with_deploy(row, tx.last_deploy(namespace, name)):
            changed.append(after)
    if changed:
        tx.put_assignments(namespace, changed)


def _is_over(row: Assignment, rollout: Rollout) -> bool:
    return row.state is AssignmentState.UPDATED and rollout.state is RolloutState.DONE

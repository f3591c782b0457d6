"""What reports of nodes, and what nodes are sent, do to their assignments.

Of a node that is admitted, sent the version and healthy with it, nothing is written here: that
follows from its deploy, which is stored for every node (`core.rollout_evidence.with_deploy`).
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from cloud.core.deploys import Deploy
from cloud.core.desired import GovernedApp
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


class NodeProgress(msgspec.Struct, frozen=True, gc=False):
    """The *assignments* of a node, without its name, and the apps that are *governed*.

    *is_admitted*: it stands by its deploys with some of them; *deploy* then is the newest.
    """

    governed: Mapping[str, GovernedApp]
    assignments: Mapping[str, Assignment]
    is_admitted: bool = False
    deploy: Deploy | None = None


def progress_of(tx: Transaction, namespace: str, name: str) -> NodeProgress | None:
    """How the node stands; to be asked for before a deploy changes, for `record_progress`.

    None without assignments; nothing is looked up where no app is governed.
    """
    governed = tx.catalog(namespace).governed
    if not governed:
        return None
    rows = tx.assigned(namespace, name).rows
    for row in rows.values():
        if row.state is AssignmentState.ADMITTED:
            deploy = tx.last_deploy(namespace, name)
            return NodeProgress(governed, rows, is_admitted=True, deploy=deploy)
    return NodeProgress(governed, rows) if rows else None


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
    changed = []
    last = tx.last_deploy(namespace, name) if before.is_admitted else None
    for app, row in before.assignments.items():
        own, stood = before.governed.get(app), with_deploy(row, before.deploy)
        stands = stood if last is before.deploy else with_deploy(row, last)
        if stood is row and stands is not row:
            continue  # sent now, and with no other deploy before
        after = stood
        if report is not None and own is not None and not _is_over(row, own.rollout):
            after = after_report(after, report, now, refused.get(app, ""))
        if is_update:
            after = after_sending(after, now)
        if after is not stands and after != stands:
            changed.append(msgspec.structs.replace(after, node=name))
    if changed:
        tx.put_assignments(namespace, changed)


def _is_over(row: Assignment, rollout: Rollout) -> bool:
    return row.state is AssignmentState.UPDATED and rollout.state is RolloutState.DONE

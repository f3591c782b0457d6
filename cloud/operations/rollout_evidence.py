"""What reports of nodes, and what nodes are sent, do to their assignments.

Of a node that is admitted, sent the version and healthy with it, nothing is written here: that
follows from its deploy, which is stored for every node (`core.rollout_evidence.with_deploy`).
"""

from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from cloud.core.deploys import Deploy
from cloud.core.desired import GovernedApp
from cloud.core.report import Report
from cloud.core.rollout import Assignment, AssignmentState, Rollout, RolloutState
from cloud.core.rollout_evidence import after_report, after_sending, stands_by, with_deploy
from cloud.operations.deploys import BegunDeploy
from cloud.store.parts.assignments import NodeAssignments
from cloud.store.transaction import Transaction


def assignment_of(tx: Transaction, namespace: str, name: str, app: str) -> Assignment | None:
    """How the node stands with *app*; None without an assignment."""
    row = tx.assignments_of_node(namespace, name).get(app)
    if row is None or row.state is not AssignmentState.ADMITTED:
        return row
    return with_deploy(row, tx.last_deploy(namespace, name))


class NodeProgress(msgspec.Struct, frozen=True, gc=False):
    """What is *assigned* to a node, with the apps that are *governed*.

    *deploy* is its newest one, None where it does not stand by that.
    """

    governed: Mapping[str, GovernedApp]
    assigned: NodeAssignments
    deploy: Deploy | None


def progress_of(tx: Transaction, namespace: str, name: str) -> NodeProgress | None:
    """How the node stands; to be asked for before a deploy changes, for `record_progress`.

    None without assignments; nothing is looked up where no app is governed.
    """
    governed = tx.catalog(namespace).governed
    assigned = tx.assigned(namespace, name) if governed else None
    if assigned is None or not assigned.rows:
        return None
    return NodeProgress(governed, assigned, _deploy_of(tx, namespace, name, assigned))


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
    last = _deploy_of(tx, namespace, name, before.assigned)

    def after(row: Assignment, stood: Assignment) -> Assignment:
        own = before.governed.get(row.app)
        if report is not None and own is not None and not _is_over(row, own.rollout):
            stood = after_report(stood, report, now, refused.get(row.app, ""))
        return after_sending(stood, now) if is_update else stood

    _put_changed(tx, namespace, name, before.assigned, before.deploy, last, after)


def record_sending(
    tx: Transaction,
    namespace: str,
    name: str,
    assigned: NodeAssignments,
    begun: BegunDeploy | None,
    now: datetime,
) -> None:
    """Record that a node is sent the versions that are *assigned* to it at *now*.

    *begun* is the deploy that begins with that, if one does. Written only where it does not follow
    from the deploy.
    """
    last = begun.deploy if begun else _deploy_of(tx, namespace, name, assigned)
    before = begun.before if begun else last

    def after(_row: Assignment, stood: Assignment) -> Assignment:
        return after_sending(stood, now)

    _put_changed(tx, namespace, name, assigned, before, last, after)


def _put_changed(
    tx: Transaction,
    namespace: str,
    name: str,
    assigned: NodeAssignments,
    before: Deploy | None,
    last: Deploy | None,
    after_of: Callable[[Assignment, Assignment], Assignment],
) -> None:
    """Put what does not follow from the deploys: *last* is the newest, *before* was until now.

    *after_of* an assignment, and as it stood by *before*, is what it is now.
    """
    changed = []
    for row in assigned.rows.values():
        if stands_by(row, last) and not stands_by(row, before):
            continue  # sent now, and with no other deploy before
        stood = with_deploy(row, before)
        stands = stood if last is before else with_deploy(row, last)
        after = after_of(row, stood)
        if after is not stands and after != stands:
            changed.append(msgspec.structs.replace(after, node=name))
    if changed:
        tx.put_assignments(namespace, changed)


def _deploy_of(
    tx: Transaction, namespace: str, name: str, assigned: NodeAssignments
) -> Deploy | None:
    """The newest deploy of the node, where it stands by that."""
    return tx.last_deploy(namespace, name) if assigned.is_admitted else None


def _is_over(row: Assignment, rollout: Rollout) -> bool:
    return row.state is AssignmentState.UPDATED and rollout.state is RolloutState.DONE

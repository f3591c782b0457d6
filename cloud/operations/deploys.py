"""The history of deploys and their outcomes.

Written only when there is something new: a report of a node without updates, or with nothing
new about it, writes nothing here. Of each node the newest *kept* are stored.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from cloud.core.deploys import Deploy, DeployOutcome, DeployStatus, runs, wanted_at
from cloud.core.desired import Desired
from cloud.core.report import Report, Reported
from cloud.operations.events import record_ended_event
from cloud.operations.nodes import existing_node
from cloud.store.transaction import Transaction

_REPORTED = frozenset({DeployOutcome.CONVERGED, DeployOutcome.FAILED})


class BegunDeploy(msgspec.Struct, frozen=True, gc=False):
    """A *deploy* that was begun for a node, and the one *before*, if it had one."""

    before: Deploy | None
    deploy: Deploy


def record_deploy_report(
    tx: Transaction,
    namespace: str,
    name: str,
    report: Report,
    desired: Desired,
    *,
    is_update: bool,
    now: datetime,
    kept: int,
) -> Deploy | None:
    """Apply *report* to the open deploy, and begin one where *is_update*.

    Returns the deploy that has converged or failed with this report, if one has.
    """
    current, ended = tx.open_deploy(namespace, name), None
    if current is not None:
        after = current.at(now).after(report, now)
        if after.outcome is not current.outcome and after.outcome in _REPORTED:
            ended = after
            record_ended_event(tx, namespace, name, ended, now=now)
        if after.is_open and not after.is_of(desired):
            after, is_open = after.superseded(now), False
        else:
            is_open = after.is_open
        if after != current or not is_open:
            tx.put_deploy(namespace, name, after, is_open=is_open)
        if is_open:
            return ended
    if is_update and not runs(report.reported, desired):
        _begin(tx, namespace, name, report.reported, desired, now, kept)
    return ended


def record_push(
    tx: Transaction,
    namespace: str,
    name: str,
    reported: Reported,
    desired: Desired,
    *,
    now: datetime,
    kept: int,
) -> BegunDeploy | None:
    """Begin a deploy, unless the node was sent *desired* before or runs it, or is gone."""
    current = tx.open_deploy(namespace, name)
    if current is not None and current.is_of(desired):
        return None
    if current is not None:
        tx.put_deploy(namespace, name, current.at(now).superseded(now), is_open=False)
    if tx.node(namespace, name) is None or runs(reported, desired):
        return None
    tx.set_deploy_status(namespace, name, DeployStatus.PENDING)
    return _begin(tx, namespace, name, reported, desired, now, kept)


def deploys_of_node(
    tx: Transaction, namespace: str, name: str, *, now: datetime
) -> Sequence[Deploy]:
    """Every deploy of the node that is stored, the newest first, as it stands at *now*."""
    existing_node(tx, namespace, name)
    return [deploy.at(now) for deploy in tx.deploys(namespace, name)]


def _begin(
    tx: Transaction,
    namespace: str,
    name: str,
    reported: Reported,
    desired: Desired,
    now: datetime,
    kept: int,
) -> BegunDeploy:
    node = existing_node(tx, namespace, name)
    catalog, held = tx.catalog(namespace), set(reported.apps or ())
    found = (catalog.app_at(app) for app in desired.apps if app not in held)
    changes = [app.updated for app in found if app is not None]
    before = tx.last_deploy(namespace, name)
    deploy = Deploy(
        number=before.number + 1 if before else 1,
        wanted=wanted_at([*changes, node.updated] if changes else [], now),
        sent=now,
        apps=desired.apps,
        sysapps=desired.sysapps,
        after_failure=before is not None and before.outcome is DeployOutcome.FAILED,
    )
    tx.put_deploy(namespace, name, deploy, is_open=True)
    tx.delete_old_deploys(namespace, name, deploy.number - kept)
    return BegunDeploy(before, deploy)

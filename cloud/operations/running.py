"""The reported apps of nodes, stored beside their reports; written only when they change."""

from collections.abc import Mapping

import msgspec

from cloud.core.deploys import DeployStatus, deploy_status, runs
from cloud.core.desired import Desired
from cloud.core.node import Node
from cloud.core.report import Report, Reporter, read_report
from cloud.core.running import digest_of, running_apps
from cloud.operations.system_apps import desired_of
from cloud.store.transaction import Transaction


def record_running(
    tx: Transaction,
    namespace: str,
    name: str,
    report: Report,
    desired: Desired,
    noted: Reporter,
    refused: Mapping[str, str],
) -> None:
    """Record what the node runs by *report*, what of *desired* it has *refused*, how it stands.

    *noted* has what was recorded before; what is still so is not written again.
    """
    digest = digest_of(report, desired.apps, refused)
    is_same = digest == noted.running
    if is_same and noted.deploy == DeployStatus.CONVERGED and runs(report.reported, desired):
        return
    apps = running_apps(report, desired.apps, refused)
    if not is_same:
        tx.put_running(namespace, name, apps, digest)
    status = deploy_status(report, desired, apps)
    if status != noted.deploy:
        tx.set_deploy_status(namespace, name, status)


def record_running_again(tx: Transaction, node: Node) -> None:
    """Note what *node* runs by its last report, once it has other labels."""
    stored = tx.report(node.namespace, node.name)
    noted = tx.reporter(node.namespace, node.name)
    if stored is None or noted is None:
        return
    report = read_report(msgspec.json.decode(stored.report.document), stored.report.order)
    desired = desired_of(tx, node.namespace, node.name, node.labels, report)
    last = tx.open_deploy(node.namespace, node.name)
    refused = last.refused(report, stored.received) if last else {}
    record_running(tx, node.namespace, node.name, report, desired, noted, refused)

"""What nodes report they run, noted beside their reports; written only when it is something new."""

from collections.abc import Collection, Sequence

import msgspec

from cloud.core.app import AppVersion
from cloud.core.node import Node
from cloud.core.report import Report, read_report
from cloud.core.running import digest_of, running_apps
from cloud.store.transaction import Transaction


def record_running(
    tx: Transaction,
    namespace: str,
    name: str,
    report: Report,
    wanted: Sequence[AppVersion],
    noted: str,
    refused: Collection[str] = (),
) -> None:
    """Record what the node runs by *report*, and what of *wanted* it has *refused*.

    *noted* is the digest of what was noted before.
    """
    digest = digest_of(report, wanted, refused)
    if digest != noted:
        tx.put_running(namespace, name, running_apps(report, wanted, refused), digest)


def record_running_again(tx: Transaction, node: Node) -> None:
    """Note what *node* runs by its last report, once it has other labels."""
    stored = tx.report(node.namespace, node.name)
    if stored is None:
        return
    report = read_report(msgspec.json.decode(stored.report.document), stored.report.order)
    wanted = tx.catalog(node.namespace).desired_state(node.labels).apps
    last = tx.open_deploy(node.namespace, node.name)
    refused = last.refused(report, stored.received) if last else ()
    apps, digest = running_apps(report, wanted, refused), digest_of(report, wanted, refused)
    tx.put_running(node.namespace, node.name, apps, digest)

"""What nodes say they run, noted beside their reports; written only when it is something new."""

from collections.abc import Sequence

import msgspec

from cloud.core.desired import AppVersion
from cloud.core.node import Node
from cloud.core.report import Report, read_report
from cloud.core.running import digest_of, running_apps
from cloud.store.interface import Transaction


def note_running(
    tx: Transaction,
    namespace: str,
    name: str,
    report: Report,
    wanted: Sequence[AppVersion],
    noted: str,
) -> None:
    """Note what *report* says the node runs; *noted* is the digest of what was noted before."""
    digest = digest_of(report, wanted)
    if digest != noted:
        tx.put_running(namespace, name, running_apps(report, wanted), digest)


def note_running_anew(tx: Transaction, node: Node) -> None:
    """Note what *node* runs by its last report, once it has other labels."""
    stored = tx.report(node.namespace, node.name)
    if stored is None:
        return
    report = read_report(msgspec.json.decode(stored.report.document), stored.report.order)
    wanted = tx.catalog(node.namespace).desired_state(node.labels).apps
    apps, digest = running_apps(report, wanted), digest_of(report, wanted)
    tx.put_running(node.namespace, node.name, apps, digest)

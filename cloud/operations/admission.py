"""Who may connect."""

from datetime import datetime

from cloud.core.names import split_node_id
from cloud.errors import Invalid
from cloud.store.interface import Transaction


def may_connect(tx: Transaction, node_id: str, certificate_serial: int, *, now: datetime) -> bool:
    """Say whether the node is there and this certificate is one of its own, not taken back."""
    try:
        namespace, name = split_node_id(node_id)
    except Invalid:
        return False
    certificate = tx.certificate(certificate_serial)
    return (
        certificate is not None
        and certificate.admits(node_id, now)
        and tx.node(namespace, name) is not None
    )

"""Who may connect."""

from datetime import datetime
from typing import NoReturn

from cloud.core.names import split_node_id
from cloud.errors import Denied, Invalid
from cloud.operations.nodes import existing_node
from cloud.store.interface import Transaction


def check_speaker(tx: Transaction, node_id: str, now: datetime) -> None:
    """Refuse a node that a broker vouches for, but that has no valid certificate any more.

    Brokers hear later that certificates were taken back. NotFound for one that is not there, in the
    words that agents look for; Denied for any other.
    """
    namespace, name = split_node_id(node_id)
    speaker = tx.reporter(namespace, name)
    if speaker is None or speaker.certified is None or speaker.certified <= now:
        _refuse(tx, node_id, "the node has no valid certificate")


def check_certificate(
    tx: Transaction, node_id: str, certificate_serial: int, *, now: datetime
) -> None:
    """Refuse what `may_connect` does not let in; the errors are those of `check_speaker`."""
    if not may_connect(tx, node_id, certificate_serial, now=now):
        _refuse(tx, node_id, "the certificate was taken back or is not known here")


def _refuse(tx: Transaction, node_id: str, reason: str) -> NoReturn:
    existing_node(tx, *split_node_id(node_id))
    raise Denied(reason)


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

"""Admission of connections."""

from dataclasses import replace
from datetime import datetime
from typing import NoReturn

from cloud.core.names import split_node_id
from cloud.errors import Denied, Invalid
from cloud.operations.nodes import existing_node
from cloud.store.transaction import Transaction


def check_speaker(tx: Transaction, node_id: str, now: datetime) -> None:
    """Refuse a node that a broker vouches for, but that has no valid certificate any more.

    Brokers learn later that certificates were revoked. NotFound for one that is not there, in the
    words that agents look for; Denied for any other.
    """
    namespace, name = split_node_id(node_id)
    speaker = tx.reporter(namespace, name)
    if speaker is None or speaker.certified is None or speaker.certified <= now:
        _refuse(tx, node_id, "the node has no valid certificate")


def check_certificate(
    tx: Transaction, node_id: str, serial: int, key: str, *, now: datetime
) -> None:
    """Refuse what `may_connect` does not admit; the errors are those of `check_speaker`."""
    if reason := reason_against(tx, node_id, serial, key, now=now):
        _refuse(tx, node_id, reason)


def _refuse(tx: Transaction, node_id: str, reason: str) -> NoReturn:
    existing_node(tx, *split_node_id(node_id))
    raise Denied(reason)


def may_connect(tx: Transaction, node_id: str, serial: int, key: str, *, now: datetime) -> bool:
    """Return whether the node is there and this certificate is one of its own, not revoked.

    *key* is the digest of the public key that it is for: one with a known serial number and another
    key was not given out here.
    """
    return not reason_against(tx, node_id, serial, key, now=now)


def reason_against(tx: Transaction, node_id: str, serial: int, key: str, *, now: datetime) -> str:
    """Why the node may not connect with that certificate, as in `may_connect`; empty if it may."""
    try:
        namespace, name = split_node_id(node_id)
    except Invalid:
        return "the certificate is not that of a node"
    if tx.node(namespace, name) is None:
        return "the node was deleted"
    certificate = tx.certificate(serial)
    if certificate is None:
        return "the certificate is not known here"
    return certificate.reason_against(node_id, key, now)


def needs_key(tx: Transaction, serial: int) -> bool:
    """Return whether the key of that certificate is unrecorded, as in version 0.1.0."""
    certificate = tx.certificate(serial)
    return certificate is not None and not certificate.key


def bind_key(tx: Transaction, serial: int, key: str) -> None:
    """Put on record that the certificate is for *key*, if nothing is; any other is refused then."""
    certificate = tx.certificate(serial)
    if certificate is not None and not certificate.key:
        tx.put_certificate(replace(certificate, key=key))

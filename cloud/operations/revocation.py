"""Revocation of node certificates, and the lists of them (docs/decisions/0008-revocation.md)."""

from datetime import datetime

from cloud.core.installation import TargetKind
from cloud.core.names import node_id
from cloud.core.revocation import KEPT_AFTER_EXPIRY, RevocationList, next_state
from cloud.store.transaction import Transaction


def revoke_access(tx: Transaction, namespace: str, name: str, *, now: datetime) -> int:
    """Revoke every certificate of the node, and what could bring it new ones; how many there were.

    The one way there is: deleting a node, revoking it and resetting its record all call this. The
    caller closes the node's connection once this is committed.
    """
    tx.delete_install_tokens(namespace, TargetKind.NODE, name)
    return tx.revoke_certificates(node_id(namespace, name), now)


def next_list(tx: Transaction, *, now: datetime) -> RevocationList:
    """The revoked certificates, to be signed and published under the next number."""
    state = next_state(tx.revocation_state(), now)
    tx.put_revocation_state(state)
    revoked = tx.revoked_certificates(now - KEPT_AFTER_EXPIRY)
    return RevocationList(state.changes, state.number, state.issued, revoked)

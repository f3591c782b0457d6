"""The administrator's token: whether it is accepted, rotated, switched off and on."""

import hmac
from datetime import datetime

from cloud.core.installation import digest_of
from cloud.store.transaction import Transaction


def is_admin_token(tx: Transaction, token: str, own: str) -> bool:
    """Return whether *token* is the administrator's, and that is switched on.

    *own* is the digest of the one in the file of this server, which counts until one is rotated.
    """
    access, digest = tx.admin_access(), digest_of(token)
    wanted = access.digest or own
    return access.is_enabled and bool(wanted) and hmac.compare_digest(digest, wanted)


def rotate_admin_token(tx: Transaction, token: str, *, now: datetime) -> None:
    """Accept *token* on all servers, in place of those that were accepted before."""
    access = tx.admin_access()
    tx.put_admin_access(digest_of(token), is_enabled=access.is_enabled, now=now)


def switch_admin_token(tx: Transaction, *, on: bool, now: datetime) -> None:
    """Accept the token on no server; with *on* accept it again."""
    tx.put_admin_access(tx.admin_access().digest, is_enabled=on, now=now)

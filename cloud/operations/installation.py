"""Installation commands: their tokens are created, checked and consumed."""

from dataclasses import dataclass
from datetime import datetime

from cloud.core.batch import Fingerprint
from cloud.core.installation import (
    LIFETIME,
    LIVE_LIMIT,
    InstallToken,
    TargetKind,
    digest_of,
)
from cloud.errors import Denied
from cloud.operations.batches import existing_batch
from cloud.operations.nodes import existing_node
from cloud.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class InstallTarget:
    """The node or batch of an installation; *fingerprint* is that of devices of a batch."""

    kind: TargetKind
    name: str
    fingerprint: Fingerprint | None


def offer_node(tx: Transaction, namespace: str, name: str, token: str, *, now: datetime) -> None:
    """Let the machine that shows *token* become the node, which has to be there."""
    existing_node(tx, namespace, name)
    _offer(tx, namespace, TargetKind.NODE, name, token, now)


def offer_batch(tx: Transaction, namespace: str, name: str, token: str, *, now: datetime) -> None:
    """Let the machine that shows *token* activate in the batch without its security key."""
    existing_batch(tx, namespace, name)
    _offer(tx, namespace, TargetKind.BATCH, name, token, now)


def offered(tx: Transaction, token: str, *, now: datetime) -> InstallToken:
    """The target of *token*; Denied, without a reason, if it cannot be used (any more)."""
    found = tx.install_token(digest_of(token))
    if found is None or not found.is_valid(now):
        raise Denied("the installation token is not valid")
    return found


def install_target(tx: Transaction, token: str, *, now: datetime) -> InstallTarget:
    """The target of *token*, with what a device has to know of it; Denied as by `offered`."""
    found = offered(tx, token, now=now)
    batch = tx.batch(found.namespace, found.name) if found.kind is TargetKind.BATCH else None
    return InstallTarget(found.kind, found.name, batch.spec.fingerprint if batch else None)


def _offer(
    tx: Transaction, namespace: str, kind: TargetKind, name: str, token: str, now: datetime
) -> None:
    tx.delete_expired_install_tokens(now)
    live = tx.install_tokens(namespace, kind, name)
    for oldest in live[: max(0, len(live) - LIVE_LIMIT + 1)]:
        tx.delete_install_token(oldest.digest)
    tx.put_install_token(InstallToken(digest_of(token), namespace, kind, name, now, now + LIFETIME))

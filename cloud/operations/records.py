"""Operations of the records of a batch."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from cloud.core.batch import Record, checked_record
from cloud.core.listing import NumberedPage, PageOptions
from cloud.core.names import check_name, check_node_name
from cloud.errors import Activated, Invalid, NotFound, QuotaExceeded
from cloud.operations.batches import existing_batch
from cloud.operations.revocation import revoke_access
from cloud.store.transaction import Transaction


class RecordDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The specification of a record (contract, "Create Registration Record")."""

    name: str = ""
    fingerprint_value: str = ""
    node_name: str = ""


class RecordChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The change of a record by an operator (contract, "Update Registration Records").

    The node's name, that is; the other fields may be there as they are.
    """

    node_name: str | None = None
    batch_name: str | None = None
    fingerprint_value: str | None = None
    active: int | None = None


def create_record(
    tx: Transaction,
    namespace: str,
    batch: str,
    draft: RecordDraft,
    *,
    now: datetime,
    new_id: Callable[[], str],
) -> Record:
    """Add a device to a batch; QuotaExceeded if that is full.

    What the draft leaves out follows from the fingerprint, and that is made by *new_id*.
    """
    quota = existing_batch(tx, namespace, batch).spec.quota_num
    fingerprint = draft.fingerprint_value or new_id()
    record = checked_record(
        Record(
            namespace,
            batch,
            draft.name or _name_from(fingerprint) or new_id(),
            fingerprint,
            draft.node_name or fingerprint.lower(),
            now,
            now,
        )
    )
    if tx.record(namespace, batch, record.name) is not None:
        raise Invalid("name", "this name is already in use")
    if tx.record_by_fingerprint(namespace, batch, fingerprint) is not None:
        raise Invalid("fingerprintValue", "this fingerprint is already in use")
    if tx.count_records(namespace, batch) >= quota:
        raise QuotaExceeded(batch, quota)
    tx.put_record(record)
    return record


def generate_records(
    tx: Transaction,
    namespace: str,
    batch: str,
    count: int,
    *,
    now: datetime,
    new_id: Callable[[], str],
) -> Sequence[str]:
    """Add *count* devices at once; the new id of each, its name, fingerprint and node's name.

    QuotaExceeded, and none added, if the batch cannot take them all.
    """
    quota = existing_batch(tx, namespace, batch).spec.quota_num
    if count < 1:
        raise Invalid("num", "is less than 1")
    if tx.count_records(namespace, batch) + count > quota:
        raise QuotaExceeded(batch, quota)
    names = [new_id() for _ in range(count)]
    for name in names:
        checked_record(Record(namespace, batch, name, name, name, now, now))
    tx.add_records(namespace, batch, names, now)
    return names


def update_record(
    tx: Transaction, namespace: str, batch: str, name: str, change: RecordChange, *, now: datetime
) -> Record:
    """Bind the device to a node; Activated once it has.

    Invalid for a field that may not change, unless it is there as it was.
    """
    before = existing_record(tx, namespace, batch, name)
    for field, given, current in (
        ("batchName", change.batch_name, before.batch),
        ("fingerprintValue", change.fingerprint_value, before.fingerprint),
        ("active", change.active, int(before.active)),
    ):
        if given not in {None, current}:
            raise Invalid(field, "cannot change")
    node_name = before.node_name if change.node_name is None else change.node_name
    if node_name == before.node_name:
        return before
    check_node_name("nodeName", namespace, node_name)
    if before.active:
        raise Activated(name)
    after = replace(before, node_name=node_name, updated=now)
    tx.put_record(after)
    return after


def delete_record(tx: Transaction, namespace: str, batch: str, name: str) -> None:
    """Take the device off the batch; Activated once it has been activated."""
    if existing_record(tx, namespace, batch, name).active:
        raise Activated(name)
    tx.delete_record(namespace, batch, name)


def reset_record(
    tx: Transaction, namespace: str, batch: str, name: str, *, now: datetime
) -> Record:
    """Free the record for another device, or for one that lost its key; nothing if it is free.

    The node's certificates are revoked; the node itself stays as it is described.
    """
    before = existing_record(tx, namespace, batch, name)
    if not before.active:
        return before
    revoke_access(tx, namespace, before.node_name, now=now)
    after = replace(before, active=False, updated=now)
    tx.put_record(after)
    return after


def list_records(
    tx: Transaction, namespace: str, batch: str, options: PageOptions
) -> NumberedPage[Record]:
    """List the records of a batch; the options' name is looked for in fingerprints too."""
    existing_batch(tx, namespace, batch)
    return tx.list_records(namespace, batch, options)


def fingerprints_of(tx: Transaction, namespace: str, batch: str) -> Sequence[str]:
    """Fingerprint of each record of the batch, oldest first."""
    existing_batch(tx, namespace, batch)
    return tx.fingerprints(namespace, batch)


def existing_record(tx: Transaction, namespace: str, batch: str, name: str) -> Record:
    """The record of that name in the batch; NotFound, of the batch too, if there is none."""
    existing_batch(tx, namespace, batch)
    record = tx.record(namespace, batch, name)
    if record is None:
        raise NotFound("record", name)
    return record


def _name_from(fingerprint: str) -> str:
    """The fingerprint in lower case where that is a name, else nothing."""
    try:
        return check_name("name", fingerprint.lower())
    except Invalid:
        return ""

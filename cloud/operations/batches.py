"""Operations of batches."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from cloud.core.batch import Batch, BatchSpec, SecurityType, checked_batch_spec
from cloud.core.decoding import convert
from cloud.core.installation import TargetKind
from cloud.core.listing import NumberedPage, PageOptions
from cloud.core.names import check_name
from cloud.errors import HasRecords, Invalid, NotFound
from cloud.store.transaction import Transaction

_FIXED = ("securityType", "securityKey")


def create_batch(
    tx: Transaction,
    namespace: str,
    name: str,
    spec: BatchSpec,
    *,
    now: datetime,
    new_id: Callable[[], str],
) -> Batch:
    """Add a batch; an empty *name* and an empty token are made by *new_id*."""
    name = check_name("name", name or new_id())
    if spec.security_type is SecurityType.TOKEN and not spec.security_key:
        spec = msgspec.structs.replace(spec, security_key=new_id())
    checked = checked_batch_spec(name, spec)
    _check_callback(tx, namespace, checked)
    if tx.batch(namespace, name) is not None:
        raise Invalid("name", "this name is already in use")
    batch = Batch(namespace, name, checked, now, now)
    tx.put_batch(batch)
    return batch


def update_batch(
    tx: Transaction, namespace: str, name: str, changes: Mapping[str, Any], *, now: datetime
) -> Batch:
    """Change what *changes* names (as in the contract's "Update Product") and leave the rest.

    Invalid for a field that may not change, unless it is there as it was.
    """
    before = existing_batch(tx, namespace, name)
    current: dict[str, Any] = msgspec.to_builtins(before.spec)
    for field in _FIXED:
        if changes.get(field, current[field]) != current[field]:
            raise Invalid(field, "cannot change")
    wanted = {**current, **changes}
    if isinstance(wanted["fingerprint"], Mapping):
        wanted["fingerprint"] = {**current["fingerprint"], **wanted["fingerprint"]}
    spec = checked_batch_spec(name, convert(wanted, BatchSpec))
    if spec == before.spec:
        return before
    _check_callback(tx, namespace, spec)
    after = replace(before, spec=spec, updated=now)
    tx.put_batch(after)
    return after


def delete_batch(tx: Transaction, namespace: str, name: str) -> None:
    """Remove the batch; HasRecords while it has any, active or not."""
    existing_batch(tx, namespace, name)
    if tx.count_records(namespace, name):
        raise HasRecords(name)
    tx.delete_batch(namespace, name)
    tx.forget_refused_devices(namespace, name)
    tx.delete_install_tokens(namespace, TargetKind.BATCH, name)


def list_batches(tx: Transaction, namespace: str, options: PageOptions) -> NumberedPage[Batch]:
    """List the batches of the namespace."""
    return tx.list_batches(namespace, options)


def existing_batch(tx: Transaction, namespace: str, name: str) -> Batch:
    """The batch of that name; NotFound if there is none."""
    batch = tx.batch(namespace, name)
    if batch is None:
        raise NotFound("batch", name)
    return batch


def admission_warning(tx: Transaction, batch: Batch) -> str:
    """Why no new device of *batch* can activate, and what to do; empty if one can."""
    spec = batch.spec
    records = tx.count_records(batch.namespace, batch.name)
    if spec.enable_whitelist and not records:
        return (
            "no device can activate: enableWhitelist is 1 and the batch has no records;"
            " add a record for each device, or set enableWhitelist to 0"
        )
    if not spec.enable_whitelist and records >= spec.quota_num:
        return f"no new device can activate: {records} records have reached quotaNum; raise it"
    return ""


def _check_callback(tx: Transaction, namespace: str, spec: BatchSpec) -> None:
    if spec.callback_name and tx.callback(namespace, spec.callback_name) is None:
        raise Invalid("callbackName", f"there is no callback {spec.callback_name[:80]!r}")

"""Handlers: batches and their records."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from cloud.core.batch import Batch, BatchSpec, Record
from cloud.core.decoding import convert
from cloud.core.merge_patch import merged
from cloud.core.names import node_id
from cloud.errors import Invalid
from cloud.http.answers import bytes_response
from cloud.operations import batches, records
from cloud.operations.records import RecordChange, RecordDraft
from cloud.rest.call import DONE, Call, Shown, take_name
from cloud.rest.views import View, batch_summary, batch_view, numbered_list_view, record_view
from cloud.store.interface import Transaction

_TIMES = frozenset({"namespace", "createTime", "updateTime"})
_FIXED_OF_RECORD = _TIMES | {"name", "activeIp"}
_READ_ONLY_OF_RECORD = _TIMES | {"batchName", "active", "activeIp"}


class RecordCount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many records to generate (contract, "Generate")."""

    num: int


async def create_batch(call: Call) -> Shown:
    """`POST /v1/register`."""
    content = await call.content(ignored=_TIMES)
    name, spec = take_name(content), convert(content, BatchSpec)
    batch = await call.store.write(
        lambda tx: batches.create_batch(
            tx, call.namespace, name, spec, now=call.now, new_id=call.api.new_id
        )
    )
    return _shown_batch(batch)


async def update_batch(call: Call) -> Shown:
    """`PUT /v1/register/{batch}`: what is left out stays as it is."""
    changes = await call.content(ignored=_TIMES | {"name"})
    return await _update_batch(call, lambda _: changes)


async def patch_batch(call: Call) -> Shown:
    """`PATCH /v1/register/{batch}`: what the merge patch takes away is as if never given."""
    patch = await call.patch(ignored=_TIMES | {"name"})

    def wanted(batch: Batch) -> Mapping[str, Any]:
        spec = convert(merged(msgspec.to_builtins(batch.spec), patch), BatchSpec)
        changes: dict[str, Any] = msgspec.to_builtins(spec)
        return changes

    return await _update_batch(call, wanted)


async def _update_batch(call: Call, wanted: Callable[[Batch], Mapping[str, Any]]) -> Shown:
    name, precondition = call.path("batch"), call.precondition()

    def update(tx: Transaction) -> Batch:
        before = batches.existing_batch(tx, call.namespace, name)
        precondition.check(lambda: before)
        return batches.update_batch(tx, call.namespace, name, wanted(before), now=call.now)

    return _shown_batch(await call.store.write(update))


async def get_batch(call: Call) -> Shown:
    """`GET /v1/register/{batch}`."""
    name = call.path("batch")
    return _shown_batch(
        await call.store.read(lambda tx: batches.existing_batch(tx, call.namespace, name))
    )


async def list_batches(call: Call) -> View:
    """`GET /v1/register`."""
    options = call.page_options()
    page = await call.store.read(lambda tx: batches.list_batches(tx, call.namespace, options))
    return numbered_list_view(page, batch_summary)


async def delete_batch(call: Call) -> View:
    """`DELETE /v1/register/{batch}`."""
    name, precondition = call.path("batch"), call.precondition()

    def delete(tx: Transaction) -> None:
        precondition.check(lambda: batches.existing_batch(tx, call.namespace, name))
        batches.delete_batch(tx, call.namespace, name)

    await call.store.write(delete)
    return DONE


async def generate_records(call: Call) -> View:
    """`POST /v1/register/{batch}/generate`: as many records as the body says, or none."""
    count = convert(await call.content(ignored=frozenset()), RecordCount).num
    batch = call.path("batch")
    made = await call.store.write(
        lambda tx: records.generate_records(
            tx, call.namespace, batch, count, now=call.now, new_id=call.api.new_id
        )
    )
    return {"total": len(made), "items": made}


async def download_records(call: Call) -> Response:
    """`GET /v1/register/{batch}/download`: one fingerprint a line."""
    batch = call.path("batch")
    found = await call.store.read(lambda tx: records.fingerprints_of(tx, call.namespace, batch))
    return bytes_response("".join(f"{fingerprint}\n" for fingerprint in found).encode())


async def create_record(call: Call) -> Shown:
    """`POST /v1/register/{batch}/record`."""
    draft = convert(await call.content(ignored=_READ_ONLY_OF_RECORD), RecordDraft)
    batch = call.path("batch")
    record = await call.store.write(
        lambda tx: records.create_record(
            tx, call.namespace, batch, draft, now=call.now, new_id=call.api.new_id
        )
    )
    return _shown_record(record)


async def update_record(call: Call) -> Shown:
    """`PUT /v1/register/{batch}/record/{record}`: only the node's name can change."""
    change = convert(await call.content(ignored=_FIXED_OF_RECORD), RecordChange)
    return await _update_record(call, lambda _: change)


async def patch_record(call: Call) -> Shown:
    """`PATCH /v1/register/{batch}/record/{record}`: as PUT; nothing can be taken away."""
    patch = await call.patch(ignored=_FIXED_OF_RECORD)

    def wanted(record: Record) -> RecordChange:
        current = {
            "nodeName": record.node_name,
            "batchName": record.batch,
            "fingerprintValue": record.fingerprint,
            "active": int(record.active),
        }
        after = merged(current, patch)
        for field in current:
            if field not in after:
                raise Invalid(field, "cannot be taken away")
        return convert(after, RecordChange)

    return await _update_record(call, wanted)


async def _update_record(call: Call, wanted: Callable[[Record], RecordChange]) -> Shown:
    batch, name, precondition = call.path("batch"), call.path("record"), call.precondition()

    def update(tx: Transaction) -> Record:
        before = records.existing_record(tx, call.namespace, batch, name)
        precondition.check(lambda: before)
        change = wanted(before)
        return records.update_record(tx, call.namespace, batch, name, change, now=call.now)

    return _shown_record(await call.store.write(update))


async def get_record(call: Call) -> Shown:
    """`GET /v1/register/{batch}/record/{record}`."""
    batch, name = call.path("batch"), call.path("record")
    return _shown_record(
        await call.store.read(lambda tx: records.existing_record(tx, call.namespace, batch, name))
    )


async def list_records(call: Call) -> View:
    """`GET /v1/register/{batch}/record`."""
    batch, options = call.path("batch"), call.page_options()
    page = await call.store.read(
        lambda tx: records.list_records(tx, call.namespace, batch, options)
    )
    return numbered_list_view(page, record_view)


async def delete_record(call: Call) -> View:
    """`DELETE /v1/register/{batch}/record/{record}`."""
    batch, name, precondition = call.path("batch"), call.path("record"), call.precondition()

    def delete(tx: Transaction) -> None:
        precondition.check(lambda: records.existing_record(tx, call.namespace, batch, name))
        records.delete_record(tx, call.namespace, batch, name)

    await call.store.write(delete)
    return DONE


async def reset_record(call: Call) -> Shown:
    """`POST /v1/register/{batch}/record/{record}/reset`: another device may become it."""
    batch, name, precondition = call.path("batch"), call.path("record"), call.precondition()

    def reset(tx: Transaction) -> Record:
        precondition.check(lambda: records.existing_record(tx, call.namespace, batch, name))
        return records.reset_record(tx, call.namespace, batch, name, now=call.now)

    record = await call.store.write(reset)
    call.api.on_revoked(node_id(record.namespace, record.node_name))
    return _shown_record(record)


def _shown_batch(batch: Batch) -> Shown:
    return Shown(batch_view(batch), batch)


def _shown_record(record: Record) -> Shown:
    return Shown(record_view(record), record)

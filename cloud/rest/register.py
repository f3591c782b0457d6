"""Handlers: batches and their records."""

import msgspec
from starlette.responses import Response

from cloud.core.batch import BatchSpec
from cloud.core.decoding import convert
from cloud.http.answers import bytes_response
from cloud.operations import batches, records
from cloud.operations.records import RecordChange, RecordDraft
from cloud.rest.call import DONE, Call, take_name
from cloud.rest.views import View, batch_summary, batch_view, numbered_list_view, record_view

_TIMES = frozenset({"namespace", "createTime", "updateTime"})
_READ_ONLY_OF_RECORD = _TIMES | {"batchName", "active", "activeIp"}


class _Count(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    num: int


async def create_batch(call: Call) -> View:
    """`POST /v1/register`."""
    content = await call.content(ignored=_TIMES)
    name, spec = take_name(content), convert(content, BatchSpec)
    batch = await call.store.write(
        lambda tx: batches.create_batch(
            tx, call.namespace, name, spec, now=call.now, new_id=call.api.new_id
        )
    )
    return batch_view(batch)


async def update_batch(call: Call) -> View:
    """`PUT /v1/register/{batch}`: what is left out stays as it is."""
    changes = await call.content(ignored=_TIMES | {"name"})
    name = call.path("batch")
    batch = await call.store.write(
        lambda tx: batches.update_batch(tx, call.namespace, name, changes, now=call.now)
    )
    return batch_view(batch)


async def get_batch(call: Call) -> View:
    """`GET /v1/register/{batch}`."""
    name = call.path("batch")
    return batch_view(
        await call.store.read(lambda tx: batches.existing_batch(tx, call.namespace, name))
    )


async def list_batches(call: Call) -> View:
    """`GET /v1/register`."""
    options = call.page_options()
    page = await call.store.read(lambda tx: batches.list_batches(tx, call.namespace, options))
    return numbered_list_view(page, batch_summary)


async def delete_batch(call: Call) -> View:
    """`DELETE /v1/register/{batch}`."""
    name = call.path("batch")
    await call.store.write(lambda tx: batches.delete_batch(tx, call.namespace, name))
    return DONE


async def generate_records(call: Call) -> View:
    """`POST /v1/register/{batch}/generate`: as many records as the body says, or none."""
    count = convert(await call.content(ignored=frozenset()), _Count).num
    batch = call.path("batch")
    made = await call.store.write(
        lambda tx: records.generate_records(
            tx, call.namespace, batch, count, now=call.now, new_id=call.api.new_id
        )
    )
    return {"total": len(made), "items": [record.fingerprint for record in made]}


async def download_records(call: Call) -> Response:
    """`GET /v1/register/{batch}/download`: one fingerprint a line."""
    batch = call.path("batch")
    found = await call.store.read(lambda tx: records.fingerprints_of(tx, call.namespace, batch))
    return bytes_response("".join(f"{fingerprint}\n" for fingerprint in found).encode())


async def create_record(call: Call) -> View:
    """`POST /v1/register/{batch}/record`."""
    draft = convert(await call.content(ignored=_READ_ONLY_OF_RECORD), RecordDraft)
    batch = call.path("batch")
    record = await call.store.write(
        lambda tx: records.create_record(
            tx, call.namespace, batch, draft, now=call.now, new_id=call.api.new_id
        )
    )
    return record_view(record)


async def update_record(call: Call) -> View:
    """`PUT /v1/register/{batch}/record/{record}`: only the node's name can change."""
    content = await call.content(ignored=_TIMES | {"name", "activeIp"})
    change = convert(content, RecordChange)
    batch, name = call.path("batch"), call.path("record")
    record = await call.store.write(
        lambda tx: records.update_record(tx, call.namespace, batch, name, change, now=call.now)
    )
    return record_view(record)


async def get_record(call: Call) -> View:
    """`GET /v1/register/{batch}/record/{record}`."""
    batch, name = call.path("batch"), call.path("record")
    return record_view(
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
    batch, name = call.path("batch"), call.path("record")
    await call.store.write(lambda tx: records.delete_record(tx, call.namespace, batch, name))
    return DONE

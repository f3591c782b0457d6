"""Records of batches: handlers, and rows of the route table."""

from collections.abc import Callable, Sequence

import msgspec
from starlette.responses import Response

from cloud.answers.common import DoneAnswer, Numbered
from cloud.answers.records import FingerprintsAnswer, RecordAnswer
from cloud.core.batch import Record
from cloud.core.decoding import convert
from cloud.core.merge_patch import merged
from cloud.core.names import node_id
from cloud.core.times import time_text
from cloud.errors import Invalid
from cloud.http.answers import bytes_response
from cloud.operations import records
from cloud.operations.records import RecordChange, RecordDraft
from cloud.rest.answers import DONE
from cloud.rest.context import RequestContext, ResourceResponse, numbered
from cloud.rest.described import NUMBERED, Body, Described, Name
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction

_TIMES = frozenset({"namespace", "createTime", "updateTime"})
_FIXED_OF_RECORD = _TIMES | {"name", "activeIp"}
_READ_ONLY_OF_RECORD = _TIMES | {"batchName", "active", "activeIp"}


class RecordCount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many records to generate (contract, "Generate")."""

    num: int


async def generate_records(context: RequestContext) -> FingerprintsAnswer:
    """`POST /v1/register/{batch}/generate`: as many records as the body asks for, or none."""
    count = convert(await context.content(ignored=frozenset()), RecordCount).num
    batch = context.path("batch")
    made = await context.store.write(
        lambda tx: records.generate_records(
            tx, context.namespace, batch, count, now=context.now, new_id=context.api.new_id
        )
    )
    return FingerprintsAnswer(len(made), list(made))


async def download_records(context: RequestContext) -> Response:
    """`GET /v1/register/{batch}/download`: one fingerprint a line."""
    batch = context.path("batch")
    found = await context.store.read(
        lambda tx: records.fingerprints_of(tx, context.namespace, batch)
    )
    return bytes_response("".join(f"{fingerprint}\n" for fingerprint in found).encode())


async def create_record(context: RequestContext) -> ResourceResponse[RecordAnswer]:
    """`POST /v1/register/{batch}/record`."""
    draft = convert(await context.content(ignored=_READ_ONLY_OF_RECORD), RecordDraft)
    batch = context.path("batch")
    record = await context.store.write(
        lambda tx: records.create_record(
            tx, context.namespace, batch, draft, now=context.now, new_id=context.api.new_id
        )
    )
    return _shown_record(record)


async def update_record(context: RequestContext) -> ResourceResponse[RecordAnswer]:
    """`PUT /v1/register/{batch}/record/{record}`: only the node's name can change."""
    change = convert(await context.content(ignored=_FIXED_OF_RECORD), RecordChange)
    return await _update_record(context, lambda _: change)


async def patch_record(context: RequestContext) -> ResourceResponse[RecordAnswer]:
    """`PATCH /v1/register/{batch}/record/{record}`: as PUT; nothing can be taken away."""
    patch = await context.patch(ignored=_FIXED_OF_RECORD)

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

    return await _update_record(context, wanted)


async def _update_record(
    context: RequestContext, wanted: Callable[[Record], RecordChange]
) -> ResourceResponse[RecordAnswer]:
    batch, name, precondition = (
        context.path("batch"),
        context.path("record"),
        context.precondition(),
    )

    def update(tx: Transaction) -> Record:
        before = records.existing_record(tx, context.namespace, batch, name)
        precondition.check(lambda: before)
        change = wanted(before)
        return records.update_record(tx, context.namespace, batch, name, change, now=context.now)

    return _shown_record(await context.store.write(update))


async def get_record(context: RequestContext) -> ResourceResponse[RecordAnswer]:
    """`GET /v1/register/{batch}/record/{record}`."""
    batch, name = context.path("batch"), context.path("record")
    return _shown_record(
        await context.store.read(
            lambda tx: records.existing_record(tx, context.namespace, batch, name)
        )
    )


async def list_records(context: RequestContext) -> Numbered[RecordAnswer]:
    """`GET /v1/register/{batch}/record`."""
    batch, options = context.path("batch"), context.page_options()
    page = await context.store.read(
        lambda tx: records.list_records(tx, context.namespace, batch, options)
    )
    return numbered(page, _answer)


async def delete_record(context: RequestContext) -> DoneAnswer:
    """`DELETE /v1/register/{batch}/record/{record}`."""
    batch, name, precondition = (
        context.path("batch"),
        context.path("record"),
        context.precondition(),
    )

    def delete(tx: Transaction) -> None:
        precondition.check(lambda: records.existing_record(tx, context.namespace, batch, name))
        records.delete_record(tx, context.namespace, batch, name)

    await context.store.write(delete)
    return DONE


async def reset_record(context: RequestContext) -> ResourceResponse[RecordAnswer]:
    """`POST /v1/register/{batch}/record/{record}/reset`: another device may become it."""
    batch, name, precondition = (
        context.path("batch"),
        context.path("record"),
        context.precondition(),
    )

    def reset(tx: Transaction) -> Record:
        precondition.check(lambda: records.existing_record(tx, context.namespace, batch, name))
        return records.reset_record(tx, context.namespace, batch, name, now=context.now)

    record = await context.store.write(reset)
    context.api.on_revoked(node_id(record.namespace, record.node_name))
    return _shown_record(record)


def _shown_record(record: Record) -> ResourceResponse[RecordAnswer]:
    return ResourceResponse(_answer(record), record)


def _answer(record: Record) -> RecordAnswer:
    return RecordAnswer(
        name=record.name,
        namespace=record.namespace,
        batch_name=record.batch,
        fingerprint_value=record.fingerprint,
        active=int(record.active),
        node_name=record.node_name,
        active_ip=record.active_ip,
        create_time=time_text(record.created),
        update_time=time_text(record.updated),
    )


RECORD_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "POST",
        "/v1/register/{batch}/generate",
        generate_records,
        Described("Generate records", FingerprintsAnswer, Body(RecordCount)),
    ),
    ApiRoute(
        "GET",
        "/v1/register/{batch}/download",
        download_records,
        Described("Fingerprints of a batch, one a line", None),
        needs="list records",
    ),
    ApiRoute(
        "GET",
        "/v1/register/{batch}/record",
        list_records,
        Described("List records", Numbered[RecordAnswer], query=NUMBERED),
    ),
    ApiRoute(
        "POST",
        "/v1/register/{batch}/record",
        create_record,
        Described("Create a record", RecordAnswer, Body(RecordDraft, Name.OPTIONAL)),
    ),
    ApiRoute(
        "GET",
        "/v1/register/{batch}/record/{record}",
        get_record,
        Described("Get a record", RecordAnswer),
    ),
    ApiRoute(
        "PUT",
        "/v1/register/{batch}/record/{record}",
        update_record,
        Described("Update a record", RecordAnswer, Body(RecordChange, Name.IGNORED)),
    ),
    ApiRoute(
        "PATCH",
        "/v1/register/{batch}/record/{record}",
        patch_record,
        Described("Patch a record", RecordAnswer, Body(RecordChange, Name.IGNORED, is_patch=True)),
    ),
    ApiRoute(
        "DELETE",
        "/v1/register/{batch}/record/{record}",
        delete_record,
        Described("Delete a record"),
    ),
    ApiRoute(
        "POST",
        "/v1/register/{batch}/record/{record}/reset",
        reset_record,
        Described("Free a record for another device", RecordAnswer),
    ),
)

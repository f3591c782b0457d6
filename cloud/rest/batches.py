"""Batches: answers, handlers, and rows of the route table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from cloud.core.batch import Batch, BatchSpec, Fingerprint, SecurityType
from cloud.core.decoding import convert
from cloud.core.kinds import BATCH
from cloud.core.merge_patch import merged
from cloud.core.times import time_text
from cloud.core.tokens import Role
from cloud.operations import batches
from cloud.rest.answers import DONE, Answer, DoneAnswer, Numbered
from cloud.rest.context import RequestContext, ResourceResponse, numbered, take_name
from cloud.rest.described import NUMBERED, Body, Described, Name
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction


class BatchSummary(Answer):
    """A batch in a list: without its token."""

    name: str
    namespace: str
    quota_num: int
    security_type: SecurityType
    callback_name: str
    description: str
    create_time: str
    update_time: str


class BatchAnswer(BatchSummary):
    """A batch, its token too."""

    enable_whitelist: int
    security_key: str
    labels: dict[str, str]
    fingerprint: Fingerprint


async def create_batch(context: RequestContext) -> ResourceResponse[BatchAnswer]:
    """`POST /v1/register`."""
    content = await context.content(ignored=BATCH.read_only)
    name, spec = take_name(content), convert(content, BatchSpec)
    batch = await context.store.write(
        lambda tx: batches.create_batch(
            tx, context.namespace, name, spec, now=context.now, new_id=context.api.new_id
        )
    )
    return _shown_batch(batch)


async def update_batch(context: RequestContext) -> ResourceResponse[BatchAnswer]:
    """`PUT /v1/register/{batch}`: what is left out stays as it is."""
    changes = await context.content(ignored=BATCH.read_only | {"name"})
    return await _update_batch(context, lambda _: changes)


async def patch_batch(context: RequestContext) -> ResourceResponse[BatchAnswer]:
    """`PATCH /v1/register/{batch}`: what the merge patch takes away is as if never given."""
    patch = await context.patch(ignored=BATCH.read_only | {"name"})

    def wanted(batch: Batch) -> Mapping[str, Any]:
        spec = convert(merged(msgspec.to_builtins(batch.spec), patch), BatchSpec)
        changes: dict[str, Any] = msgspec.to_builtins(spec)
        return changes

    return await _update_batch(context, wanted)


async def _update_batch(
    context: RequestContext, wanted: Callable[[Batch], Mapping[str, Any]]
) -> ResourceResponse[BatchAnswer]:
    name, precondition = context.path("batch"), context.precondition()

    def update(tx: Transaction) -> Batch:
        before = batches.existing_batch(tx, context.namespace, name)
        precondition.check(lambda: before)
        return batches.update_batch(tx, context.namespace, name, wanted(before), now=context.now)

    return _shown_batch(await context.store.write(update))


async def get_batch(context: RequestContext) -> ResourceResponse[BatchAnswer]:
    """`GET /v1/register/{batch}`."""
    name = context.path("batch")
    return _shown_batch(
        await context.store.read(lambda tx: batches.existing_batch(tx, context.namespace, name))
    )


async def list_batches(context: RequestContext) -> Numbered[BatchSummary]:
    """`GET /v1/register`."""
    options = context.page_options()
    page = await context.store.read(lambda tx: batches.list_batches(tx, context.namespace, options))
    return numbered(page, _summary)


async def delete_batch(context: RequestContext) -> DoneAnswer:
    """`DELETE /v1/register/{batch}`."""
    name, precondition = context.path("batch"), context.precondition()

    def delete(tx: Transaction) -> None:
        precondition.check(lambda: batches.existing_batch(tx, context.namespace, name))
        batches.delete_batch(tx, context.namespace, name)

    await context.store.write(delete)
    return DONE


def _shown_batch(batch: Batch) -> ResourceResponse[BatchAnswer]:
    spec = batch.spec
    answer = BatchAnswer(
        **msgspec.structs.asdict(_summary(batch)),
        enable_whitelist=spec.enable_whitelist,
        security_key=spec.security_key,
        labels=spec.labels,
        fingerprint=spec.fingerprint,
    )
    return ResourceResponse(answer, batch)


def _summary(batch: Batch) -> BatchSummary:
    """A batch in a list: without its token."""
    return BatchSummary(
        name=batch.name,
        namespace=batch.namespace,
        quota_num=batch.spec.quota_num,
        security_type=batch.spec.security_type,
        callback_name=batch.spec.callback_name,
        description=batch.spec.description,
        create_time=time_text(batch.created),
        update_time=time_text(batch.updated),
    )


BATCH_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/register",
        list_batches,
        Described("List batches", Numbered[BatchSummary], query=NUMBERED),
    ),
    ApiRoute(
        "POST",
        "/v1/register",
        create_batch,
        Described("Create a batch", BatchAnswer, Body(BatchSpec, Name.OPTIONAL)),
    ),
    ApiRoute(
        "GET",
        "/v1/register/{batch}",
        get_batch,
        Described("Get a batch", BatchAnswer),
        needs=Role.OPERATOR,
    ),
    ApiRoute(
        "PUT",
        "/v1/register/{batch}",
        update_batch,
        Described("Update a batch", BatchAnswer, Body(BatchSpec, Name.IGNORED)),
    ),
    ApiRoute(
        "PATCH",
        "/v1/register/{batch}",
        patch_batch,
        Described("Patch a batch", BatchAnswer, Body(BatchSpec, Name.IGNORED, is_patch=True)),
    ),
    ApiRoute("DELETE", "/v1/register/{batch}", delete_batch, Described("Delete a batch")),
)

"""Batches: and rows of the route table."""

from collections.abc import Sequence

import msgspec

from cloud.answers.batches import (
    BatchAnswer,
    BatchSummary,
    RefusedDeviceAnswer,
    RefusedDevicesAnswer,
)
from cloud.core.batch import Batch
from cloud.core.refused_device import RefusedDevice
from cloud.core.times import time_text
from cloud.operations.batches import admission_warning
from cloud.operations.kinds import BATCHES
from cloud.operations.refused_devices import refused_devices
from cloud.rest.context import RequestContext, ResourceResponse
from cloud.rest.crud import Crud, crud_routes
from cloud.rest.described import Described, Name
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction


async def list_refused(context: RequestContext) -> RefusedDevicesAnswer:
    """`GET /v1/register/{batch}/refused`."""
    name = context.path("batch")
    found = await context.store.read(lambda tx: refused_devices(tx, context.namespace, name))
    return RefusedDevicesAnswer(len(found), [_refused(device) for device in found])


def _refused(device: RefusedDevice) -> RefusedDeviceAnswer:
    return RefusedDeviceAnswer(
        fingerprint_value=device.fingerprint,
        reason=device.reason,
        message=device.reason.cause,
        remedy=device.reason.remedy,
        address=device.address,
        count=device.count,
        first_time=time_text(device.first),
        last_time=time_text(device.last),
    )


def _respond(
    context: RequestContext, tx: Transaction, batch: Batch
) -> ResourceResponse[BatchAnswer]:
    spec = batch.spec
    answer = BatchAnswer(
        **msgspec.structs.asdict(_summary(context, batch)),
        enable_whitelist=spec.enable_whitelist,
        security_key=spec.security_key,
        labels=spec.labels,
        fingerprint=spec.fingerprint,
        warning=admission_warning(tx, batch),
    )
    return ResourceResponse(answer, batch, is_whole=False)


def _summary(_: RequestContext, batch: Batch) -> BatchSummary:
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
    *crud_routes(Crud(BATCHES, _summary, BatchSummary, _respond, BatchAnswer), name=Name.OPTIONAL),
    ApiRoute(
        "GET",
        "/v1/register/{batch}/refused",
        list_refused,
        Described("Devices that a batch refused, with the reason", RefusedDevicesAnswer),
        needs="list records",
    ),
)

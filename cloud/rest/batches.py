"""Batches: and rows of the route table."""

from collections.abc import Sequence

import msgspec

from cloud.answers.batches import BatchAnswer, BatchSummary
from cloud.core.batch import Batch
from cloud.core.times import time_text
from cloud.operations.batches import admission_warning
from cloud.operations.kinds import BATCHES
from cloud.rest.context import RequestContext, ResourceResponse
from cloud.rest.crud import Crud, crud_routes
from cloud.rest.described import Name
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction


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


BATCH_ROUTES: Sequence[ApiRoute] = crud_routes(
    Crud(BATCHES, _summary, BatchSummary, _respond, BatchAnswer),
    name=Name.OPTIONAL,
)

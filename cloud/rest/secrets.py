"""Secrets: and rows of the route table."""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType

from cloud.answers.secrets import SecretAnswer, SecretSummary, SourceAnswer
from cloud.core.secret import Secret, SecretSpec
from cloud.core.times import time_text
from cloud.operations.kinds import SECRETS
from cloud.rest.context import RequestContext, ResourceResponse
from cloud.rest.crud import Crud, crud_routes
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction


def _summary(_: RequestContext, secret: Secret) -> SecretSummary:
    return SecretSummary(
        name=secret.name,
        namespace=secret.namespace,
        description=secret.spec.description,
        version=secret.version,
        create_time=time_text(secret.created),
        update_time=time_text(secret.updated),
    )


def _respond(
    context: RequestContext, tx: Transaction, secret: Secret
) -> ResourceResponse[SecretAnswer]:
    spec, shown = secret.spec, msgspec.structs.asdict(_summary(context, secret))
    source: SourceAnswer | UnsetType = UNSET
    if secret.sources:
        state = tx.source_state(secret.namespace, secret.name)
        since = time_text(state.since) if state.since else None
        source = SourceAnswer(bool(state.digest) and not state.error, state.error, since)
    answer = SecretAnswer(**shown, data=spec.data, data_from=spec.data_from, source=source)
    return ResourceResponse(answer, secret)


def _check_sources(context: RequestContext, spec: SecretSpec) -> None:
    if not isinstance(spec.data_from, UnsetType):
        context.api.check_sources(spec.data_from)


SECRET_ROUTES: Sequence[ApiRoute] = crud_routes(
    Crud(SECRETS, _summary, SecretSummary, _respond, SecretAnswer, check=_check_sources)
)

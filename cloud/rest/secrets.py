"""Secrets: and rows of the route table."""

from collections.abc import Sequence

import msgspec

from cloud.answers.secrets import SecretAnswer, SecretSummary
from cloud.core.secret import Secret
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
    context: RequestContext, _: Transaction, secret: Secret
) -> ResourceResponse[SecretAnswer]:
    shown = msgspec.structs.asdict(_summary(context, secret))
    return ResourceResponse(SecretAnswer(**shown, data=secret.spec.data), secret)


SECRET_ROUTES: Sequence[ApiRoute] = crud_routes(
    Crud(SECRETS, _summary, SecretSummary, _respond, SecretAnswer)
)

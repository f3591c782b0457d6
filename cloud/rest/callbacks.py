"""Callbacks: handlers, and rows of the route table.

The secret is shown once, by the answer to its creation.
"""

from collections.abc import Sequence
from typing import Any

from cloud.answers.callbacks import (
    CallbackAnswer,
    CallbackDetail,
    CallbackState,
    CallbackSummary,
    DeadLetter,
)
from cloud.core.callback import Callback, CallbackStatus, masked
from cloud.core.sending import Delivery
from cloud.core.times import time_text
from cloud.operations import callbacks
from cloud.operations.callbacks import SeenCallback
from cloud.operations.kinds import CALLBACKS
from cloud.rest.answers import time_or_none
from cloud.rest.context import RequestContext, ResourceResponse
from cloud.rest.crud import Crud, crud_routes
from cloud.rest.described import Described
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction


async def retry_callback(context: RequestContext) -> ResourceResponse[CallbackAnswer]:
    """`POST /v1/callback/{name}/retry`: what was given up is tried again."""
    name, precondition = context.path("name"), context.precondition()

    def retry(tx: Transaction) -> SeenCallback:
        precondition.check(lambda: callbacks.existing_callback(tx, context.namespace, name))
        return callbacks.retry_callback(tx, context.namespace, name, now=context.now)

    seen = await context.store.write(retry)
    context.api.wake_callbacks()
    return _shown(seen)


def _respond(
    _: RequestContext, tx: Transaction, callback: Callback
) -> ResourceResponse[CallbackAnswer]:
    return _shown(callbacks.see_callback(tx, callback.namespace, callback.name))


def _created(
    _: RequestContext, tx: Transaction, callback: Callback
) -> ResourceResponse[CallbackAnswer]:
    """The only answer with the secret."""
    seen = callbacks.see_callback(tx, callback.namespace, callback.name)
    answer = _answer(seen)
    answer.secret = callback.spec.secret
    return ResourceResponse(answer, callback, is_whole=False, is_secret=True)


def _shown(seen: SeenCallback) -> ResourceResponse[CallbackAnswer]:
    return ResourceResponse(_answer(seen), seen.callback, is_whole=False)


def _summary(_: RequestContext, seen: SeenCallback) -> CallbackSummary:
    """A callback in a list: without where it leads, since that can be a secret."""
    callback = seen.callback
    return CallbackSummary(
        name=callback.name,
        namespace=callback.namespace,
        description=callback.spec.description,
        state=CallbackState(**_state(seen.outcome)),
        create_time=time_text(callback.created),
        update_time=time_text(callback.updated),
    )


def _state(outcome: CallbackStatus) -> dict[str, Any]:
    return {
        "pending": outcome.pending,
        "given_up": outcome.given_up,
        "last_success_time": time_or_none(outcome.last_success),
        "last_error": outcome.last_error,
        "last_error_time": time_or_none(outcome.last_error_time),
    }


def _answer(seen: SeenCallback) -> CallbackAnswer:
    """A callback: its secret is masked; with its newest failed deliveries."""
    callback, spec = seen.callback, masked(seen.callback.spec)
    dead = [_dead_letter(delivery) for delivery in seen.dead_letters]
    return CallbackAnswer(
        name=callback.name,
        namespace=callback.namespace,
        description=spec.description,
        state=CallbackDetail(**_state(seen.outcome), dead_letters=dead),
        create_time=time_text(callback.created),
        update_time=time_text(callback.updated),
        url=spec.url,
        method=spec.method,
        params=spec.params,
        header=spec.header,
        body=spec.body,
        secret=spec.secret,
        events=spec.events,
    )


def _dead_letter(delivery: Delivery) -> DeadLetter:
    return DeadLetter(
        id=delivery.id,
        create_time=time_text(delivery.created),
        attempts=delivery.attempts,
        error=delivery.error,
        content=delivery.content,
    )


CALLBACK_ROUTES: Sequence[ApiRoute] = (
    *crud_routes(
        Crud(
            CALLBACKS,
            _summary,
            CallbackSummary,
            _respond,
            CallbackAnswer,
            created=_created,
        )
    ),
    ApiRoute(
        "POST",
        "/v1/callback/{name}/retry",
        retry_callback,
        Described("Retry the failed deliveries of a callback", CallbackAnswer),
    ),
)

"""Callbacks: answers, handlers, and rows of the route table.

The secret is shown once, by the answer to its creation.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from cloud.core.callback import Callback, CallbackSpec, Delivery, Method, masked
from cloud.core.decoding import convert
from cloud.core.kinds import CALLBACK
from cloud.core.merge_patch import merged
from cloud.core.times import time_text
from cloud.core.tokens import Role
from cloud.operations import callbacks
from cloud.operations.callbacks import SeenCallback
from cloud.rest.answers import DONE, Answer, DoneAnswer, Numbered, time_or_none
from cloud.rest.context import RequestContext, ResourceResponse, numbered, take_name
from cloud.rest.described import NUMBERED, Body, Described, Name
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction

_READ_ONLY = CALLBACK.read_only


class CallbackState(Answer):
    """How a callback did: deliveries that wait or were given up, and what came of it last."""

    pending: int
    given_up: int
    last_success_time: str | None
    last_error: str
    last_error_time: str | None


class CallbackSummary(Answer):
    """A callback in a list: without where it leads."""

    name: str
    namespace: str
    description: str
    state: CallbackState
    create_time: str
    update_time: str


class DeadLetter(Answer):
    """A failed delivery of a callback; `id` is the `webhook-id` it was sent with."""

    id: str
    create_time: str
    attempts: int
    error: str
    content: str


class CallbackDetail(CallbackState):
    """How a callback did, with its newest failed deliveries."""

    dead_letters: list[DeadLetter]


class CallbackAnswer(Answer):
    """A callback; its secret is masked."""

    name: str
    namespace: str
    description: str
    state: CallbackDetail
    create_time: str
    update_time: str
    url: str
    method: Method
    params: dict[str, str]
    header: dict[str, str]
    body: dict[str, str]
    secret: str
    events: tuple[str, ...]


async def create_callback(context: RequestContext) -> ResourceResponse[CallbackAnswer]:
    """`POST /v1/callback`."""
    content = await context.content(ignored=_READ_ONLY)
    name, spec = take_name(content), convert(content, CallbackSpec)

    def create(tx: Transaction) -> SeenCallback:
        callbacks.create_callback(
            tx, context.namespace, name, spec, now=context.now, new_token=context.api.new_token
        )
        return callbacks.see_callback(tx, context.namespace, name)

    seen = await context.store.write(create)
    answer = _answer(seen)
    answer.secret = seen.callback.spec.secret
    return ResourceResponse(answer, seen.callback, is_whole=False, is_secret=True)


async def update_callback(context: RequestContext) -> ResourceResponse[CallbackAnswer]:
    """`PUT /v1/callback/{name}`: what is left out stays as it is."""
    changes = await context.content(ignored=_READ_ONLY | {"name"})
    return await _update(context, lambda _: changes)


async def patch_callback(context: RequestContext) -> ResourceResponse[CallbackAnswer]:
    """`PATCH /v1/callback/{name}`: what the merge patch takes away is as if never given."""
    patch = await context.patch(ignored=_READ_ONLY | {"name"})

    def wanted(callback: Callback) -> Mapping[str, Any]:
        spec = convert(merged(msgspec.to_builtins(callback.spec), patch), CallbackSpec)
        changes: dict[str, Any] = msgspec.to_builtins(spec)
        return changes

    return await _update(context, wanted)


async def _update(
    context: RequestContext, wanted: Callable[[Callback], Mapping[str, Any]]
) -> ResourceResponse[CallbackAnswer]:
    name, precondition = context.path("name"), context.precondition()

    def update(tx: Transaction) -> SeenCallback:
        before = callbacks.existing_callback(tx, context.namespace, name)
        precondition.check(lambda: before)
        callbacks.update_callback(tx, context.namespace, name, wanted(before), now=context.now)
        return callbacks.see_callback(tx, context.namespace, name)

    return _shown(await context.store.write(update))


async def get_callback(context: RequestContext) -> ResourceResponse[CallbackAnswer]:
    """`GET /v1/callback/{name}`."""
    name = context.path("name")
    return _shown(
        await context.store.read(lambda tx: callbacks.see_callback(tx, context.namespace, name))
    )


async def list_callbacks(context: RequestContext) -> Numbered[CallbackSummary]:
    """`GET /v1/callback`."""
    options = context.page_options()
    page = await context.store.read(
        lambda tx: callbacks.list_callbacks(tx, context.namespace, options)
    )
    return numbered(page, _summary)


async def delete_callback(context: RequestContext) -> DoneAnswer:
    """`DELETE /v1/callback/{name}`."""
    name, precondition = context.path("name"), context.precondition()

    def delete(tx: Transaction) -> None:
        precondition.check(lambda: callbacks.existing_callback(tx, context.namespace, name))
        callbacks.delete_callback(tx, context.namespace, name)

    await context.store.write(delete)
    return DONE


async def retry_callback(context: RequestContext) -> ResourceResponse[CallbackAnswer]:
    """`POST /v1/callback/{name}/retry`: what was given up is tried again."""
    name, precondition = context.path("name"), context.precondition()

    def retry(tx: Transaction) -> SeenCallback:
        precondition.check(lambda: callbacks.existing_callback(tx, context.namespace, name))
        return callbacks.retry_callback(tx, context.namespace, name, now=context.now)

    seen = await context.store.write(retry)
    context.api.wake_callbacks()
    return _shown(seen)


def _shown(seen: SeenCallback) -> ResourceResponse[CallbackAnswer]:
    return ResourceResponse(_answer(seen), seen.callback, is_whole=False)


def _summary(seen: SeenCallback) -> CallbackSummary:
    """A callback in a list: without where it leads, since that can be a secret."""
    callback, outcome = seen.callback, seen.outcome
    return CallbackSummary(
        name=callback.name,
        namespace=callback.namespace,
        description=callback.spec.description,
        state=CallbackState(
            pending=outcome.pending,
            given_up=outcome.given_up,
            last_success_time=time_or_none(outcome.last_success),
            last_error=outcome.last_error,
            last_error_time=time_or_none(outcome.last_error_time),
        ),
        create_time=time_text(callback.created),
        update_time=time_text(callback.updated),
    )


def _answer(seen: SeenCallback) -> CallbackAnswer:
    """A callback: its secret is masked; with its newest failed deliveries."""
    summary, spec = _summary(seen), masked(seen.callback.spec)
    dead = [_dead_letter(delivery) for delivery in seen.dead_letters]
    return CallbackAnswer(
        name=summary.name,
        namespace=summary.namespace,
        description=summary.description,
        state=CallbackDetail(**msgspec.structs.asdict(summary.state), dead_letters=dead),
        create_time=summary.create_time,
        update_time=summary.update_time,
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
    ApiRoute(
        "GET",
        "/v1/callback",
        list_callbacks,
        Described("List callbacks", Numbered[CallbackSummary], query=NUMBERED),
    ),
    ApiRoute(
        "POST",
        "/v1/callback",
        create_callback,
        Described("Create a callback", CallbackAnswer, Body(CallbackSpec, Name.REQUIRED)),
        needs=Role.ADMIN,
    ),
    ApiRoute(
        "GET",
        "/v1/callback/{name}",
        get_callback,
        Described("Get a callback and how it did", CallbackAnswer),
        needs=Role.OPERATOR,
    ),
    ApiRoute(
        "PUT",
        "/v1/callback/{name}",
        update_callback,
        Described("Update a callback", CallbackAnswer, Body(CallbackSpec, Name.IGNORED)),
        needs=Role.ADMIN,
    ),
    ApiRoute(
        "PATCH",
        "/v1/callback/{name}",
        patch_callback,
        Described(
            "Patch a callback", CallbackAnswer, Body(CallbackSpec, Name.IGNORED, is_patch=True)
        ),
        needs=Role.ADMIN,
    ),
    ApiRoute(
        "DELETE",
        "/v1/callback/{name}",
        delete_callback,
        Described("Delete a callback"),
        needs=Role.ADMIN,
    ),
    ApiRoute(
        "POST",
        "/v1/callback/{name}/retry",
        retry_callback,
        Described("Retry the failed deliveries of a callback", CallbackAnswer),
    ),
)

"""Handlers: callbacks. The secret is shown once, by the answer to its creation."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from cloud.core.callback import Callback, CallbackSpec
from cloud.core.decoding import convert
from cloud.core.merge_patch import merged
from cloud.operations import callbacks
from cloud.operations.callbacks import SeenCallback
from cloud.rest.call import DONE, Call, Shown, take_name
from cloud.rest.views import View, callback_summary, callback_view, numbered_list_view
from cloud.store.interface import Transaction

_READ_ONLY = frozenset({"namespace", "createTime", "updateTime", "state"})


async def create_callback(call: Call) -> Shown:
    """`POST /v1/callback`."""
    content = await call.content(ignored=_READ_ONLY)
    name, spec = take_name(content), convert(content, CallbackSpec)

    def create(tx: Transaction) -> SeenCallback:
        callbacks.create_callback(
            tx, call.namespace, name, spec, now=call.now, new_token=call.api.new_token
        )
        return callbacks.see_callback(tx, call.namespace, name)

    seen = await call.store.write(create)
    view = {**callback_view(seen), "secret": seen.callback.spec.secret}
    return Shown(view, seen.callback, is_whole=False, is_secret=True)


async def update_callback(call: Call) -> Shown:
    """`PUT /v1/callback/{name}`: what is left out stays as it is."""
    changes = await call.content(ignored=_READ_ONLY | {"name"})
    return await _update(call, lambda _: changes)


async def patch_callback(call: Call) -> Shown:
    """`PATCH /v1/callback/{name}`: what the merge patch takes away is as if never given."""
    patch = await call.patch(ignored=_READ_ONLY | {"name"})

    def wanted(callback: Callback) -> Mapping[str, Any]:
        spec = convert(merged(msgspec.to_builtins(callback.spec), patch), CallbackSpec)
        changes: dict[str, Any] = msgspec.to_builtins(spec)
        return changes

    return await _update(call, wanted)


async def _update(call: Call, wanted: Callable[[Callback], Mapping[str, Any]]) -> Shown:
    name, precondition = call.path("name"), call.precondition()

    def update(tx: Transaction) -> SeenCallback:
        before = callbacks.existing_callback(tx, call.namespace, name)
        precondition.check(lambda: before)
        callbacks.update_callback(tx, call.namespace, name, wanted(before), now=call.now)
        return callbacks.see_callback(tx, call.namespace, name)

    return _shown(await call.store.write(update))


async def get_callback(call: Call) -> Shown:
    """`GET /v1/callback/{name}`."""
    name = call.path("name")
    return _shown(
        await call.store.read(lambda tx: callbacks.see_callback(tx, call.namespace, name))
    )


async def list_callbacks(call: Call) -> View:
    """`GET /v1/callback`."""
    options = call.page_options()
    page = await call.store.read(lambda tx: callbacks.list_callbacks(tx, call.namespace, options))
    return numbered_list_view(page, callback_summary)


async def delete_callback(call: Call) -> View:
    """`DELETE /v1/callback/{name}`."""
    name, precondition = call.path("name"), call.precondition()

    def delete(tx: Transaction) -> None:
        precondition.check(lambda: callbacks.existing_callback(tx, call.namespace, name))
        callbacks.delete_callback(tx, call.namespace, name)

    await call.store.write(delete)
    return DONE


async def retry_callback(call: Call) -> Shown:
    """`POST /v1/callback/{name}/retry`: what was given up is tried again."""
    name, precondition = call.path("name"), call.precondition()

    def retry(tx: Transaction) -> SeenCallback:
        precondition.check(lambda: callbacks.existing_callback(tx, call.namespace, name))
        return callbacks.retry_callback(tx, call.namespace, name, now=call.now)

    seen = await call.store.write(retry)
    call.api.wake_callbacks()
    return _shown(seen)


def _shown(seen: SeenCallback) -> Shown:
    return Shown(callback_view(seen), seen.callback, is_whole=False)

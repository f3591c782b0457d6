"""Callbacks and their deliveries."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from cloud.core.callback import (
    Callback,
    CallbackSpec,
    CallbackStatus,
    check_callback_name,
    checked_callback_spec,
)
from cloud.core.decoding import convert
from cloud.core.listing import NumberedPage, PageOptions
from cloud.core.mask import MASK
from cloud.core.sending import Delivery, DeliveryAttempt, Queue, new_secret
from cloud.errors import CallbackInUse, Invalid, NotFound
from cloud.operations.deliveries import Outbox
from cloud.store.transaction import Transaction

DEAD_LETTERS = 20
"""Deliveries that were given up and are shown, the newest."""


@dataclass(frozen=True, slots=True)
class SeenCallback:
    """A callback, how it did, and its newest failed deliveries."""

    callback: Callback
    outcome: CallbackStatus
    dead_letters: Sequence[Delivery] = ()


def create_callback(
    tx: Transaction,
    namespace: str,
    name: str,
    spec: CallbackSpec,
    *,
    now: datetime,
    new_token: Callable[[], str],
) -> Callback:
    """Add a callback; a secret that is not given is made of *new_token*."""
    name = check_callback_name(name)
    if not spec.secret:
        spec = msgspec.structs.replace(spec, secret=new_secret(new_token()))
    checked = checked_callback_spec(spec)
    if tx.callback(namespace, name) is not None:
        raise Invalid("name", "this name is already in use")
    callback = Callback(namespace, name, checked, now, now)
    tx.put_callback(callback)
    return callback


def update_callback(
    tx: Transaction, namespace: str, name: str, changes: Mapping[str, Any], *, now: datetime
) -> Callback:
    """Change what *changes* names and leave the rest; a masked secret stands for the stored one."""
    before = existing_callback(tx, namespace, name)
    current: dict[str, Any] = msgspec.to_builtins(before.spec)
    wanted = convert({**current, **changes}, CallbackSpec)
    if wanted.secret in {"", MASK}:
        wanted = msgspec.structs.replace(wanted, secret=before.spec.secret)
    spec = checked_callback_spec(wanted)
    if spec == before.spec:
        return before
    after = replace(before, spec=spec, updated=now)
    tx.put_callback(after)
    return after


def delete_callback(tx: Transaction, namespace: str, name: str) -> None:
    """Remove the callback and its pending deliveries; CallbackInUse while a batch names it."""
    existing_callback(tx, namespace, name)
    users = [b.name for b in tx.batches(namespace) if b.spec.callback_name == name]
    if users:
        raise CallbackInUse(name, users)
    tx.delete_callback(namespace, name)


def see_callback(tx: Transaction, namespace: str, name: str) -> SeenCallback:
    """Look at a callback and at how it did."""
    callback = existing_callback(tx, namespace, name)
    outcome = tx.callback_outcome(namespace, name)
    return SeenCallback(callback, outcome, tx.given_up(namespace, name, DEAD_LETTERS))


def list_callbacks(
    tx: Transaction, namespace: str, options: PageOptions
) -> NumberedPage[SeenCallback]:
    """List the callbacks of the namespace."""
    page = tx.list_callbacks(namespace, options)
    return NumberedPage(
        [SeenCallback(each, tx.callback_outcome(namespace, each.name)) for each in page.items],
        page.total,
        page.number,
        page.size,
    )


def retry_callback(tx: Transaction, namespace: str, name: str, *, now: datetime) -> SeenCallback:
    """Try again, for another three days, what was given up."""
    existing_callback(tx, namespace, name)
    tx.retry_given_up(namespace, name, now)
    return see_callback(tx, namespace, name)


def existing_callback(tx: Transaction, namespace: str, name: str) -> Callback:
    """The callback of that name; NotFound if there is none."""
    callback = tx.callback(namespace, name)
    if callback is None:
        raise NotFound("callback", name)
    return callback


def _note_success(tx: Transaction, attempt: DeliveryAttempt, now: datetime) -> None:
    delivery = attempt.delivery
    tx.delete_delivery(delivery.id)
    tx.record_success(delivery.namespace, delivery.target, now)


def _note_failure(tx: Transaction, delivery: Delivery, now: datetime) -> None:
    tx.record_error(delivery.namespace, delivery.target, delivery.error, now)


CALLBACK_OUTBOX = Outbox(
    Queue.CALLBACKS,
    lambda tx, namespace, name: tx.callback(namespace, name),
    _note_success,
    _note_failure,
)

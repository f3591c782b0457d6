"""Channels of notifications, and what was sent by them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from cloud.core import event as types
from cloud.core.channel import (
    CHANNELS_LIMIT,
    ChannelSpec,
    ChannelType,
    NotificationChannel,
    checked_channel_spec,
)
from cloud.core.event import Event
from cloud.core.kinds import CHANNEL
from cloud.core.listing import ListOptions, Page
from cloud.core.notification import sample_notification
from cloud.core.notification_rule import NotificationRule
from cloud.core.sending import (
    ERROR_LIMIT,
    RETENTION,
    Delivery,
    DeliveryAttempt,
    Queue,
    after_success,
    new_secret,
)
from cloud.errors import InUse, Invalid
from cloud.operations import resources
from cloud.operations.deliveries import Outbox
from cloud.store.transaction import Transaction

DELIVERIES_SHOWN = 20
"""The newest deliveries of a channel, in its answer."""

FINISHED_KEPT = 100
"""Deliveries of a channel that were sent or given up and are stored, the newest."""


INTERRUPTED = "the test was interrupted"


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """How a channel does: what waits, what was given up, the last success and the last error."""

    pending: int
    given_up: int
    last_sent: datetime | None
    last_error: str


@dataclass(frozen=True, slots=True)
class SeenChannel:
    """A channel, and how it does."""

    channel: NotificationChannel
    status: ChannelStatus


def create_channel(
    tx: Transaction,
    namespace: str,
    name: str,
    spec: ChannelSpec,
    *,
    now: datetime,
    new_token: Callable[[], str],
) -> NotificationChannel:
    """Add a channel; the secret of a webhook that is not given is made of *new_token*."""
    given = resources.with_kept_values(CHANNEL, spec, None)
    if given.type is ChannelType.WEBHOOK and not given.secret:
        given = msgspec.structs.replace(given, secret=new_secret(new_token()))
    if len(tx.resources(NotificationChannel, namespace)) >= CHANNELS_LIMIT:
        raise Invalid("name", f"the namespace has {CHANNELS_LIMIT} channels, the most it can have")
    where = (tx, NotificationChannel, namespace, name)
    return resources.create_resource(*where, given, now=now, check=checked_channel_spec)


def update_channel(
    tx: Transaction, namespace: str, name: str, spec: ChannelSpec, *, now: datetime
) -> NotificationChannel:
    """Give the channel another *spec*; what is masked, and the secret of a webhook, stays."""
    before = existing_channel(tx, namespace, name)
    given = resources.with_kept_values(CHANNEL, spec, before.spec)
    if given.type is ChannelType.WEBHOOK and not given.secret:
        given = msgspec.structs.replace(given, secret=before.spec.secret)
    return resources.update_resource(tx, before, checked_channel_spec(given), now=now)


def delete_channel(tx: Transaction, namespace: str, name: str) -> None:
    """Remove the channel and its deliveries; InUse while a rule names it."""
    existing_channel(tx, namespace, name)
    users = [
        one.name for one in tx.resources(NotificationRule, namespace) if name in one.spec.channels
    ]
    if users:
        shown = ", ".join(users[:5]) + (" and others" if len(users) > 5 else "")
        raise InUse("channel", name, f"the notification rules {shown}")
    resources.delete_resource(tx, CHANNEL, namespace, name)


def list_channels(tx: Transaction, namespace: str, options: ListOptions) -> Page[SeenChannel]:
    """List the channels of the namespace."""
    found = tx.list_resources(NotificationChannel, namespace, options)
    return found.each(lambda channel: SeenChannel(channel, channel_status(tx, channel)))


def existing_channel(tx: Transaction, namespace: str, name: str) -> NotificationChannel:
    """The channel of that name; NotFound if there is none."""
    return resources.existing_resource(tx, NotificationChannel, namespace, name)


def channel_status(tx: Transaction, channel: NotificationChannel) -> ChannelStatus:
    """How the channel does."""
    where = (channel.namespace, channel.name)
    pending, given_up, sent = tx.count_deliveries(*where, Queue.CHANNELS)
    newest = tx.newest_deliveries(*where, 1, Queue.CHANNELS)
    return ChannelStatus(pending, given_up, sent, newest[0].error if newest else "")


def channel_deliveries(tx: Transaction, channel: NotificationChannel) -> Sequence[Delivery]:
    """The newest deliveries of the channel, in whatever state."""
    where = (channel.namespace, channel.name)
    return tx.newest_deliveries(*where, DELIVERIES_SHOWN, Queue.CHANNELS)


def retry_channel(
    tx: Transaction, namespace: str, name: str, *, now: datetime
) -> NotificationChannel:
    """Try again, for another three days, what was given up."""
    channel = existing_channel(tx, namespace, name)
    tx.retry_given_up(namespace, name, now, Queue.CHANNELS)
    return channel


def begin_test(
    tx: Transaction, namespace: str, name: str, *, now: datetime, new_id: str
) -> tuple[NotificationChannel, Delivery]:
    """Store the message of a test; it is not in the queue, since its outcome is waited for."""
    channel = existing_channel(tx, namespace, name)
    content = msgspec.json.encode(sample_notification(namespace, name, now=now)).decode()
    delivery = Delivery(
        new_id, namespace, name, content, now, None, error=INTERRUPTED, queue=Queue.CHANNELS
    )
    tx.put_delivery(delivery)
    return channel, delivery


def record_test(tx: Transaction, attempt: DeliveryAttempt, *, now: datetime) -> None:
    """Store the outcome of a test among the deliveries; one that failed is not repeated."""
    after = after_success(attempt, now=now)
    if attempt.error:
        after = replace(attempt.delivery, attempts=1, error=attempt.error[:ERROR_LIMIT])
    if tx.has_resource(CHANNEL, after.namespace, after.target):
        tx.put_delivery(after)
        _forget(tx, after, now)


def _note_success(tx: Transaction, attempt: DeliveryAttempt, now: datetime) -> None:
    delivery = attempt.delivery
    if tx.has_resource(CHANNEL, delivery.namespace, delivery.target):
        tx.put_delivery(after_success(attempt, now=now))
        _forget(tx, delivery, now)


def _note_failure(tx: Transaction, delivery: Delivery, now: datetime) -> None:
    if delivery.due is not None:
        return
    _forget(tx, delivery, now)
    message = f"a notification to channel {delivery.target} was given up: {delivery.error}"
    where = (delivery.namespace, "channel", delivery.target)
    tx.record_event(Event(types.GIVEN_UP, *where, now, message, {"delivery": delivery.id}))


def _forget(tx: Transaction, delivery: Delivery, now: datetime) -> None:
    tx.forget_finished(
        delivery.namespace,
        delivery.target,
        keep=FINISHED_KEPT,
        before=now - RETENTION,
        queue=Queue.CHANNELS,
    )


CHANNEL_OUTBOX = Outbox(
    Queue.CHANNELS,
    lambda tx, namespace, name: tx.resource(NotificationChannel, namespace, name),
    _note_success,
    _note_failure,
)

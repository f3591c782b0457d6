"""Notifications: rules, the groups that events of a rule fall into, and messages that are due."""

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from cloud.core.event import Event, NumberedEvent
from cloud.core.kinds import CHANNEL, NOTIFICATION_RULE
from cloud.core.listing import ListOptions, Page
from cloud.core.notification import Notification, notification_of
from cloud.core.notification_groups import (
    GROUPS_LIMIT,
    OTHER_CAUSES,
    Group,
    cause_of,
    elapsed,
    key_of,
    noted,
)
from cloud.core.notification_rule import (
    RULES_LIMIT,
    NotificationRule,
    NotificationRuleSpec,
    checked_rule_spec,
    selects,
)
from cloud.core.sending import WAITING_LIMIT, Delivery, Queue
from cloud.errors import Invalid
from cloud.operations import resources
from cloud.store.transaction import Transaction

DUE_AT_A_TIME = 100
"""Groups whose messages are queued in one transaction, at most."""


def create_rule(
    tx: Transaction, namespace: str, name: str, spec: NotificationRuleSpec, *, now: datetime
) -> NotificationRule:
    """Add a rule; Invalid where a channel that it names is not there."""
    if len(tx.resources(NotificationRule, namespace)) >= RULES_LIMIT:
        raise Invalid("name", f"the namespace has {RULES_LIMIT} rules, the most it can have")
    _check_channels(tx, namespace, spec)
    where = (tx, NotificationRule, namespace, name)
    return resources.create_resource(*where, spec, now=now, check=checked_rule_spec)


def update_rule(
    tx: Transaction, namespace: str, name: str, spec: NotificationRuleSpec, *, now: datetime
) -> NotificationRule:
    """Give the rule another *spec*; events that were counted still count."""
    before = resources.existing_resource(tx, NotificationRule, namespace, name)
    _check_channels(tx, namespace, spec)
    return resources.update_resource(tx, before, checked_rule_spec(spec), now=now)


def delete_rule(tx: Transaction, namespace: str, name: str) -> None:
    """Remove the rule; what is queued already is still sent."""
    resources.delete_resource(tx, NOTIFICATION_RULE, namespace, name)


def list_rules(tx: Transaction, namespace: str, options: ListOptions) -> Page[NotificationRule]:
    """List the rules of the namespace."""
    return tx.list_resources(NotificationRule, namespace, options)


def note_events(
    tx: Transaction, namespace: str, events: Sequence[NumberedEvent], *, now: datetime
) -> None:
    """Put *events* of the namespace into the groups of the rules that select them."""
    for rule in tx.resources(NotificationRule, namespace):
        chosen = [each.event for each in events if _is_selected(tx, rule.spec, each.event)]
        if chosen:
            _note(tx, rule, chosen, now)


def queue_due(tx: Transaction, *, now: datetime, new_id: Callable[[], str]) -> tuple[int, int]:
    """Queue the messages that are due by *now*; how many, and how many there was no room for.

    For one transaction at a time.
    """
    queued = dropped = 0
    for namespace, name, key, group in tx.take_due_groups(now, DUE_AT_A_TIME):
        rule = tx.resource(NotificationRule, namespace, name)
        if rule is None:
            continue
        after, summary = elapsed(group, rule.spec, now=now)
        if after is not None:
            tx.put_notification_group(namespace, name, key, after)
        if summary is None:
            continue
        message = notification_of(rule, summary)
        for channel in rule.spec.channels:
            is_queued = _queue(tx, namespace, channel, message, now, new_id())
            queued, dropped = queued + is_queued, dropped + (not is_queued)
    return queued, dropped


def _check_channels(tx: Transaction, namespace: str, spec: NotificationRuleSpec) -> None:
    for number, name in enumerate(spec.channels):
        if not tx.has_resource(CHANNEL, namespace, name):
            raise Invalid(f"channels[{number}]", f"there is no channel {name[:80]!r}")


def _is_selected(tx: Transaction, spec: NotificationRuleSpec, event: Event) -> bool:
    labels = None
    if spec.selector.strip() and event.kind == "node":
        node = tx.node(event.namespace, event.name)
        labels = node.labels if node else None
    return selects(spec, event, labels)


def _note(tx: Transaction, rule: NotificationRule, events: Sequence[Event], now: datetime) -> None:
    """Add *events* to their groups; those of causes beyond GROUPS_LIMIT share one of their type."""
    namespace, name = rule.namespace, rule.name
    keys = {key_of(each.type, cause) for each in events for cause in (cause_of(each), OTHER_CAUSES)}
    groups = dict(tx.notification_groups(namespace, name, sorted(keys)))
    room = GROUPS_LIMIT - tx.count_notification_groups(namespace, name)
    changed: dict[str, Group] = {}
    for event in events:
        cause = cause_of(event)
        key = key_of(event.type, cause)
        if key not in groups and room <= 0:
            cause = OTHER_CAUSES
            key = key_of(event.type, cause)
        room -= key not in groups
        groups[key] = changed[key] = noted(groups.get(key), rule.spec, event, cause, now=now)
    for key, group in changed.items():
        tx.put_notification_group(namespace, name, key, group)


def _queue(
    tx: Transaction, namespace: str, channel: str, message: Notification, now: datetime, new_id: str
) -> bool:
    """Queue *message*; False where too many wait, or the channel is not there."""
    if not tx.has_resource(CHANNEL, namespace, channel):
        return False
    pending, _, _ = tx.count_deliveries(namespace, channel, Queue.CHANNELS)
    if pending >= WAITING_LIMIT:
        return False
    content = msgspec.json.encode(message).decode()
    delivery = Delivery(new_id, namespace, channel, content, now, now, queue=Queue.CHANNELS)
    tx.put_delivery(delivery)
    return True

"""Events: recorded in the transaction of the change, numbered after it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from cloud.core import event as types
from cloud.core.app import AppVersion
from cloud.core.audit import DEVICE, Action, Attempt, kind_of
from cloud.core.batch import Record
from cloud.core.callback import Callback
from cloud.core.deploys import Deploy, DeployOutcome
from cloud.core.event import Event, EventFilter, EventRange, NumberedEvent
from cloud.core.folding import NODE_EVENTS_PER_MINUTE, after_showing, fold, key_of
from cloud.core.listing import Page, PageOptions, Place
from cloud.core.readiness import STALE_AFTER_INTERVALS, ReportCadence
from cloud.core.refused_device import RefusalReason
from cloud.core.report import AppStats, drifts_of
from cloud.core.resource import Noun
from cloud.core.sending import WAITING_LIMIT, Delivery
from cloud.core.times import precise_time_text, time_text
from cloud.errors import Expired
from cloud.operations.notifications import note_events
from cloud.store.parts.events import FIRST, LAST
from cloud.store.transaction import Transaction

PAGE_LIMIT = 500
"""Events on a page, at most; also where no limit is given."""

PRUNED_AT_A_TIME = 5000
"""Events forgotten in one transaction, at most."""

LOST_AT_A_TIME = 500
"""Nodes that are lost in one transaction, at most."""

ENDING_WITHIN = timedelta(days=14)
"""How long before a certificate expires it is published: 16 days after a node should renew.
"""

ENDS_AT_A_TIME = 1000
"""Most expiry events in one pass."""

_ALL_CALLBACKS = PageOptions(size=1_000_000)

DRIFTS_NAMED = 20
"""Events of one report about instances that were gone, at most."""

APPS_NAMED = 20
"""Apps that one event names, at most."""


def record_change_event(
    tx: Transaction,
    attempt: Attempt,
    before: Noun | None,
    after: Noun | None,
) -> None:
    """Note that the thing of the *attempt* was made, changed or removed, if it was."""
    kind, name = kind_of(attempt.action), attempt.name
    if not types.has_events(kind) or before == after:
        return
    if attempt.action == Action.RECORD_ACTIVATE:
        return  # see `record_activation_event`
    verb = types.UPDATED
    if before is None or after is None:
        verb = types.CREATED if before is None else types.DELETED
    version = getattr(after, "version", None)
    data = {"version": version} if isinstance(version, str) else {}
    message, time = f"{kind} {name} was {verb}", attempt.time
    event = Event(
        f"{kind}.{verb}", attempt.namespace, kind, name, time, message, data, attempt.actor
    )
    tx.record_event(event)
    if attempt.action == Action.RECORD_RESET and isinstance(after, Record):
        record_revocation_event(tx, attempt, after.node_name)


def record_revocation_event(tx: Transaction, attempt: Attempt, name: str) -> None:
    """Note that the *attempt* has shut the node of that *name* out."""
    message, time = f"certificates of {name} were revoked", attempt.time
    event = Event(
        types.REVOKED, attempt.namespace, "node", name, time, message, actor=attempt.actor
    )
    tx.record_event(event)


def record_records_event(tx: Transaction, attempt: Attempt, count: int) -> None:
    """Note that the batch of the *attempt* got so many records at once."""
    name, by = attempt.name, attempt.actor
    message, data = f"batch {name} got {count} records", {"records": count}
    event = Event(
        "batch.updated", attempt.namespace, "batch", name, attempt.time, message, data, by
    )
    tx.record_event(event)


def record_activation_event(
    tx: Transaction,
    namespace: str,
    name: str,
    *,
    now: datetime,
    facts: Mapping[str, Any],
) -> None:
    """Note that a device became that node; *facts* describe how."""
    message = f"a device was activated as {name}"
    event = Event(types.ACTIVATED, namespace, "node", name, now, message, facts, DEVICE)
    tx.record_event(event)


def record_refused_event(
    tx: Transaction,
    namespace: str,
    batch: str,
    fingerprint: str,
    reason: RefusalReason,
    *,
    address: str,
    now: datetime,
) -> None:
    """Note that a device of *batch*, which showed its token, was refused."""
    message = (
        f"a device with fingerprint {fingerprint!r} was refused: {reason.cause}: {reason.remedy}"
    )
    facts = {"fingerprintValue": fingerprint, "reason": reason.value, "address": address}
    tx.record_event(Event(types.REFUSED, namespace, "batch", batch, now, message, facts, DEVICE))


def record_ended_event(
    tx: Transaction, namespace: str, name: str, deploy: Deploy, *, now: datetime
) -> None:
    """Note that the node has converged or failed with *deploy*."""
    data: dict[str, Any] = {
        "deploy": deploy.number,
        "apps": _named(deploy.apps),
        "seconds": max((now - deploy.sent).total_seconds(), 0.0),
    }
    event_type, message = types.CONVERGED, f"{name} is up to date"
    if deploy.outcome is DeployOutcome.FAILED:
        event_type, message = types.FAILED, f"{name} failed: {deploy.cause}"
        data["cause"] = deploy.cause
    tx.record_event(Event(event_type, namespace, "node", name, now, message, data))


def record_unreadable_event(
    tx: Transaction, namespace: str, name: str, reason: str, *, now: datetime
) -> None:
    """Note that the sources of the secret could be read before, and cannot any more."""
    message = f"secret {name} cannot be read: {reason}"
    tx.record_event(Event(types.UNREADABLE, namespace, "secret", name, now, message))


def record_drift_event(
    tx: Transaction, namespace: str, name: str, stats: Iterable[AppStats], *, now: datetime
) -> None:
    """Note what the node found gone and made again, the first DRIFTS_NAMED of it."""
    for app, service, moment in islice(drifts_of(stats), DRIFTS_NAMED):
        message = f"an instance of service {service} of app {app} was gone; {name} made it again"
        data = {"app": app, "service": service, "time": moment}
        tx.record_event(Event(types.DRIFTED, namespace, "node", name, now, message, data))


def _named(apps: Sequence[AppVersion]) -> list[dict[str, str]]:
    return [{"name": app.name, "version": app.version} for app in apps[:APPS_NAMED]]


def record_heard(
    tx: Transaction, namespace: str, name: str, cadence: ReportCadence, *, now: datetime
) -> None:
    """Note that the node is ready, unless that is the last event of it."""
    if tx.record_ready(namespace, name, now + STALE_AFTER_INTERVALS * cadence.interval):
        tx.record_event(Event(types.READY, namespace, "node", name, now, f"{name} reports"))


def record_lost(tx: Transaction, *, now: datetime, listening: datetime) -> int:
    """Note which ready nodes are lost; how many, LOST_AT_A_TIME at most.

    Silence counts from *listening* on: since then they can be heard.
    """
    tx.postpone_checks(now, listening)
    lost = tx.take_lost(now, LOST_AT_A_TIME)
    for namespace, name in lost:
        heard = tx.heard(namespace, name)
        last = precise_time_text(heard.last) if heard else None
        data = (
            {"lastHeard": last, "interval": heard.cadence.interval.total_seconds()} if heard else {}
        )
        since = time_text(heard.last) if heard else "its creation"
        message = f"nothing was heard of {name} since {since}"
        tx.record_event(Event(types.LOST, namespace, "node", name, now, message, data))
    return len(lost)


def record_expiring(tx: Transaction, *, now: datetime) -> int:
    """Note that certificates of nodes end within ENDING_WITHIN, each once; how many."""
    ends = tx.take_ends(now, now + ENDING_WITHIN, ENDS_AT_A_TIME)
    for end in ends:
        when = precise_time_text(end.expires)
        message = f"the certificate of {end.name} ends at {time_text(end.expires)}"
        data = {"expires": when, "serial": f"{end.serial:X}"}
        tx.record_event(Event(types.ENDING, end.namespace, "node", end.name, now, message, data))
    return len(ends)


@dataclass(frozen=True, slots=True)
class NumberedGroup:
    """Events that have got their numbers, and whether callbacks get some.

    *taken* is how many were looked at, *folded* how many of the numbered ones are in others.
    """

    events: Sequence[NumberedEvent]
    has_deliveries: bool
    taken: int = 0
    folded: int = 0


def has_new_events(tx: Transaction, *, now: datetime) -> bool:
    """Return whether there is something for `number_events` to do."""
    return tx.has_new_events() or tx.has_ended_folds(now)


def number_events(
    tx: Transaction, *, limit: int, now: datetime, per_minute: int = NODE_EVENTS_PER_MINUTE
) -> NumberedGroup:
    """Give up to *limit* events their numbers, and put them in the queues of who wants them.

    For one transaction at a time. Of one node and type *per_minute* are shown in a minute, others
    are folded into one (0: none are). A callback for which WAITING_LIMIT wait gets no more,
    and that shows.
    """
    taken = 0

    def admit(events: Sequence[Event]) -> Sequence[Event]:
        nonlocal taken
        ended = tx.take_ended_folds(now, limit)
        folds = {
            key: after_showing(one, now=now, limit=per_minute) for key, one in ended if one.folded
        }
        if folds:
            tx.put_event_folds(folds)
        shown, changed = fold(
            events, tx.event_folds({key_of(one) for one in events}), now=now, limit=per_minute
        )
        if changed:
            tx.put_event_folds(changed)
        taken = len(events) + len(ended)
        return [*(one.folded for _, one in ended if one.folded), *shown]

    events = tx.number_events(limit, admit)
    queued = False
    for namespace in sorted({each.event.namespace for each in events}):
        own = [each for each in events if each.event.namespace == namespace]
        note_events(tx, namespace, own, now=now)
        for callback in tx.list_callbacks(namespace, _ALL_CALLBACKS).items:
            if callback.spec.events:
                queued |= _queue(tx, callback, own, now)
    return NumberedGroup(events, queued, taken, sum(each.event.count - 1 for each in events))


def _queue(
    tx: Transaction, callback: Callback, events: Sequence[NumberedEvent], now: datetime
) -> bool:
    wanted = types.event_types("events", callback.spec.events)
    chosen = [each for each in events if each.event.type in wanted]
    namespace, name = callback.namespace, callback.name
    if not chosen:
        return False
    room = max(WAITING_LIMIT - tx.callback_outcome(namespace, name).pending, 0)
    if len(chosen) > room:
        error = f"{WAITING_LIMIT} calls wait; later events are dropped"
        tx.record_error(namespace, name, error, now)
    for each in chosen[:room]:
        # The same event is another delivery to another callback.
        identity = f"event-{each.number}-{name}"
        content = types.cloud_event(each)
        tx.put_delivery(
            Delivery(identity, namespace, name, content, now, now, content_type=types.CLOUD_EVENTS)
        )
    return room > 0


def list_events(
    tx: Transaction, wanted: EventFilter, *, limit: int, above: int, after: Place | None
) -> Page[NumberedEvent]:
    """List what happened with a number *above* that; the place *after* is named by a number.

    Expired where what would follow, or was between, is not stored any more.
    """
    limit = min(limit or PAGE_LIMIT, PAGE_LIMIT)
    below = int(after[1]) if after else LAST
    gone = tx.event_range().gone
    if below <= gone + 1:
        raise Expired("continue")
    if FIRST < above < gone:
        raise Expired("since")
    found = tx.newest_events(wanted, above=above, below=below, limit=limit + 1)
    shown, total = found[:limit], tx.count_events(wanted, above=above)
    end = (shown[-1].event.time, str(shown[-1].number)) if len(found) > limit else None
    return Page(shown, total, end)


@dataclass(frozen=True, slots=True)
class Followed:
    """The events after some number, oldest first, complete up to *number*.

    They begin after *begin*: another number where what came in between is not stored any more, or
    where the one that was asked for was never given.
    """

    events: Sequence[NumberedEvent]
    number: int
    begin: int


def follow_events(tx: Transaction, wanted: EventFilter, number: int, *, limit: int) -> Followed:
    """The events after *number*; a number beyond the last stands for the last."""
    kept: EventRange = tx.event_range()
    begin = kept.last if number > kept.last else max(number, kept.gone)
    found = tx.next_events(wanted, above=begin, limit=limit)
    return Followed(found, found[-1].number if len(found) == limit else kept.last, begin)


def prune_events(tx: Transaction, *, keep: int, oldest: datetime) -> int:
    """Forget events from before *oldest* and all but the last *keep*; how many there were.

    PRUNED_AT_A_TIME at most.
    """
    kept = tx.event_range()
    end = max(tx.first_event_since(oldest) - 1, tx.event_beyond(keep))
    end = min(end, kept.gone + PRUNED_AT_A_TIME)
    if end <= kept.gone:
        return 0
    tx.prune_events(end)
    return end - kept.gone

"""Writing the audit log, and reading it.

`carry_out` does something and its entry in one transaction: neither is there without the other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

import msgspec

from cloud.core.audit import (
    DONE,
    SERVER,
    Action,
    Attempt,
    AuditFilter,
    ChainedEntry,
    Entry,
    Head,
    clean,
    kind_of,
)
from cloud.core.changes import difference
from cloud.core.listing import Page, Place
from cloud.core.revisions import REVISIONS_KEPT
from cloud.errors import ActivationDenied, CloudError, Denied, SignInDenied
from cloud.operations.change_tracking import ChangeTracker
from cloud.operations.events import (
    record_change_event,
    record_records_event,
    record_revocation_event,
)
from cloud.operations.plans import guarded
from cloud.operations.revisions import keep_revision
from cloud.operations.rollout_begin import AT_ONCE, RolloutOrder, order_rollouts
from cloud.store.transaction import Transaction

T = TypeVar("T")

PAGE_LIMIT = 500
"""Entries on a page, at most; also where no limit is given."""

PRUNED_AT_A_TIME = 5000
"""Entries forgotten in one transaction, at most."""

_FAR = 2**63 - 1
_WITH_CAUSE = frozenset({Action.NODE_CONNECT, Action.SESSION_CREATE})
"""Actions whose refusals leave out the cause in the answer."""


def carry_out(
    tx: Transaction,
    attempt: Attempt,
    work: Callable[[Transaction], T],
    *,
    named: Callable[[T], str] | None = None,
    revisions_kept: int = REVISIONS_KEPT,
    is_confirmed: bool = False,
    order: RolloutOrder = AT_ONCE,
) -> T:
    """Do *work* and record it in the audit log: what it was done to, before and after.

    ConfirmationRequired where it touches more nodes than the guard of the namespace lets through,
    unless it *is_confirmed*; then the entry states how many it touched.

    It is an event, too, and what has revisions gets another one; the newest *revisions_kept* of a
    thing are stored.

    Rollouts that begin with it follow the *order*.

    Changes of other things than those of the action's kind are counted. Where *work* raises there
    is no entry, as there is no change; see `refuse`. *named* states what the thing is called where
    nothing of the kind was changed.
    """
    attempt = _cleaned(attempt)
    tracker = ChangeTracker(tx, kind_of(attempt.action))
    result, confirmed = guarded(tx, attempt, tracker, work, is_confirmed=is_confirmed)
    if tracker.others["rollout"]:
        who = attempt.actor.name or attempt.actor.kind
        order_rollouts(tx, attempt.namespace, order, who, now=attempt.time)
    changes = tracker.changes()
    for (namespace, *name), was, now in changes:
        keep_revision(tx, attempt, was, now, kept=revisions_kept)
        own = replace(attempt, namespace=namespace, name="/".join(name))
        record_change_event(tx, own, was, now)
    also: dict[str, int] = dict(tracker.others)
    if confirmed:
        also["confirmed"] = confirmed
    if order.is_emergency:
        also["emergency"] = 1
    before = after = ""
    change = changes[0] if len(changes) == 1 else None
    if change is not None:
        (namespace, *name), was, now = change
        attempt = replace(attempt, namespace=namespace, name="/".join(name))
        before, after = difference(was, now)
    elif named is not None:
        attempt = replace(attempt, name=named(result))
    if change is None and tracker.count:
        also[kind_of(attempt.action)] = tracker.count
    if attempt.action == Action.NODE_REVOKE:
        record_revocation_event(tx, attempt, attempt.name)
    if attempt.action == Action.BATCH_GENERATE:
        record_records_event(tx, attempt, tracker.others["record"])
    tx.append_audit(Entry(_cleaned(attempt), DONE, before, after, _json(also)))
    return result


def record_audit(tx: Transaction, attempt: Attempt, *, also: Mapping[str, int | str] = {}) -> None:
    """Record an action that changes nothing here."""
    tx.append_audit(Entry(_cleaned(attempt), DONE, also=_json(also)))


def refuse(tx: Transaction, attempt: Attempt, error: CloudError, *, left_out: int = 0) -> None:
    """Record the refusal, and how many of the like were left out before.

    Where the answer does not contain the cause, the log does.
    """
    also: dict[str, int | str] = {"leftOut": left_out} if left_out else {}
    if isinstance(error, ActivationDenied | SignInDenied):
        also["cause"] = clean(error.cause)
    elif isinstance(error, Denied) and attempt.action in _WITH_CAUSE:
        also["cause"] = clean(error.reason)
    tx.append_audit(Entry(_cleaned(attempt), error.code, also=_json(also)))


def start_log(
    tx: Transaction,
    noted: Head | None,
    *,
    version: str,
    now: datetime,
    new_keys: Sequence[str] = (),
) -> bool:
    """Record the start of the server; return whether the log is all there, up to the head *noted*.

    Where not, a lasting entry records it: the database is an older copy, or was cut.
    *new_keys* are the keys that took the place of lost ones.
    """
    found = None if noted is None else tx.audit_link(noted.number)
    is_whole = noted is None or (
        found.head == noted if found else noted.number <= tx.audit_anchor().head.number
    )
    if noted is not None and not is_whole:
        lost = {"noted": noted.number, "found": tx.audit_head().number}
        record_audit(tx, Attempt(SERVER, Action.LOG_CUT, now), also=lost)
    also: dict[str, int | str] = {"version": version}
    if new_keys:
        also["newKeys"] = ", ".join(new_keys)
    record_audit(tx, Attempt(SERVER, Action.SERVER_START, now), also=also)
    return is_whole


def prune(tx: Transaction, *, keep: int, oldest: datetime, now: datetime) -> int:
    """Forget entries from before *oldest* and all but the last *keep*; how many there were.

    PRUNED_AT_A_TIME at most. Their removal is recorded, and that entry is one of those to *keep*.
    """
    first, last = tx.audit_anchor().head.number, tx.audit_head().number
    end = tx.first_audit_since(oldest) - 1
    if last - first > keep:
        end = max(end, last + 1 - max(keep, 1))
    end = min(end, first + PRUNED_AT_A_TIME)
    if end <= first:
        return 0
    tx.prune_audit(end)
    record_audit(tx, Attempt(SERVER, Action.LOG_PRUNE, now), also={"upTo": end})
    return end - first


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some of the log, newest first, and how far all of it goes."""

    page: Page[ChainedEntry]
    head: Head


def list_entries(
    tx: Transaction, wanted: AuditFilter, *, limit: int, after: Place | None
) -> AuditPage:
    """List what was done; a page begins below the number that the place *after* is named by."""
    limit = min(limit or PAGE_LIMIT, PAGE_LIMIT)
    below = int(after[1]) if after else _FAR
    found = tx.audit_links(wanted, below=below, limit=limit + 1)
    shown, total = found[:limit], tx.count_audit(wanted)
    end = None
    if len(found) > limit:
        end = (shown[-1].entry.attempt.time, str(shown[-1].number))
    return AuditPage(Page(shown, total, end), tx.audit_head())


def _cleaned(attempt: Attempt) -> Attempt:
    return replace(
        attempt,
        namespace=clean(attempt.namespace),
        name=clean(attempt.name),
        address=clean(attempt.address),
        request_id=clean(attempt.request_id),
        reason=clean(attempt.reason),
    )


def _json(counts: Mapping[str, int | str]) -> str:
    return msgspec.json.encode(counts, order="sorted").decode() if counts else ""

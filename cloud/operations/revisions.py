"""Revisions of resources: stored with each change, listed, compared and restored.

`keep_revision` is called for every change that the API makes, in its transaction, by
`operations/audit.py`.
"""

from dataclasses import dataclass
from typing import TypeVar

from cloud.core.audit import Attempt
from cloud.core.entity_tag import Precondition
from cloud.core.kinds import APP
from cloud.core.listing import Page, Place
from cloud.core.resource import Noun, VersionedResource
from cloud.core.revisions import (
    DELETED_KEPT,
    Revised,
    Revision,
    RevisionAction,
    Spec,
    StoredRevision,
    Thing,
    first_revision,
    next_revision,
)
from cloud.errors import Invalid, NotFound, PreconditionFailed, RolloutConflict
from cloud.operations.kinds import KindOperations, Stored, Writing, find_thing
from cloud.store.transaction import Transaction

N = TypeVar("N", bound=Stored)

_FAR = 2**63 - 1


@dataclass(frozen=True, slots=True)
class RevisionPage:
    """Some of the revisions of a thing, newest first; *current* is what it is now, 0: gone."""

    page: Page[Revision]
    current: int


def keep_revision(
    tx: Transaction, attempt: Attempt, was: Noun | None, now: Noun | None, *, kept: int
) -> None:
    """Keep what *attempt* made of a thing, if that is something new, and forget what is too old.

    Of each thing the newest *kept* revisions stay; of those that are deleted the last DELETED_KEPT.
    """
    before, after = _revised(was), _revised(now)
    noun = after or before
    if noun is None:
        return
    thing = Thing(noun.kind.logged_as, noun.namespace, noun.name)
    newest = _newest(tx, thing)
    number = newest.number if newest else 0
    if newest is None and before is not None:
        # A server of the version before has made it, on the same database.
        tx.put_revision(thing, first_revision(before), before.spec)
        number = 1
    revision = next_revision(number, before, after, attempt)
    if revision is None:
        return
    tx.put_revision(thing, revision, after.spec if after else None)
    tx.delete_old_revisions(thing, revision.number - kept)
    if after is None:
        tx.forget_deleted(thing.kind, thing.namespace, DELETED_KEPT)


def list_revisions(
    tx: Transaction, thing: Thing, *, limit: int, after: Place | None
) -> RevisionPage:
    """List the revisions that are stored; NotFound if there is none, and no such thing.

    A page begins below the number that the place *after* is named by; *limit* 0: all of them.
    """
    total = tx.count_revisions(thing)
    if not total and present(tx, thing) is None:
        raise NotFound(thing.kind, thing.name)
    below = int(after[1]) if after else _FAR
    found = tx.revisions(thing, below=below, limit=limit + 1 if limit else total)
    shown = found[:limit] if limit else found
    end = (shown[-1].time, str(shown[-1].number)) if len(shown) < len(found) else None
    return RevisionPage(Page(shown, total, end), current_revision(tx, thing))


def current_revision(tx: Transaction, thing: Thing) -> int:
    """Number of the revision that the thing is now; 0 if it is not there."""
    newest = _newest(tx, thing)
    return 0 if newest is None or newest.action is RevisionAction.DELETE else newest.number


def existing_revision(tx: Transaction, thing: Thing, number: int) -> StoredRevision:
    """One revision; NotFound if it is not stored, or if there is no such thing."""
    found = tx.revision(thing, number)
    if found is None:
        _existing_newest(tx, thing)
        raise NotFound("revision", str(number))
    return found


def two_revisions(
    tx: Transaction, thing: Thing, first: int, second: int
) -> tuple[StoredRevision | None, StoredRevision]:
    """The revisions to compare; 0 is the newest for *second*, the one before that for *first*.

    None where none is stored before it.
    """
    to = existing_revision(tx, thing, second or _existing_newest(tx, thing).number)
    if first:
        return existing_revision(tx, thing, first), to
    return tx.revision(thing, to.revision.number - 1), to


def wanted_spec(tx: Transaction, thing: Thing, number: int) -> Spec:
    """The content of the thing by revision *number*; 0 is the one before the newest.

    Invalid where by that it was not there; RolloutConflict without a number, for an app whose
    rollout has not ended: by that each node returns to its own previous version.
    """
    if not number and thing.kind == APP.logged_as:
        _check_no_rollout(tx, thing)
    newest = _existing_newest(tx, thing).number
    if not number and newest == 1:
        raise Invalid("revision", "is missing, and there is none before the only one there is")
    spec = existing_revision(tx, thing, number or newest - 1).spec
    if spec is None:
        raise Invalid("revision", f"{number or newest - 1} is the one by which it was deleted")
    return spec


def undo(
    tx: Transaction,
    operations: KindOperations[N],
    thing: Thing,
    spec: Spec,
    *,
    writing: Writing,
    precondition: Precondition,
) -> N:
    """Make the thing again what it was, *spec*; what was deleted is created anew.

    All that is checked when it is put is checked.
    """
    before = operations.find(tx, thing.namespace, thing.name)
    where = (tx, thing.namespace, thing.name)
    if before is not None:
        precondition.check(lambda: before)
    elif precondition.if_match is not None:
        raise PreconditionFailed(thing.kind, thing.name)
    put = operations.update if before else operations.create
    return put(*where, spec, writing)


def _check_no_rollout(tx: Transaction, thing: Thing) -> None:
    rollout = tx.newest_rollout(thing.namespace, thing.name)
    if rollout is None or not rollout.state.is_open or present(tx, thing) is None:
        return
    hint = f"roll it back with POST /v1/rollouts/{rollout.name}/rollback, or name a revision"
    raise RolloutConflict(rollout.name, rollout.state.value, "undo", hint)


def present(tx: Transaction, thing: Thing) -> Noun | None:
    """The thing as it is now; None if it is not there."""
    return find_thing(tx, thing.kind, (thing.namespace, thing.name))


def _revised(noun: Noun | None) -> Revised | None:
    return noun if isinstance(noun, VersionedResource) and noun.kind.has_revisions else None


def _newest(tx: Transaction, thing: Thing) -> Revision | None:
    return next(iter(tx.revisions(thing, below=_FAR, limit=1)), None)


def _existing_newest(tx: Transaction, thing: Thing) -> Revision:
    newest = _newest(tx, thing)
    if newest is None:
        raise NotFound(thing.kind, thing.name)
    return newest

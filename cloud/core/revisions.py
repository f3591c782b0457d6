"""Revisions: every state of a resource, with actor, time and reason."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from cloud.core.audit import UNKNOWN, Actor, Attempt
from cloud.core.resource import VersionedResource

REVISIONS_KEPT = 20
"""Revisions of one thing that are stored by default, the newest."""

DELETED_KEPT = 1000
"""Things of one kind and namespace that were deleted and whose revisions are stored, the newest."""

Revised = VersionedResource[Any]
Spec = msgspec.Struct


class RevisionAction(StrEnum):
    """The cause of a state; a thing that was deleted and comes back is created, or an undo."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    UNDO = "undo"


@dataclass(frozen=True, slots=True)
class Thing:
    """The resource of a revision; it may have been deleted.

    *kind* is the word of the audit log.
    """

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of a thing, counted from 1; a name that is given anew goes on counting.

    *version* is the one that the thing got by it, empty where it was deleted.
    """

    number: int
    version: str
    time: datetime
    actor: Actor
    reason: str
    action: RevisionAction


@dataclass(frozen=True, slots=True)
class StoredRevision:
    """A revision with what the thing was; None where it was deleted."""

    revision: Revision
    spec: Spec | None


def first_revision(thing: Revised) -> Revision:
    """The present *thing*, where no revision was stored."""
    return Revision(1, thing.version, thing.updated, UNKNOWN, "", RevisionAction.CREATE)


def next_revision(
    newest: int, before: Revised | None, after: Revised | None, attempt: Attempt
) -> Revision | None:
    """The revision that *attempt* made after *newest*; None if the thing is as it was before.

    An app that is only given a new version, as what it uses has changed, is as it was before.
    """
    if (before and before.spec) == (after and after.spec):
        return None
    return Revision(
        newest + 1,
        after.version if after else "",
        attempt.time,
        attempt.actor,
        attempt.reason,
        _action(before, after, attempt),
    )


def _action(before: Revised | None, after: Revised | None, attempt: Attempt) -> RevisionAction:
    if after is None:
        return RevisionAction.DELETE
    if attempt.action.endswith(".undo"):
        return RevisionAction.UNDO
    return RevisionAction.UPDATE if before else RevisionAction.CREATE

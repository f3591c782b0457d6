"""Revisions of apps, configs, secrets and registries; none is ever changed."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from cloud.core.audit import Actor
from cloud.core.kinds import KINDS, ResourceKind
from cloud.core.revisions import Revision, RevisionAction, Spec, StoredRevision, Thing
from cloud.store.parts.part import (
    TransactionPart,
    first,
)
from cloud.store.rows import ALL, Parameters, Row, document, micros, moment
from cloud.store.sealing import is_plain
from cloud.store.statements import statement

PUT_REVISION = statement(
    """
    INSERT INTO resource_revision (kind, namespace, name, number, version, time,
        actor_kind, actor_name, actor_namespace, reason, action, document)
    VALUES (:kind, :namespace, :name, :number, :version, :time,
        :actor_kind, :actor_name, :actor_namespace, :reason, :action, :document)
    """,
    writes={"resource_revision"},
)
COUNT_REVISIONS = statement(
    """
    SELECT count(*) FROM resource_revision
    WHERE kind = :kind AND namespace = :namespace AND name = :name
    """,
    reads={"resource_revision"},
)
REVISIONS = statement(
    """
    SELECT number, version, time, actor_kind, actor_name, actor_namespace, reason, action
    FROM resource_revision
    WHERE kind = :kind AND namespace = :namespace AND name = :name AND number < :below
    ORDER BY number DESC LIMIT :limit
    """,
    reads={"resource_revision"},
)
REVISION = statement(
    """
    SELECT number, version, time, actor_kind, actor_name, actor_namespace, reason, action, document
    FROM resource_revision
    WHERE kind = :kind AND namespace = :namespace AND name = :name AND number = :number
    """,
    reads={"resource_revision"},
)
DELETE_OLD_REVISIONS = statement(
    """
    DELETE FROM resource_revision
    WHERE kind = :kind AND namespace = :namespace AND name = :name AND number <= :number
    """,
    writes={"resource_revision"},
)
FORGET_DELETED = statement(
    """
    DELETE FROM resource_revision WHERE kind = :kind AND namespace = :namespace AND name IN (
        SELECT gone.name FROM resource_revision AS gone
        WHERE gone.kind = :kind AND gone.namespace = :namespace AND gone.action = 'delete'
            AND NOT {exists} (
                SELECT 1 FROM resource_revision AS later
                WHERE later.kind = gone.kind AND later.namespace = gone.namespace
                    AND later.name = gone.name AND later.number > gone.number
            )
        ORDER BY gone.time DESC, gone.name DESC LIMIT :limit OFFSET :kept
    )
    """,
    writes={"resource_revision"},
)
# For a new key.
SEALED_REVISIONS = statement(
    """
    SELECT kind, namespace, name, number FROM resource_revision WHERE document IS NOT NULL
    """,
    reads={"resource_revision"},
)
RESEAL_REVISION = statement(
    """
    UPDATE resource_revision SET document = :document
    WHERE kind = :kind AND namespace = :namespace AND name = :name AND number = :number
    """,
    writes={"resource_revision"},
)


@cache
def _kind(word: str) -> tuple[ResourceKind, "msgspec.json.Decoder[Any]"]:
    """The kind that the audit log calls *word*, and what reads specs of it."""
    kind = KINDS.logged_as(word)
    if kind is None:
        raise LookupError(word)
    return kind, msgspec.json.Decoder(kind.spec)


class RevisionPart(TransactionPart):
    """Revisions."""

    def put_revision(self, thing: Thing, revision: Revision, spec: Spec | None) -> None:
        """Keep what the thing is from now on; its number is above all there were."""
        row: Parameters = {
            **_key(thing),
            "number": revision.number,
            "version": revision.version,
            "time": micros(revision.time),
            "actor_kind": revision.actor.kind,
            "actor_name": revision.actor.name,
            "actor_namespace": revision.actor.namespace,
            "reason": revision.reason,
            "action": revision.action.value,
            "document": None if spec is None else self._text(thing, spec),
        }
        self._run(PUT_REVISION, row)

    def count_revisions(self, thing: Thing) -> int:
        """How many are stored."""
        count: int = self._run(COUNT_REVISIONS, _key(thing))[0][0]
        return count

    def revisions(self, thing: Thing, *, below: int, limit: int) -> Sequence[Revision]:
        """Up to *limit* with a number *below* that, newest first."""
        page: Parameters = {**_key(thing), "below": below, "limit": limit}
        return [_revision(row) for row in self._run(REVISIONS, page)]

    def revision(self, thing: Thing, number: int) -> StoredRevision | None:
        """Unavailable if it cannot be unsealed with this server's key."""
        found = self._run(REVISION, {**_key(thing), "number": number})
        return first(
            lambda row: StoredRevision(_revision(row[:-1]), self._spec(thing, row[-1])), found
        )

    def delete_old_revisions(self, thing: Thing, number: int) -> None:
        """Forget those of the thing up to *number*."""
        self._run(DELETE_OLD_REVISIONS, {**_key(thing), "number": number})

    def forget_deleted(self, kind: str, namespace: str, kept: int) -> None:
        """Forget all revisions of things that are deleted, but for the last *kept* of them."""
        which: Parameters = {"kind": kind, "namespace": namespace}
        self._run(FORGET_DELETED, {**which, "kept": kept, "limit": ALL})

    def _text(self, thing: Thing, spec: Spec) -> str:
        text = document(spec)
        if not _kind(thing.kind)[0].is_sealed:
            return text
        return self._sealer.seal(text.encode(), thing.kind, thing.namespace, thing.name)

    def _spec(self, thing: Thing, text: str | None) -> Spec | None:
        if text is None:
            return None
        plain: str | bytes = text
        if not is_plain(text):
            plain = self._sealer.unseal(text, thing.kind, thing.namespace, thing.name)
        spec: Spec = _kind(thing.kind)[1].decode(plain)
        return spec


def _key(thing: Thing) -> dict[str, str]:
    return {"kind": thing.kind, "namespace": thing.namespace, "name": thing.name}


def _revision(row: Row) -> Revision:
    number, version, time, kind, actor, namespace, reason, action = row
    made_by = Actor(kind, actor, namespace)
    return Revision(number, version, moment(time), made_by, reason, RevisionAction(action))

"""Revisions of apps, configs, secrets and registries."""
# ruff: noqa: D102  # `revision_interface` says what each method promises

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cloud.core.app import AppSpec
from cloud.core.audit import Actor
from cloud.core.config import ConfigSpec
from cloud.core.registry import RegistrySpec
from cloud.core.revisions import (
    KeptRevision,
    RevisedKind,
    Revision,
    RevisionAction,
    Spec,
    Thing,
)
from cloud.core.secret import SecretSpec
from cloud.store import revision_sql
from cloud.store.parts.part import Part, first
from cloud.store.rows import Parameters, Row, document, micros, moment
from cloud.store.sealing import is_plain
from cloud.store.selection import ALL

_SPECS: Mapping[RevisedKind, msgspec.json.Decoder[Any]] = {
    RevisedKind.APP: msgspec.json.Decoder(AppSpec),
    RevisedKind.CONFIG: msgspec.json.Decoder(ConfigSpec),
    RevisedKind.SECRET: msgspec.json.Decoder(SecretSpec),
    RevisedKind.REGISTRY: msgspec.json.Decoder(RegistrySpec),
}


class RevisionPart(Part):
    """What things were."""

    def put_revision(self, thing: Thing, revision: Revision, spec: Spec | None) -> None:
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
        self._run(revision_sql.PUT_REVISION, row)

    def count_revisions(self, thing: Thing) -> int:
        count: int = self._run(revision_sql.COUNT_REVISIONS, _key(thing))[0][0]
        return count

    def revisions(self, thing: Thing, *, below: int, limit: int) -> Sequence[Revision]:
        page: Parameters = {**_key(thing), "below": below, "limit": limit}
        return [_revision(row) for row in self._run(revision_sql.REVISIONS, page)]

    def revision(self, thing: Thing, number: int) -> KeptRevision | None:
        found = self._run(revision_sql.REVISION, {**_key(thing), "number": number})
        return first(
            lambda row: KeptRevision(_revision(row[:-1]), self._spec(thing, row[-1])), found
        )

    def delete_old_revisions(self, thing: Thing, number: int) -> None:
        self._run(revision_sql.DELETE_OLD_REVISIONS, {**_key(thing), "number": number})

    def forget_deleted(self, kind: RevisedKind, namespace: str, kept: int) -> None:
        which: Parameters = {"kind": kind.value, "namespace": namespace}
        self._run(revision_sql.FORGET_DELETED, {**which, "kept": kept, "limit": ALL})

    def _text(self, thing: Thing, spec: Spec) -> str:
        text = document(spec)
        if thing.kind is RevisedKind.APP:
            return text
        return self._sealer.seal(text.encode(), thing.kind.value, thing.namespace, thing.name)

    def _spec(self, thing: Thing, text: str | None) -> Spec | None:
        if text is None:
            return None
        plain: str | bytes = text
        if not is_plain(text):
            plain = self._sealer.unseal(text, thing.kind.value, thing.namespace, thing.name)
        spec: Spec = _SPECS[thing.kind].decode(plain)
        return spec


def _key(thing: Thing) -> dict[str, str]:
    return {"kind": thing.kind.value, "namespace": thing.namespace, "name": thing.name}


def _revision(row: Row) -> Revision:
    number, version, time, kind, actor, namespace, reason, action = row
    made_by = Actor(kind, actor, namespace)
    return Revision(number, version, moment(time), made_by, reason, RevisionAction(action))

"""An app made again what it was at an earlier version, with all that it used then."""

from dataclasses import replace
from typing import Any

from cloud.core.app import App
from cloud.core.audit import Attempt
from cloud.core.delivery import USED, Used
from cloud.core.kinds import REGISTRY, SECRET, ResourceKind
from cloud.core.listing import ListOptions
from cloud.core.resource import VersionedResource
from cloud.core.revisions import REVISIONS_KEPT
from cloud.errors import InUse, NotFound
from cloud.operations.apps import existing_app, roll_apps
from cloud.operations.audit import carry_out
from cloud.operations.pinned_versions import pin_governed
from cloud.store.transaction import Transaction


def restore_version(
    tx: Transaction,
    namespace: str,
    name: str,
    version: str,
    attempt: Attempt,
    *,
    revisions_kept: int = REVISIONS_KEPT,
) -> App:
    """Make the app, and all that it uses, what they were at *version*, which they get again.

    So nodes that run that version do not change. Other apps that use what is restored get new
    versions. *attempt* states who does it, when and why: of each thing that changes there is an
    entry in the audit log, and a revision. NotFound if the version is not kept, or the app is gone;
    InUse if a name that it uses is taken by something else.
    """
    before, restored = existing_app(tx, namespace, name), tx.pinned_app(namespace, name, version)
    if restored is None:
        raise NotFound("version", version)
    if before.version == version:
        return before
    pin_governed(tx, namespace, [before])
    own = replace(attempt, namespace=namespace)

    def put(thing: VersionedResource[Any]) -> None:
        action = f"{thing.kind.logged_as}.undo"
        carry_out(
            tx,
            replace(own, action=action, name=thing.name),
            lambda tx: _put(tx, thing, name, attempt),
            revisions_kept=revisions_kept,
            is_confirmed=True,
        )

    for (kind, used), at in tx.pinned_uses(namespace, name, version).items():
        thing = _changed(tx, kind, namespace, used, at)
        if thing is not None:
            put(thing)
    after = replace(restored, updated=attempt.time)
    put(after)
    return after


def _changed(
    tx: Transaction, kind: ResourceKind, namespace: str, name: str, version: str
) -> Used | None:
    """The thing at *version*; None where it is that still."""
    if tx.resource_version(kind, namespace, name) == version:
        return None
    other = {SECRET: REGISTRY, REGISTRY: SECRET}.get(kind)
    if other is not None and tx.has_resource(other, namespace, name):
        raise InUse(kind.logged_as, name, f"the {other.logged_as} of that name")
    return tx.pinned_body(USED[kind], namespace, name, version)


def _put(tx: Transaction, thing: VersionedResource[Any], app: str, attempt: Attempt) -> None:
    users: list[App] = []
    if thing.kind.is_used_by_apps:
        found = tx.list_apps_using(thing.namespace, thing.kind, thing.name, ListOptions())
        users = [one for one in found.items if one.name != app]
        pin_governed(tx, thing.namespace, users)
    tx.put_resource(thing)
    roll_apps(tx, thing.namespace, users, now=attempt.time)

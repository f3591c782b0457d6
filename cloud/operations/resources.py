"""Common operations of kinds whose things have versions: create, update, delete, list.

Where apps use things of the kind, a change gives those apps a new version, and what is used stays.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from cloud.core.app import App
from cloud.core.kinds import ResourceKind
from cloud.core.listing import ListOptions, Page
from cloud.core.mask import MASK
from cloud.core.names import check_own_name
from cloud.core.resource import VersionedResource
from cloud.errors import Invalid, NotFound
from cloud.operations.apps import check_unused, roll_apps
from cloud.operations.pinned_versions import pin_governed
from cloud.store.transaction import Transaction

R = TypeVar("R", bound=VersionedResource[Any])
S = TypeVar("S", bound=msgspec.Struct)


def create_resource(
    tx: Transaction,
    noun: type[R],
    namespace: str,
    name: str,
    spec: S,
    *,
    now: datetime,
    check: Callable[[S], S],
) -> R:
    """Add a thing of the type *noun*; Invalid if the name is taken, or by *check*."""
    check_own_name("name", name)
    spec = check(spec)
    if tx.has_resource(noun.kind, namespace, name):
        raise Invalid("name", "this name is already in use")
    thing = noun(namespace, name, spec, tx.next_version(), now, now)
    tx.put_resource(thing)
    return thing


def update_resource(
    tx: Transaction, before: R, spec: msgspec.Struct, *, now: datetime, rolls_apps: bool = True
) -> R:
    """Give *before* another *spec*, which was checked, and with that a new version.

    Every app that uses it gets a new version too, if this *rolls_apps*. The same object where
    nothing changes.
    """
    if spec == before.spec:
        return before
    return renew_resource(tx, replace(before, spec=spec), now=now, rolls_apps=rolls_apps)


def renew_resource(tx: Transaction, thing: R, *, now: datetime, rolls_apps: bool = True) -> R:
    """Store *thing* with a new version, as `update_resource` does."""
    after = replace(thing, version=tx.next_version(), updated=now)
    apps: Sequence[App] = ()
    if rolls_apps and after.kind.is_used_by_apps:
        own = (after.namespace, after.kind, after.name)
        apps = tx.list_apps_using(*own, ListOptions()).items
        pin_governed(tx, after.namespace, apps)
    tx.put_resource(after)
    roll_apps(tx, after.namespace, apps, now=now)
    return after


def delete_resource(tx: Transaction, kind: ResourceKind, namespace: str, name: str) -> None:
    """Remove the thing; InUse while an app uses it."""
    if kind.is_used_by_apps:
        check_unused(tx, namespace, kind, name)
    if not tx.delete_resource(kind, namespace, name):
        raise NotFound(kind.logged_as, name)


def list_resources(tx: Transaction, noun: type[R], namespace: str, options: ListOptions) -> Page[R]:
    """List the things of that type in the namespace."""
    return tx.list_resources(noun, namespace, options)


def existing_resource(tx: Transaction, noun: type[R], namespace: str, name: str) -> R:
    """The thing of that name; NotFound if there is none."""
    found = tx.resource(noun, namespace, name)
    if found is None:
        raise NotFound(noun.kind.logged_as, name)
    return found


def with_kept_values(kind: ResourceKind, spec: S, before: S | None) -> S:
    """*spec* with the values of *before* in the place of those that are masked.

    Of the hidden fields, and of the values of hidden objects, that the *kind* names. Invalid for a
    masked value where none is stored.
    """
    content = msgspec.to_builtins(spec)
    known = {} if before is None else msgspec.to_builtins(before)
    for field in kind.hidden_fields:
        content[field] = _kept(field, content[field], known.get(field))
    for field in kind.hidden_values:
        values = known.get(field, {})
        content[field] = {
            key: _kept(f"{field}.{key}", value, values.get(key))
            for key, value in content[field].items()
        }
    return msgspec.convert(content, type(spec))


def _kept(field: str, value: object, known: object) -> object:
    if value != MASK:
        return value
    if not known:
        raise Invalid(field, "is masked, and no value is stored")
    return known

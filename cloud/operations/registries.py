"""What people do with registries."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import msgspec

from cloud.core.app import App, UseKind
from cloud.core.listing import ListOptions, Page
from cloud.core.registry import Registry, RegistrySpec, checked_registry_spec
from cloud.errors import Invalid, NotFound
from cloud.operations.apps import check_unused, roll_apps_using
from cloud.operations.secrets import check_secret_name_is_free
from cloud.store.transaction import Transaction


class RegistryChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator changes of a registry (contract, "Update Description").

    The description, that is; the other fields may be there as they are.
    """

    description: str = ""
    address: str | None = None
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"RegistryChange(description={self.description!r})"


class NewPassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of "Reset Password"."""

    password: str

    def __repr__(self) -> str:
        return "NewPassword()"


def create_registry(
    tx: Transaction, namespace: str, name: str, spec: RegistrySpec, *, now: datetime
) -> Registry:
    """Add a registry; Invalid if the name is not free."""
    check_secret_name_is_free(tx, namespace, name)
    checked_registry_spec(spec)
    registry = Registry(namespace, name, spec, tx.next_version(), now, now)
    tx.put_registry(registry)
    return registry


def describe_registry(
    tx: Transaction, namespace: str, name: str, change: RegistryChange, *, now: datetime
) -> Registry:
    """Change the description; no app is rolled, since no node gets to see it.

    Invalid for a field that may not change, unless it is there as it was.
    """
    before = existing_registry(tx, namespace, name)
    for field in ("address", "username", "password"):
        given = getattr(change, field)
        if given is not None and given != getattr(before.spec, field):
            raise Invalid(field, "cannot change")
    spec = msgspec.structs.replace(before.spec, description=change.description)
    return _stored(tx, before, spec, now)


def refresh_registry(
    tx: Transaction, namespace: str, name: str, password: str, *, now: datetime
) -> Registry:
    """Take another password; every app that uses the registry gets a new version."""
    before = existing_registry(tx, namespace, name)
    spec = msgspec.structs.replace(before.spec, password=password)
    after = _stored(tx, before, spec, now)
    if after is not before:
        roll_apps_using(tx, namespace, UseKind.REGISTRY, name, now=now)
    return after


def restore_registry(
    tx: Transaction, namespace: str, name: str, spec: RegistrySpec, *, now: datetime
) -> Registry:
    """Take description and password of *spec*; with another password all apps that use it roll.

    Invalid for an address or a user name that is another one: they cannot change.
    """
    before = existing_registry(tx, namespace, name)
    for field in ("address", "username"):
        if getattr(spec, field) != getattr(before.spec, field):
            raise Invalid(field, "cannot change")
    after = _stored(tx, before, spec, now)
    if after.spec.password != before.spec.password:
        roll_apps_using(tx, namespace, UseKind.REGISTRY, name, now=now)
    return after


def _stored(tx: Transaction, before: Registry, spec: RegistrySpec, now: datetime) -> Registry:
    """The registry with *spec*, which makes a new version unless nothing changes."""
    if checked_registry_spec(spec) == before.spec:
        return before
    after = replace(before, spec=spec, version=tx.next_version(), updated=now)
    tx.put_registry(after)
    return after


def delete_registry(tx: Transaction, namespace: str, name: str) -> None:
    """Remove the registry; InUse while an app uses it."""
    check_unused(tx, namespace, UseKind.REGISTRY, name)
    if not tx.delete_registry(namespace, name):
        raise NotFound("registry", name)


def list_registries(tx: Transaction, namespace: str, options: ListOptions) -> Page[Registry]:
    """List the registries of the namespace."""
    return tx.list_registries(namespace, options)


def existing_registry(tx: Transaction, namespace: str, name: str) -> Registry:
    """The registry of that name; NotFound if there is none."""
    registry = tx.registry(namespace, name)
    if registry is None:
        raise NotFound("registry", name)
    return registry


def registry_versions(tx: Transaction, app: App) -> Mapping[str, str]:
    """Current version of each registry that *app* names."""
    found = (tx.registry(app.namespace, ref.name) for ref in app.spec.registries)
    return {registry.name: registry.version for registry in found if registry is not None}

"""Operations of registries."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from cloud.core.app import App
from cloud.core.kinds import REGISTRY
from cloud.core.listing import ListOptions, Page
from cloud.core.registry import Registry, RegistrySpec, checked_registry_spec
from cloud.errors import Invalid
from cloud.operations import resources
from cloud.operations.secrets import check_secret_name_is_free
from cloud.store.transaction import Transaction


class RegistryChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The change of a registry by an operator (contract, "Update Description").

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
    where = (tx, Registry, namespace, name)
    return resources.create_resource(*where, spec, now=now, check=checked_registry_spec)


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
    checked = checked_registry_spec(spec)
    return resources.update_resource(tx, before, checked, now=now, rolls_apps=False)


def refresh_registry(
    tx: Transaction, namespace: str, name: str, password: str, *, now: datetime
) -> Registry:
    """Take another password; every app that uses the registry gets a new version."""
    before = existing_registry(tx, namespace, name)
    spec = msgspec.structs.replace(before.spec, password=password)
    return resources.update_resource(tx, before, checked_registry_spec(spec), now=now)


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
    is_another = spec.password != before.spec.password
    checked = checked_registry_spec(spec)
    return resources.update_resource(tx, before, checked, now=now, rolls_apps=is_another)


def delete_registry(tx: Transaction, namespace: str, name: str) -> None:
    """Remove the registry; InUse while an app uses it."""
    resources.delete_resource(tx, REGISTRY, namespace, name)


def list_registries(tx: Transaction, namespace: str, options: ListOptions) -> Page[Registry]:
    """List the registries of the namespace."""
    return tx.list_resources(Registry, namespace, options)


def existing_registry(tx: Transaction, namespace: str, name: str) -> Registry:
    """The registry of that name; NotFound if there is none."""
    return resources.existing_resource(tx, Registry, namespace, name)


def registry_versions(tx: Transaction, app: App) -> Mapping[str, str]:
    """Current version of each registry that *app* names."""
    found = (tx.registry(app.namespace, ref.name) for ref in app.spec.registries)
    return {registry.name: registry.version for registry in found if registry is not None}

"""Operations of secrets."""

from datetime import datetime

from cloud.core.kinds import REGISTRY, SECRET
from cloud.core.listing import ListOptions, Page
from cloud.core.names import check_own_name
from cloud.core.secret import Secret, SecretSpec, checked_secret_spec
from cloud.errors import Invalid
from cloud.operations import resources
from cloud.store.transaction import Transaction


def create_secret(
    tx: Transaction, namespace: str, name: str, spec: SecretSpec, *, now: datetime
) -> Secret:
    """Add a secret; Invalid if the name is not free."""
    check_secret_name_is_free(tx, namespace, name)
    where = (tx, Secret, namespace, name)
    return resources.create_resource(*where, spec, now=now, check=checked_secret_spec)


def check_secret_name_is_free(tx: Transaction, namespace: str, name: str) -> None:
    """Invalid for no name, or one that is taken; by a registry too: nodes get both as secrets."""
    check_own_name("name", name)
    if any(tx.has_resource(kind, namespace, name) for kind in (SECRET, REGISTRY)):
        raise Invalid("name", "this name is already in use by a secret or a registry")


def update_secret(
    tx: Transaction, namespace: str, name: str, spec: SecretSpec, *, now: datetime
) -> Secret:
    """Describe the secret anew; every app that uses it gets a new version."""
    before = existing_secret(tx, namespace, name)
    return resources.update_resource(tx, before, checked_secret_spec(spec), now=now)


def delete_secret(tx: Transaction, namespace: str, name: str) -> None:
    """Remove the secret; InUse while an app uses it."""
    resources.delete_resource(tx, SECRET, namespace, name)


def list_secrets(tx: Transaction, namespace: str, options: ListOptions) -> Page[Secret]:
    """List the secrets of the namespace."""
    return tx.list_resources(Secret, namespace, options)


def existing_secret(tx: Transaction, namespace: str, name: str) -> Secret:
    """The secret of that name; NotFound if there is none."""
    return resources.existing_resource(tx, Secret, namespace, name)

"""What people do with secrets."""

from dataclasses import replace
from datetime import datetime

from cloud.core.app import UseKind
from cloud.core.listing import ListOptions, Page
from cloud.core.names import check_own_name
from cloud.core.secret import Secret, SecretSpec, checked_secret_spec
from cloud.errors import Invalid, NotFound
from cloud.operations.apps import check_unused, roll_apps_using
from cloud.store.transaction import Transaction


def create_secret(
    tx: Transaction, namespace: str, name: str, spec: SecretSpec, *, now: datetime
) -> Secret:
    """Add a secret; Invalid if the name is not free."""
    check_secret_name_is_free(tx, namespace, name)
    checked_secret_spec(spec)
    secret = Secret(namespace, name, spec, tx.next_version(), now, now)
    tx.put_secret(secret)
    return secret


def check_secret_name_is_free(tx: Transaction, namespace: str, name: str) -> None:
    """Invalid for no name, or one that is taken; by a registry too: nodes get both as secrets."""
    check_own_name("name", name)
    if tx.secret(namespace, name) is not None or tx.registry(namespace, name) is not None:
        raise Invalid("name", "this name is already in use by a secret or a registry")


def update_secret(
    tx: Transaction, namespace: str, name: str, spec: SecretSpec, *, now: datetime
) -> Secret:
    """Describe the secret anew; every app that uses it gets a new version."""
    before = existing_secret(tx, namespace, name)
    checked_secret_spec(spec)
    if spec == before.spec:
        return before
    after = replace(before, spec=spec, version=tx.next_version(), updated=now)
    tx.put_secret(after)
    roll_apps_using(tx, namespace, UseKind.SECRET, name, now=now)
    return after


def delete_secret(tx: Transaction, namespace: str, name: str) -> None:
    """Remove the secret; InUse while an app uses it."""
    check_unused(tx, namespace, UseKind.SECRET, name)
    if not tx.delete_secret(namespace, name):
        raise NotFound("secret", name)


def list_secrets(tx: Transaction, namespace: str, options: ListOptions) -> Page[Secret]:
    """List the secrets of the namespace."""
    return tx.list_secrets(namespace, options)


def existing_secret(tx: Transaction, namespace: str, name: str) -> Secret:
    """The secret of that name; NotFound if there is none."""
    secret = tx.secret(namespace, name)
    if secret is None:
        raise NotFound("secret", name)
    return secret

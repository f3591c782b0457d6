"""What people do with configs."""

from dataclasses import replace
from datetime import datetime

from cloud.core.app import UseKind
from cloud.core.config import Config, ConfigSpec, checked_config_spec, unmasked_config_spec
from cloud.core.listing import ListOptions, Page
from cloud.core.names import check_own_name
from cloud.errors import Invalid, NotFound
from cloud.operations.apps import check_unused, roll_apps_using
from cloud.store.transaction import Transaction


def create_config(
    tx: Transaction, namespace: str, name: str, spec: ConfigSpec, *, now: datetime
) -> Config:
    """Add a config; Invalid if the name is taken."""
    check_own_name("name", name)
    checked_config_spec(spec)
    if tx.config(namespace, name) is not None:
        raise Invalid("name", "this name is already in use")
    config = Config(namespace, name, spec, tx.next_version(), now, now)
    tx.put_config(config)
    return config


def update_config(
    tx: Transaction, namespace: str, name: str, spec: ConfigSpec, *, now: datetime
) -> Config:
    """Describe the config anew; every app that uses it gets a new version.

    A masked secret key stands for the one that is stored.
    """
    before = existing_config(tx, namespace, name)
    spec = checked_config_spec(unmasked_config_spec(spec, before.spec))
    if spec == before.spec:
        return before
    after = replace(before, spec=spec, version=tx.next_version(), updated=now)
    tx.put_config(after)
    roll_apps_using(tx, namespace, UseKind.CONFIG, name, now=now)
    return after


def delete_config(tx: Transaction, namespace: str, name: str) -> None:
    """Remove the config; InUse while an app uses it."""
    check_unused(tx, namespace, UseKind.CONFIG, name)
    if not tx.delete_config(namespace, name):
        raise NotFound("config", name)


def list_configs(tx: Transaction, namespace: str, options: ListOptions) -> Page[Config]:
    """List the configs of the namespace."""
    return tx.list_configs(namespace, options)


def existing_config(tx: Transaction, namespace: str, name: str) -> Config:
    """The config of that name; NotFound if there is none."""
    config = tx.config(namespace, name)
    if config is None:
        raise NotFound("config", name)
    return config

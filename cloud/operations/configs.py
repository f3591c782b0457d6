"""Operations of configs."""

from datetime import datetime

from cloud.core.config import Config, ConfigSpec, checked_config_spec, unmasked_config_spec
from cloud.core.kinds import CONFIG
from cloud.core.listing import ListOptions, Page
from cloud.operations import resources
from cloud.store.transaction import Transaction


def create_config(
    tx: Transaction, namespace: str, name: str, spec: ConfigSpec, *, now: datetime
) -> Config:
    """Add a config; Invalid if the name is taken."""
    where = (tx, Config, namespace, name)
    return resources.create_resource(*where, spec, now=now, check=checked_config_spec)


def update_config(
    tx: Transaction, namespace: str, name: str, spec: ConfigSpec, *, now: datetime
) -> Config:
    """Describe the config anew; every app that uses it gets a new version.

    A masked secret key stands for the one that is stored.
    """
    before = existing_config(tx, namespace, name)
    spec = checked_config_spec(unmasked_config_spec(spec, before.spec))
    return resources.update_resource(tx, before, spec, now=now)


def delete_config(tx: Transaction, namespace: str, name: str) -> None:
    """Remove the config; InUse while an app uses it."""
    resources.delete_resource(tx, CONFIG, namespace, name)


def list_configs(tx: Transaction, namespace: str, options: ListOptions) -> Page[Config]:
    """List the configs of the namespace."""
    return tx.list_resources(Config, namespace, options)


def existing_config(tx: Transaction, namespace: str, name: str) -> Config:
    """The config of that name; NotFound if there is none."""
    return resources.existing_resource(tx, Config, namespace, name)

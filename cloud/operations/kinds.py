"""The operations of each kind that has revisions, and how each thing is looked up."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from cloud.core.app import App
from cloud.core.changes import Noun
from cloud.core.config import Config
from cloud.core.kinds import APP, CONFIG, REGISTRY, SECRET, ResourceKind
from cloud.core.listing import ListOptions, Page
from cloud.core.registry import Registry
from cloud.core.revisions import Revised
from cloud.core.secret import Secret
from cloud.errors import NotFound
from cloud.operations import apps, configs, registries, secrets
from cloud.store.transaction import Transaction

N = TypeVar("N", bound=Revised)
N_co = TypeVar("N_co", covariant=True)


class Put(Protocol[N_co]):
    """Makes the thing *name* match *spec*; *runtimes* maps runtimes to images."""

    def __call__(  # noqa: D102
        self,
        tx: Transaction,
        namespace: str,
        name: str,
        spec: Any,
        /,
        *,
        now: datetime,
        runtimes: Mapping[str, str],
    ) -> N_co: ...


@dataclass(frozen=True, slots=True)
class KindOperations(Generic[N]):
    """What can be done with things of a *kind*; *noun* is the type of one.

    *restore* takes a spec that a thing of that name has had, as `update` takes a new one.
    """

    kind: ResourceKind
    noun: type[N]
    find: Callable[[Transaction, str, str], N | None]
    list: Callable[[Transaction, str, ListOptions], Page[N]]
    create: Put[N]
    restore: Put[N]
    delete: Callable[[Transaction, str, str], object]

    def existing(self, tx: Transaction, namespace: str, name: str) -> N:
        """The thing of that name; NotFound if there is none."""
        found = self.find(tx, namespace, name)
        if found is None:
            raise NotFound(self.kind.logged_as, name)
        return found


def without_runtimes(put: Callable[..., N]) -> Put[N]:
    """*put* for kinds that run nothing."""

    def put_spec(
        tx: Transaction,
        namespace: str,
        name: str,
        spec: Any,
        /,
        *,
        now: datetime,
        runtimes: Mapping[str, str],
    ) -> N:
        return put(tx, namespace, name, spec, now=now)

    return put_spec


APPS = KindOperations(
    APP,
    App,
    lambda tx, namespace, name: tx.app(namespace, name),
    apps.list_apps,
    apps.create_app,
    apps.update_app,
    apps.delete_app,
)
CONFIGS = KindOperations(
    CONFIG,
    Config,
    lambda tx, namespace, name: tx.config(namespace, name),
    configs.list_configs,
    without_runtimes(configs.create_config),
    without_runtimes(configs.update_config),
    configs.delete_config,
)
SECRETS = KindOperations(
    SECRET,
    Secret,
    lambda tx, namespace, name: tx.secret(namespace, name),
    secrets.list_secrets,
    without_runtimes(secrets.create_secret),
    without_runtimes(secrets.update_secret),
    secrets.delete_secret,
)
REGISTRIES = KindOperations(
    REGISTRY,
    Registry,
    lambda tx, namespace, name: tx.registry(namespace, name),
    registries.list_registries,
    without_runtimes(registries.create_registry),
    without_runtimes(registries.restore_registry),
    registries.delete_registry,
)

OPERATIONS: Mapping[str, KindOperations[Any]] = {
    one.kind.logged_as: one for one in (APPS, CONFIGS, SECRETS, REGISTRIES)
}
"""By the word of the audit log: of every kind that has revisions."""

Key = tuple[str, ...]
"""Namespace and name of a thing, and what else it is found by."""


def find_thing(tx: Transaction, kind: str, key: Key) -> Noun | None:
    """The thing of the *kind*, as the audit log calls it; None if it is not there."""
    if kind in OPERATIONS:
        found: Noun | None = OPERATIONS[kind].find(tx, *key)
        return found
    find = _FINDERS.get(kind)
    return None if find is None else find(tx, key)


def can_be_found(kind: str) -> bool:
    """Return whether `find_thing` knows the *kind*."""
    return kind in OPERATIONS or kind in _FINDERS


def _token(tx: Transaction, key: Key) -> Noun | None:
    namespace, name = key
    return next((token for token in tx.api_tokens(namespace) if token.name == name), None)


_FINDERS: Mapping[str, Callable[[Transaction, Key], Noun | None]] = {
    "node": lambda tx, key: tx.node(*key),
    "properties": lambda tx, key: tx.properties(*key),
    "guard": lambda tx, key: tx.guard(key[0]),
    "sysapps": lambda tx, key: tx.system_apps(key[0]),
    "batch": lambda tx, key: tx.batch(*key),
    "record": lambda tx, key: tx.record(*key),
    "callback": lambda tx, key: tx.callback(*key),
    "command": lambda tx, key: tx.command(*key),
    "token": _token,
}

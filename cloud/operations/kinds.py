"""The operations of each kind, and how each thing is looked up."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from cloud.core.app import App
from cloud.core.batch import Batch
from cloud.core.callback import Callback
from cloud.core.channel import NotificationChannel
from cloud.core.config import Config
from cloud.core.custom_role import CustomRole, checked_role_spec
from cloud.core.kinds import KINDS, ResourceKind
from cloud.core.listing import ListOptions, NumberedPage, Page
from cloud.core.node import Node
from cloud.core.notification_rule import NotificationRule
from cloud.core.registry import Registry
from cloud.core.resource import Noun, UnversionedResource, VersionedResource
from cloud.core.rollout_policy import RolloutPolicy, checked_policy_spec
from cloud.core.secret import Secret
from cloud.errors import NotFound
from cloud.operations import (
    apps,
    batches,
    callbacks,
    channels,
    configs,
    custom_roles,
    nodes,
    notifications,
    registries,
    resources,
    secrets,
)
from cloud.store.transaction import Transaction

Stored = VersionedResource[Any] | UnversionedResource[Any] | Node
N = TypeVar("N", bound=Stored)
N_co = TypeVar("N_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Writing:
    """The inputs of a change beside the spec: its moment, images of *runtimes*, random words."""

    now: datetime
    new_id: Callable[[], str]
    new_token: Callable[[], str]
    runtimes: Mapping[str, str]


class Put(Protocol[N_co]):
    """Makes the thing *name* match *spec*."""

    def __call__(  # noqa: D102
        self, tx: Transaction, namespace: str, name: str, spec: Any, writing: Writing, /
    ) -> N_co: ...


@dataclass(frozen=True, slots=True)
class KindOperations(Generic[N]):
    """The operations of things of the type *noun*.

    *list* takes what the kind's lists are paged by: ListOptions or PageOptions. *update* takes what
    an operator may change, for most kinds another spec; it also brings back a spec that a thing
    of that name has had.
    """

    noun: type[N]
    list: Callable[[Transaction, str, Any], Page[Any] | NumberedPage[Any]]
    create: Put[N]
    update: Put[N]
    delete: Callable[[Transaction, str, str, Writing], object]

    @property
    def kind(self) -> ResourceKind:
        """The kind that this is about."""
        return self.noun.kind

    def find(self, tx: Transaction, namespace: str, name: str) -> N | None:
        """The thing of that name; None if there is none."""
        found: N | None
        if issubclass(self.noun, VersionedResource):
            found = tx.resource(self.noun, namespace, name)
        else:
            found = getattr(tx, self.kind.method_word)(namespace, name)
        return found

    def existing(self, tx: Transaction, namespace: str, name: str) -> N:
        """The same; NotFound if there is none."""
        found = self.find(tx, namespace, name)
        if found is None:
            raise NotFound(self.kind.logged_as, name)
        return found


R = TypeVar("R", bound=VersionedResource[Any])


def versioned_operations(noun: type[R], check: Callable[[Any], Any]) -> KindOperations[R]:
    """Operations of a kind that has no rules beside those of its spec, which *check* refuses by.

    A masked value of what is hidden stands for the one that is stored.
    """
    kind = noun.kind

    def list_all(tx: Transaction, namespace: str, options: ListOptions) -> Page[R]:
        return tx.list_resources(noun, namespace, options)

    def create(tx: Transaction, namespace: str, name: str, spec: Any, writing: Writing, /) -> R:
        where = (tx, noun, namespace, name)
        given = resources.with_kept_values(kind, spec, None)
        return resources.create_resource(*where, given, now=writing.now, check=check)

    def update(tx: Transaction, namespace: str, name: str, spec: Any, writing: Writing, /) -> R:
        before = resources.existing_resource(tx, noun, namespace, name)
        checked = check(resources.with_kept_values(kind, spec, before.spec))
        return resources.update_resource(tx, before, checked, now=writing.now)

    def delete(tx: Transaction, namespace: str, name: str, writing: Writing, /) -> None:
        resources.delete_resource(tx, kind, namespace, name)

    return KindOperations(noun, list_all, create, update, delete)


def _at_once(operation: Callable[..., Any], *needs: str) -> Callable[..., Any]:
    """*operation*, which takes the moment and, by name, what else it *needs* of a `Writing`."""
    names = ("now", *needs)
    return lambda *where: operation(*where[:-1], **{one: getattr(where[-1], one) for one in names})


def _timeless(operation: Callable[..., Any]) -> Callable[..., Any]:
    """*operation*, of which not even that matters."""
    return lambda *where: operation(*where[:-1])


APPS = KindOperations(
    App,
    apps.list_apps,
    _at_once(apps.create_app, "runtimes"),
    _at_once(apps.update_app, "runtimes"),
    _timeless(apps.delete_app),
)
CONFIGS = KindOperations(
    Config,
    configs.list_configs,
    _at_once(configs.create_config),
    _at_once(configs.update_config),
    _timeless(configs.delete_config),
)
SECRETS = KindOperations(
    Secret,
    secrets.list_secrets,
    _at_once(secrets.create_secret),
    _at_once(secrets.update_secret),
    _timeless(secrets.delete_secret),
)
REGISTRIES = KindOperations(
    Registry,
    registries.list_registries,
    _at_once(registries.create_registry),
    _at_once(registries.restore_registry),
    _timeless(registries.delete_registry),
)
BATCHES = KindOperations(
    Batch,
    batches.list_batches,
    _at_once(batches.create_batch, "new_id"),
    _at_once(batches.update_batch),
    _timeless(batches.delete_batch),
)
CALLBACKS = KindOperations(
    Callback,
    callbacks.list_callbacks,
    _at_once(callbacks.create_callback, "new_token"),
    _at_once(callbacks.update_callback),
    _timeless(callbacks.delete_callback),
)
CHANNELS = KindOperations(
    NotificationChannel,
    channels.list_channels,
    _at_once(channels.create_channel, "new_token"),
    _at_once(channels.update_channel),
    _timeless(channels.delete_channel),
)
NOTIFICATION_RULES = KindOperations(
    NotificationRule,
    notifications.list_rules,
    _at_once(notifications.create_rule),
    _at_once(notifications.update_rule),
    _timeless(notifications.delete_rule),
)
NODES = KindOperations(
    Node,
    nodes.list_nodes,
    lambda tx, namespace, name, spec, writing: (
        nodes.create_node(tx, namespace, name, spec, now=writing.now).node
    ),
    lambda tx, namespace, name, spec, writing: (
        nodes.update_node(tx, namespace, name, spec, now=writing.now).node
    ),
    _at_once(nodes.delete_node),
)

ROLES = replace(
    versioned_operations(CustomRole, checked_role_spec),
    create=_at_once(custom_roles.create_role),
    delete=_timeless(custom_roles.delete_role),
)
ROLLOUT_POLICIES = versioned_operations(RolloutPolicy, checked_policy_spec)

_OPERATIONS: dict[str, KindOperations[Any]] = {}


def register_operations(operations: KindOperations[Any]) -> None:
    """Let things of a kind be found, compared and brought back."""
    _OPERATIONS[operations.kind.logged_as] = operations


for _operations in (
    APPS,
    CONFIGS,
    SECRETS,
    REGISTRIES,
    BATCHES,
    CALLBACKS,
    CHANNELS,
    NOTIFICATION_RULES,
    NODES,
    ROLES,
    ROLLOUT_POLICIES,
):
    register_operations(_operations)

Key = tuple[str, ...]
"""Namespace and name of a thing, and what else it is found by."""


def find_thing(tx: Transaction, kind: str, key: Key) -> Noun | None:
    """The thing of the *kind*, as the audit log calls it; None if it is not there."""
    found: Noun | None = None
    if kind in _OPERATIONS:
        found = _OPERATIONS[kind].find(tx, *key)
    elif kind == "token":
        namespace, name = key
        found = next((token for token in tx.api_tokens(namespace) if token.name == name), None)
    elif kind == "user":
        found = tx.local_user(key[-1])
    elif can_be_found(kind):
        known = KINDS.logged_as(kind)
        if known is not None and known.is_single:
            key = key[:1]
        found = getattr(tx, known.method_word if known else kind)(*key)
    return found


def can_be_found(kind: str) -> bool:
    """Return whether `find_thing` knows the *kind*."""
    return kind in _OTHERS or KINDS.logged_as(kind) is not None


_OTHERS = frozenset({"properties", "command", "token", "user", "rollout"})
"""Things of no kind whose changes the audit log describes."""

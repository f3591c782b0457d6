"""The bodies that a node requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from cloud.core.app import App, uses_of
from cloud.core.config import Config
from cloud.core.decoding import convert
from cloud.core.delivery import app_value, config_value, registry_value, secret_value
from cloud.core.encryption_key import (
    SEALED_IF_POSSIBLE,
    WITHHELD_WORDS,
    SealingPolicy,
    SecretDelivery,
)
from cloud.core.functions import function_configs
from cloud.core.kinds import CONFIG, REGISTRY, SECRET, ResourceKind
from cloud.core.names import split_node_id
from cloud.core.node import Node
from cloud.core.objects import Presign
from cloud.core.registry import Registry
from cloud.core.secret import Secret
from cloud.core.system_apps import is_system
from cloud.errors import Forbidden, Invalid, NotFound, SecretsUnread, UnreadSecret
from cloud.operations.desired_apps import desired_apps
from cloud.operations.encryption_keys import sealed_body
from cloud.operations.offers import offered_apps
from cloud.operations.secret_sources import ValuesOf, delivered_secret, reads_nothing
from cloud.operations.system_apps import system_parts
from cloud.store.parts.pinned_versions import Uses
from cloud.store.transaction import Transaction

R = TypeVar("R", Config, Secret, Registry)

INFO_LIMIT = 1000
"""Bodies in one request: stock agents ask for all their apps in one."""

ANSWER_LIMIT = 8 * 1024 * 1024
"""Bytes of all bodies in one answer, as JSON, by default."""


class InfoKind(StrEnum):
    """The kinds of bodies; agents use either word for the same."""

    APPLICATION = "application"
    APP = "app"
    CONFIGURATION = "configuration"
    CONFIG = "config"
    SECRET = "secret"  # noqa: S105


class Info(msgspec.Struct, frozen=True):
    """One body asked for; the version is the one that was sent to the node, and only echoed."""

    kind: InfoKind
    name: str
    version: str = ""

    @property
    def body(self) -> tuple[InfoKind, str]:
        """The kind and name that it requests, whichever word it uses for the kind."""
        return _SAME.get(self.kind, self.kind), self.name


_SAME = {InfoKind.APP: InfoKind.APPLICATION, InfoKind.CONFIG: InfoKind.CONFIGURATION}
_USED_KINDS: Mapping[InfoKind, Sequence[ResourceKind]] = {
    InfoKind.CONFIGURATION: (CONFIG,),
    InfoKind.SECRET: (SECRET, REGISTRY),
}


class _DesireContent(msgspec.Struct, frozen=True):
    infos: tuple[Info, ...]


def read_infos(content: Any) -> Sequence[Info]:
    """Check *content*, the plain data of a desire message; Invalid names the field."""
    infos = convert(content, _DesireContent, under="content").infos
    if len(infos) > INFO_LIMIT:
        raise Invalid("content.infos", f"{len(infos)} of them, more than {INFO_LIMIT}")
    return infos


@dataclass(frozen=True, slots=True)
class Bodies:
    """The response to a desire, and its *size* in bytes as JSON."""

    content: dict[str, Any]
    size: int


def deliver(
    tx: Transaction,
    node_id: str,
    infos: Sequence[Info],
    *,
    presign: Presign,
    limit: int = ANSWER_LIMIT,
    policy: SealingPolicy = SEALED_IF_POSSIBLE,
    values_of: ValuesOf = reads_nothing,
) -> Bodies:
    """Bodies for *infos*, in their order, each once and at the version that the node should have.

    That is the present one, unless the node is to run an older version of an app that uses it; the
    version of an info matters only where its apps use several.

    Invalid names the first one with which they have more than *limit* bytes. NotFound for the whole
    request if one of them is not there or not for this node: a node gets the apps it should run,
    and the configs, secrets and registries those use, and nothing else. *presign* makes the URLs by
    which the node gets what lies in object stores.

    Secrets and registries are sealed to the encryption key of the node. Forbidden for the whole
    request if one has to be, by *policy*, and the node has no key.

    Values of secrets that have sources are from *values_of*. SecretsUnread names all secrets whose
    values have to be read first; SecretUnreadable one whose values cannot be read now.
    """
    namespace, name = split_node_id(node_id)
    node = tx.node(namespace, name)
    if node is None:
        raise NotFound("node", name)
    system, parts = system_parts(tx, node)
    wanted, offered = [*desired_apps(tx, node), *system], offered_apps(tx, namespace, name)
    made = [*(config for app in wanted for config in function_configs(app)), *parts]
    later = [config for app in offered for config in function_configs(app)]
    bodies = _Bodies(
        tx,
        namespace,
        {app.name: app for app in wanted},
        {(app.name, app.version): app for app in offered},
        _versions_used(tx, [*wanted, *offered]),
        {config.name: config for config in [*later, *made]},
        {(config.name, config.version): config for config in later},
        presign,
        _Sealing(tx, node, policy),
        values_of,
    )
    values, size, seen = [], 0, set()
    unread: list[UnreadSecret] = []
    for index, info in enumerate(infos):
        key = (*info.body, bodies.chosen(info))
        if key in seen:
            continue
        seen.add(key)
        try:
            value = bodies.value(info)
        except SecretsUnread as error:
            unread.extend(error.secrets)
            continue
        size += len(msgspec.json.encode(value))
        if size > limit:
            reason = (
                f"with the {info.kind.value} {info.name[:80]!r} the answer has {size} bytes, more"
                f" than {limit}"
            )
            raise Invalid(f"content.infos[{index}]", reason)
        values.append(value)
    if unread:
        raise SecretsUnread(*unread)
    return Bodies({"values": values}, size)


_PRESENT = ""
"""Stands for the version of what is stored now."""

_CONFIG_KINDS = frozenset({InfoKind.CONFIGURATION, InfoKind.CONFIG})
_APP_KINDS = frozenset({InfoKind.APPLICATION, InfoKind.APP})

_Used = Mapping[tuple[ResourceKind, str], Sequence[str]]
"""The versions of what the apps of a node use; more than one where they differ in it."""


def _versions_used(tx: Transaction, apps: Sequence[App]) -> _Used:
    used: dict[tuple[ResourceKind, str], list[str]] = {}
    for app in apps:
        pinned = _pinned_uses(tx, app)
        for use in uses_of(app.spec):
            versions = used.setdefault((use.kind, use.name), [])
            version = pinned.get((use.kind, use.name), _PRESENT)
            if version not in versions:
                versions.append(version)
    return used


def _pinned_uses(tx: Transaction, app: App) -> Uses:
    """What *app* uses at that version, where that was replaced or restored; else empty."""
    if app.name not in tx.catalog(app.namespace).governed:
        return {}
    return tx.pinned_uses(app.namespace, app.name, app.version)


@dataclass(frozen=True, slots=True)
class _Sealing:
    """How secrets of *node* leave."""

    tx: Transaction
    node: Node
    policy: SealingPolicy

    def sealed(self, body: dict[str, Any]) -> dict[str, Any]:
        """The *body* of a secret or registry as it is sent; Forbidden if it is withheld."""
        node = self.node
        key = self.tx.encryption_key(node.namespace, node.name)
        if key is not None:
            return sealed_body(node.id, key, body)
        if self.policy.delivery(node.namespace, key) is SecretDelivery.WITHHELD:
            raise Forbidden(f"{body['name'][:80]} is withheld: {WITHHELD_WORDS}")
        return body


@dataclass(frozen=True, slots=True)
class _Bodies:
    """The bodies for one node: *apps* by name, what those use, and the configs made from them.

    *offered* and *offered_parts*, by name and version, are of versions that it is only offered.
    """

    tx: Transaction
    namespace: str
    apps: Mapping[str, App]
    offered: Mapping[tuple[str, str], App]
    used: _Used
    parts: Mapping[str, Config]
    offered_parts: Mapping[tuple[str, str], Config]
    presign: Presign
    sealing: "_Sealing"
    values_of: ValuesOf

    def chosen(self, info: Info) -> str:
        """The version that *info* asks for, where the node's apps use several."""
        key = info.name, info.version
        if info.kind in _APP_KINDS and key in self.offered:
            return info.version
        if info.kind in _CONFIG_KINDS and key in self.offered_parts:
            return info.version
        kinds = _USED_KINDS.get(info.body[0], ())
        used = [self.used.get((kind, info.name), ()) for kind in kinds]
        return info.version if any(len(versions) > 1 for versions in used) else _PRESENT

    def value(self, info: Info) -> dict[str, Any]:
        """One entry of the answer; NotFound if the node may not have it."""
        body: Mapping[str, Any] | None
        match info.kind:
            case InfoKind.APPLICATION | InfoKind.APP:
                body = self._app(info)
            case InfoKind.CONFIGURATION | InfoKind.CONFIG:
                body = self._config(info)
            case InfoKind.SECRET:
                body = self._secret(info) or self._registry(info)
        if body is None:
            raise NotFound(info.kind.value, info.name)
        kind, name, version = info.kind.value, info.name, body["version"]
        return {"kind": kind, "name": name, "version": version, "value": body}

    def _app(self, info: Info) -> dict[str, Any] | None:
        app = self.offered.get((info.name, info.version)) or self.apps.get(info.name)
        if app is None:
            return None
        pinned = _pinned_uses(self.tx, app)
        made = {config.name: config.version for config in function_configs(app)}

        def version_of(kind: ResourceKind, name: str) -> str:
            if kind is CONFIG and name in made:
                return made[name]
            if kind is CONFIG and name in self.parts:
                return self.parts[name].version
            own = pinned.get((kind, name))
            return own or self.tx.resource_version(kind, self.namespace, name)

        body = app_value(app, version_of)
        return {**body, "system": True} if is_system(info.name) else body

    def _config(self, info: Info) -> dict[str, Any] | None:
        own = self.offered_parts.get((info.name, info.version)) or self.parts.get(info.name)
        config = own or self._find(Config, info)
        return config_value(config, self.presign) if config else None

    def _secret(self, info: Info) -> dict[str, Any] | None:
        secret = self._find(Secret, info)
        if secret is None:
            return None
        whole = delivered_secret(self.tx, secret, self.values_of)
        return self.sealing.sealed(secret_value(whole))

    def _registry(self, info: Info) -> dict[str, Any] | None:
        registry = self._find(Registry, info)
        return self.sealing.sealed(registry_value(registry)) if registry else None

    def _find(self, noun: type[R], info: Info) -> R | None:
        """What *info* asks for: of several versions the one it names, else the first."""
        versions = self.used.get((noun.kind, info.name))
        if not versions:
            return None
        present = self.tx.resource_version(noun.kind, self.namespace, info.name)
        known = {version or present: version for version in versions}
        version = known.get(info.version, versions[0])
        if version == _PRESENT:
            return self.tx.resource(noun, self.namespace, info.name)
        return self.tx.pinned_body(noun, self.namespace, info.name, version)

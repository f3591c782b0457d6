"""The bodies that a node requests."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from cloud.core.app import App, uses_of
from cloud.core.config import Config
from cloud.core.decoding import convert
from cloud.core.delivery import app_value, config_value, registry_value, secret_value
from cloud.core.functions import function_configs
from cloud.core.kinds import CONFIG, ResourceKind
from cloud.core.names import split_node_id
from cloud.core.objects import Presign
from cloud.core.registry import Registry
from cloud.core.secret import Secret
from cloud.core.system_apps import is_system
from cloud.errors import Invalid, NotFound
from cloud.operations.system_apps import system_parts
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
) -> Bodies:
    """Bodies for *infos*, in their order, each once and at its current version.

    Invalid names the first one with which they have more than *limit* bytes. NotFound for the whole
    request if one of them is not there or not for this node: a node gets the apps it should run,
    and the configs, secrets and registries those use, and nothing else. *presign* makes the URLs by
    which the node gets what lies in object stores.
    """
    namespace, name = split_node_id(node_id)
    node = tx.node(namespace, name)
    if node is None:
        raise NotFound("node", name)
    catalog = tx.catalog(namespace)
    system, parts = system_parts(tx, node)
    wanted = [catalog.apps[app.name] for app in catalog.desired_state(node.labels).apps]
    wanted.extend(system)
    bodies = _Bodies(
        tx,
        namespace,
        {app.name: app for app in wanted},
        {(use.kind, use.name) for app in wanted for use in uses_of(app.spec)},
        {config.name: config for app in wanted for config in function_configs(app)}
        | {config.name: config for config in parts},
        presign,
    )
    values, size, seen = [], 0, set()
    for index, info in enumerate(infos):
        if info.body in seen:
            continue
        seen.add(info.body)
        value = bodies.value(info)
        size += len(msgspec.json.encode(value))
        if size > limit:
            reason = (
                f"with the {info.kind.value} {info.name[:80]!r} the answer has {size} bytes, more"
                f" than {limit}"
            )
            raise Invalid(f"content.infos[{index}]", reason)
        values.append(value)
    return Bodies({"values": values}, size)


@dataclass(frozen=True, slots=True)
class _Bodies:
    """The bodies for one node: *apps* by name, what those use, and the configs made from them."""

    tx: Transaction
    namespace: str
    apps: Mapping[str, App]
    used: Set[tuple[ResourceKind, str]]
    parts: Mapping[str, Config]
    presign: Presign

    def value(self, info: Info) -> dict[str, Any]:
        """One entry of the answer; NotFound if the node may not have it."""
        body: Mapping[str, Any] | None
        match info.kind:
            case InfoKind.APPLICATION | InfoKind.APP:
                body = self._app(info.name)
            case InfoKind.CONFIGURATION | InfoKind.CONFIG:
                body = self._config(info.name)
            case InfoKind.SECRET:
                body = self._secret(info.name) or self._registry(info.name)
        if body is None:
            raise NotFound(info.kind.value, info.name)
        kind, name, version = info.kind.value, info.name, body["version"]
        return {"kind": kind, "name": name, "version": version, "value": body}

    def _app(self, name: str) -> dict[str, Any] | None:
        app = self.apps.get(name)
        if app is None:
            return None
        body = app_value(app, self._version_of)
        return {**body, "system": True} if is_system(name) else body

    def _config(self, name: str) -> dict[str, Any] | None:
        config = self.parts.get(name) or self._find(Config, name)
        return config_value(config, self.presign) if config else None

    def _secret(self, name: str) -> dict[str, Any] | None:
        secret = self._find(Secret, name)
        return secret_value(secret) if secret else None

    def _registry(self, name: str) -> dict[str, Any] | None:
        registry = self._find(Registry, name)
        return registry_value(registry) if registry else None

    def _find(self, noun: type[R], name: str) -> R | None:
        is_used = (noun.kind, name) in self.used
        return self.tx.resource(noun, self.namespace, name) if is_used else None

    def _version_of(self, kind: ResourceKind, name: str) -> str:
        if kind is CONFIG and name in self.parts:
            return self.parts[name].version
        return self.tx.resource_version(kind, self.namespace, name)

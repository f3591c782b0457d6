"""The bodies a node asks for."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from cloud.core.app import UseKind, uses_of
from cloud.core.decoding import convert
from cloud.core.delivery import app_value, config_value, secret_value
from cloud.core.names import split_node_id
from cloud.errors import Invalid, NotFound
from cloud.store.interface import Transaction

INFO_LIMIT = 100
"""Bodies in one request (docs/protocol.md, "Limits")."""


class InfoKind(StrEnum):
    """What a body can be of; agents use either word for the same."""

    APPLICATION = "application"
    APP = "app"
    CONFIGURATION = "configuration"
    CONFIG = "config"
    SECRET = "secret"  # noqa: S105


class Info(msgspec.Struct, frozen=True):
    """One body asked for; the version is what the node was told, and only echoed."""

    kind: InfoKind
    name: str
    version: str = ""


class _Content(msgspec.Struct, frozen=True):
    infos: tuple[Info, ...]


def read_infos(content: Any) -> Sequence[Info]:
    """Check *content*, the plain data of a desire message; Invalid names the field."""
    infos = convert(content, _Content, under="content").infos
    if len(infos) > INFO_LIMIT:
        raise Invalid("content.infos", f"{len(infos)} of them, more than {INFO_LIMIT}")
    return infos


def deliver(tx: Transaction, node_id: str, infos: Sequence[Info]) -> dict[str, Any]:
    """Bodies for *infos*, in their order, each at its current version.

    NotFound for the whole request if one of them is not there or not for this node: a node gets
    the apps it should run, and the configs and secrets those mount, and nothing else.
    """
    namespace, name = split_node_id(node_id)
    node = tx.node(namespace, name)
    if node is None:
        raise NotFound("node", name)
    catalog = tx.catalog(namespace)
    wanted = [catalog.apps[app.name] for app in catalog.desired_state(node.labels).apps]
    allowed = {(use.kind, use.name) for app in wanted for use in uses_of(app.spec)}
    apps = {app.name: app for app in wanted}

    def version_of(kind: UseKind, resource: str) -> str:
        found = (tx.config if kind is UseKind.CONFIG else tx.secret)(namespace, resource)
        return found.version if found else ""

    def body(info: Info) -> dict[str, Any]:
        match info.kind:
            case InfoKind.APPLICATION | InfoKind.APP:
                if info.name in apps:
                    return app_value(apps[info.name], version_of)
            case InfoKind.CONFIGURATION | InfoKind.CONFIG:
                config = tx.config(namespace, info.name)
                if config and (UseKind.CONFIG, info.name) in allowed:
                    return config_value(config)
            case InfoKind.SECRET:
                secret = tx.secret(namespace, info.name)
                if secret and (UseKind.SECRET, info.name) in allowed:
                    return secret_value(secret)
        raise NotFound(info.kind.value, info.name)

    return {
        "values": [
            {
                "kind": info.kind.value,
                "name": info.name,
                "version": (value := body(info))["version"],
                "value": value,
            }
            for info in infos
        ]
    }
